"""Run networks on a Triton Inference Server, over gRPC.

References:
    KServe, Open Inference Protocol, version 2, with NVIDIA's extensions for shared memory and model configuration.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.config import RuntimeConfig
from pose_ros.runtime.back_off import FIRST_S, LONGEST_S, BackOff
from pose_ros.runtime.runner import CLOSED, Arrays, BuildProgress, Notify, Runner, Unavailable
from pose_ros.runtime.triton_address import TritonAddress
from pose_ros.runtime.triton_memory import SharedInput
from pose_ros.runtime.triton_tensors import DATATYPES, make_spec, take_output

_UNREACHABLE = ("StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED")
_UNKNOWN_METHOD = "StatusCode.UNIMPLEMENTED"
_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", int(1e3 * FIRST_S)),
    ("grpc.max_reconnect_backoff_ms", int(1e3 * LONGEST_S)),
]
"""Options of the connection: messages of any size, and the pauses of ``BackOff`` instead of 1 s to 120 s."""
_METADATA_S = 5.0
"""Longest wait for the description of a model, seconds."""

POLL_S = 0.5
"""Longest pause between two attempts at the start, seconds."""

Answer = TypeVar("Answer")


class Unreachable(ConnectionError):
    """Error for a server that does not answer."""


class Refused(ValueError):
    """Error for a request that the server refuses.

    Attributes:
        status: Code of gRPC.
    """

    def __init__(self, text: str, status: str) -> None:
        super().__init__(text)
        self.status = status


class TritonRunner(Runner):
    """A network on a Triton server. ``run`` may be called from several threads, which take turns.

    While the server does not answer, ``run`` raises Unreachable, and ``problem`` says why. The runner asks again by
    itself, after pauses that grow from .1 s to 5 s. A run during such a pause fails at once.

    Args:
        address: ``triton://HOST[:PORT]/MODEL[/VERSION]``.
        config: Runtime settings. Used are ``connect_timeout_s``, ``request_timeout_ms``, ``shared_memory`` and
            ``max_batch``.
        progress: Called while the runner waits for the server. It may raise an error to end the wait.
        notify: Called with one line of text for people.

    Raises:
        Unavailable: If the client is not installed, or if the server does not answer in time.
        ValueError: If the server has no such model, or if the model has types that cannot be used.
    """

    def __init__(
        self,
        address: str,
        config: RuntimeConfig | None = None,
        progress: BuildProgress | None = None,
        notify: Notify | None = None,
    ) -> None:
        self._config = config or RuntimeConfig()
        self._address, self._notify = TritonAddress.parse(address), notify
        self._grpc, self._error = _import_client()
        self._client = self._grpc.InferenceServerClient(self._address.server, channel_args=_CHANNEL)
        self._back_off, self._needs_check = BackOff(), False
        self._lock = threading.Lock()
        self._memory: SharedInput | None = None
        try:
            self._wait_for_server(progress)
            self._read_model()
        except BaseException:
            self._client.close()
            raise
        if self._config.shared_memory and self._address.is_local:
            self._memory = SharedInput(self._client)

    @property
    def problem(self) -> str:
        """Why the server did not answer the last request. Empty if it did."""
        return self._back_off.problem

    def close(self) -> None:
        """Close the connection. A second call does nothing."""
        client, self._client = self._client, None
        if client is not None:
            with self._lock:
                if self._memory is not None:
                    self._memory.close()
                client.close()

    def _wait_for_server(self, progress: BuildProgress | None) -> None:
        """Wait until the model is ready, at most ``connect_timeout_s``."""
        end_s = time.monotonic() + self._config.connect_timeout_s
        while not self._is_ready():
            if time.monotonic() >= end_s:
                fix = "start the server, correct the address, or raise runtime.connect_timeout_s"
                raise Unavailable("triton", self.problem, fix)
            if progress is not None:
                progress(f"waiting for {self._address}", -1.0)
            time.sleep(min(self._back_off.wait_s(), POLL_S, max(0.0, end_s - time.monotonic())))

    def _is_ready(self) -> bool:
        try:
            self._read_tensors()
        except Unreachable:
            return False
        return True

    def _read_tensors(self) -> Any:
        return self._ask(lambda client: client.get_model_metadata(*self._name, client_timeout=_METADATA_S))

    @property
    def _name(self) -> tuple[str, str]:
        return self._address.model, self._address.version

    def _read_model(self) -> None:
        server = self._ask(lambda client: client.get_server_metadata(client_timeout=_METADATA_S))
        model = self._read_tensors()
        self.inputs = tuple(make_spec(tensor) for tensor in model.inputs)
        self.outputs = tuple(make_spec(tensor) for tensor in model.outputs)
        self.metadata, largest_batch = self._read_config()
        if self.inputs and self.inputs[0].shape[:1] == (None,) and 0 < largest_batch < self._config.max_batch:
            raise ValueError(
                f"runtime.max_batch: expected at most {largest_batch}, which is the limit of {self._address}, got "
                f"{self._config.max_batch}; lower it, or raise max_batch_size on the server"
            )
        self.device = f"Triton at {self._address.server}"
        self.description = f"{server.name} {server.version} at {self._address.server}, {model.platform}"

    def _read_config(self) -> tuple[dict[str, str], int]:
        """Return the texts that are stored with the model, and its largest batch. Only Triton has both."""
        try:
            answer = self._ask(lambda client: client.get_model_config(*self._name, client_timeout=_METADATA_S))
        except Refused as error:
            if error.status == _UNKNOWN_METHOD:
                return {}, 0
            raise
        config = answer.config
        return {key: entry.string_value for key, entry in config.parameters.items()}, config.max_batch_size

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        with self._lock:
            if self._needs_check:
                self._check_unchanged()
            answer = self._run_shared(self._memory, feeds, names) if self._memory else self._run_plain(feeds, names)
        return {spec.name: take_output(answer, spec) for spec in self.outputs if spec.name in names}

    def _run_plain(self, feeds: Arrays, names: Sequence[str]) -> Any:
        return self._request([self._make_input(*entry) for entry in feeds.items()], names)

    def _run_shared(self, memory: SharedInput, feeds: Arrays, names: Sequence[str]) -> Any:
        """Run with the first input in shared memory. If the server cannot read it, use messages from now on."""
        (name, array), *others = feeds.items()
        plain = [self._make_input(*each) for each in others]
        try:
            region, byte_count = self._ask(lambda _: memory.put(array))
        except Unreachable:
            raise
        except (OSError, Refused) as error:
            memory.close()
            self._memory = None
            self._say(f"images are sent in messages, because shared memory fails: {error}")
            return self._run_plain(feeds, names)
        shared = self._grpc.InferInput(name, list(array.shape), DATATYPES[array.dtype])
        shared.set_shared_memory(region, byte_count)
        try:
            return self._request([shared, *plain], names)
        except Exception:
            memory.close()  # a server that has restarted does not know the region
            raise

    def _request(self, inputs: Sequence[Any], names: Sequence[str]) -> Any:
        outputs = [self._grpc.InferRequestedOutput(name) for name in names]
        timeout_s = self._config.request_timeout_ms / 1e3
        model, version = self._name
        return self._ask(
            lambda client: client.infer(
                model, inputs, version, outputs, timeout=int(1e6 * timeout_s), client_timeout=timeout_s
            )
        )

    def _make_input(self, name: str, array: AnyArray) -> Any:
        made = self._grpc.InferInput(name, list(array.shape), DATATYPES[array.dtype])
        made.set_data_from_numpy(np.ascontiguousarray(array))
        return made

    def _check_unchanged(self) -> None:
        """Compare the model with the one before the connection was lost."""
        model = self._read_tensors()
        found = tuple(map(make_spec, model.inputs)), tuple(map(make_spec, model.outputs))
        if found != (self.inputs, self.outputs):
            raise ValueError(
                f"{self._address}: expected the inputs and outputs of before, got others; load the model again"
            )
        self._needs_check = False

    def _ask(self, request: Callable[[Any], Answer]) -> Answer:
        """Send a request.

        Raises:
            Unreachable: If the server does not answer, or if the pause after a failure is not over.
            Refused: If the server refuses the request.
        """
        client = self._client
        if client is None:
            raise ValueError(CLOSED)
        if (wait_s := self._back_off.wait_s()) > 0:
            raise Unreachable(f"{self._back_off.problem}; the next attempt is in {wait_s:.1f} s")
        try:
            answer = request(client)
        except self._error as error:
            text, status = " ".join(str(error.message()).split()), error.status()
            if status not in _UNREACHABLE:
                raise Refused(f"{self._address}: {text}", status) from error
            problem = f"{self._address} does not answer: {text}"
            self._note_loss(problem)
            raise Unreachable(problem) from error
        if self._back_off.problem:
            self._back_off.succeed()
            self._say(f"{self._address} answers again")
        return answer

    def _note_loss(self, problem: str) -> None:
        self._needs_check = hasattr(self, "outputs")
        self._back_off.fail(problem)

    def _say(self, text: str) -> None:
        if self._notify is not None:
            self._notify(text)


def _import_client() -> tuple[Any, type[Any]]:
    """Import the client. Returns its gRPC module and its type of error.

    Raises:
        Unavailable: If it is missing or broken.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # gRPC logs every lost connection to stderr
    try:
        import tritonclient.grpc as client
        from tritonclient.utils import InferenceServerException
    except ImportError as error:
        raise Unavailable(
            "triton", f"its client cannot be imported: {error}", "pip install 'tritonclient[grpc]'"
        ) from error
    return client, InferenceServerException
