"""Cache engines: decide whether a stored engine is valid or must be rebuilt.

All decisions are listed in ``docs/engine_cache.md``.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pose_ros.files import clear_unfinished, user_cache
from pose_ros.runtime.runner import Notify
from pose_ros.runtime.tensorrt import file as engine_file
from pose_ros.runtime.tensorrt.file import NOT_BUILT, Sidecar
from pose_ros.runtime.tensorrt.key import EngineKey
from pose_ros.runtime.tensorrt.lock import Busy, do_not_wait, hold_lock

_TIMINGS = re.compile(r"\.?timing-([0-9a-f]{16})\.cache(?:\.[0-9a-f]+)?")
_MAX_TIMING_BYTES = 1 << 30
_MAX_TIME_S = 253402300799


@dataclass(frozen=True)
class EngineEntry:
    """Engine in a cache, complete or broken.

    Attributes:
        plan: Path of the plan. The file of a broken engine may be missing.
        sidecar: Sidecar of the engine. None if it is not valid.
        fault: Why the engine is never loaded, in a few words. Empty for a valid engine.
        used: Time of the last use, or of the build.
        size_bytes: Size of the plan, bytes.
    """

    plan: Path
    sidecar: Sidecar | None
    fault: str
    used: datetime
    size_bytes: int

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.sidecar.model if self.sidecar else engine_file.model_of(self.plan)


class EngineCache:
    """Folder of built engines. Any number of threads, processes and machines may share it.

    Args:
        folder: Folder of the engines. None = ``$XDG_CACHE_HOME/pose_ros/engines``, by default
            ``~/.cache/pose_ros/engines``. A user who can write there controls what the GPU runs.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder.expanduser() if folder else user_cache("engines")

    def get(
        self,
        key: EngineKey,
        build: Callable[[], bytes],
        notify: Notify,
        name: str = "model",
        *,
        refused_plan: bytes | None = None,
        versions: Mapping[str, str] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> bytes:
        """Return the plan for exactly this key: the stored plan if it is valid, else a new one.

        If several callers in any number of processes need the plan, one builds it and the others wait. If the folder
        cannot be written, every start builds the plan again.

        Args:
            key: Key of the engine.
            build: Builds the plan. Called at most once. Its errors are passed on, and then no plan is stored.
            notify: Called with one line of text: why a plan is built, that another process builds it, or why it cannot
                be stored. Not called if the stored plan is valid.
            name: Name of the model, for people. Models may share a name.
            refused_plan: Stored plan that TensorRT did not load. It is rebuilt, unless another process has done so.
            versions: Versions of other software in the build, by name, for the sidecar.
            is_cancelled: Called while another process builds. True cancels the waiting.

        Raises:
            InterruptedError: If the waiting was cancelled.
        """
        plan = self.folder / engine_file.plan_name(key, name)
        with suppress(ValueError):
            return _read_valid_plan(plan, key, refused_plan)
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        waiting = f"engine {plan.name}: another process is building it: waiting"
        with hold_lock(_lock_path(plan), lambda: notify(waiting), is_cancelled):
            try:
                return _read_valid_plan(plan, key, refused_plan)  # the other process has built it
            except ValueError as reason:
                notify(self._build_reason(plan, key, str(reason)))
            return _build_and_write(plan, key, build, notify, name, versions or {})

    def timing_cache(self, key: EngineKey) -> bytes:
        """Return the kernel timings of earlier builds with this TensorRT and GPU. Empty if there are none."""
        with suppress(ValueError):
            data = engine_file.read(self._timing_path(key.machine_digest), "timing cache", _MAX_TIMING_BYTES)
            checksum, timings = data[:32], data[32:]
            if hashlib.sha256(timings).digest() == checksum:
                return timings
        return b""

    def keep_timing_cache(self, key: EngineKey, timings: bytes) -> None:
        """Store the timings of a build for later builds. Nothing is stored if the folder cannot be written."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            engine_file.write(self._timing_path(key.machine_digest), hashlib.sha256(timings).digest() + timings)

    def entries(self) -> list[EngineEntry]:
        """List all engines, sorted by file name. Each plan is read and verified. A missing folder counts as empty.

        Raises:
            OSError: If the folder cannot be read.
        """
        return [_read_entry(plan) for plan in engine_file.list_plans(self.folder)]

    def prune(self, keep: Callable[[EngineEntry], bool]) -> list[EngineEntry]:
        """Remove the engines for which ``keep`` returns False. Engines that are being built are not removed.

        Timings are removed with the last engine of their TensorRT and GPU. Unfinished files of killed processes are
        always removed. Other files are not touched.

        Returns:
            The removed engines.

        Raises:
            OSError: If the folder cannot be read or written.
        """
        removed = []
        for plan in [entry.plan for entry in self.entries() if not keep(entry)]:
            with suppress(Busy), hold_lock(_lock_path(plan), do_not_wait):
                entry = _read_entry(plan)  # it may have been rebuilt meanwhile
                if not keep(entry):
                    engine_file.remove_engine(plan)
                    removed.append(entry)
        if removed:
            self._remove_unused_timings()
        clear_unfinished(self.folder)
        return removed

    def _build_reason(self, plan: Path, key: EngineKey, reason: str) -> str:
        """Return the message before a build. A missing engine is compared with the most similar one."""
        if reason != NOT_BUILT:
            return f"engine {plan.name}: {reason}: rebuilding"
        model = engine_file.model_of(plan)
        others = [(path, sidecar) for path, sidecar in self._read_sidecars() if engine_file.model_of(path) == model]
        if not others:
            return f"engine {plan.name}: {reason}: building it"
        differences = {path: sidecar.key.differences(key) for path, sidecar in others}
        nearest, _ = max(others, key=lambda other: (-len(differences[other[0]]), other[1].built.isoformat()))
        return f"engine {nearest.name}: {'; '.join(differences[nearest])}: rebuilding"

    def _read_sidecars(self) -> list[tuple[Path, Sidecar]]:
        """Return all plans with a valid sidecar. The plans themselves are not verified."""
        found = []
        with suppress(OSError):
            for plan in engine_file.list_plans(self.folder):
                with suppress(ValueError):
                    found.append((plan, engine_file.read_verified_sidecar(plan)))
        return found

    def _timing_path(self, machine_digest: str) -> Path:
        return self.folder / f"timing-{machine_digest[:16]}.cache"

    def _remove_unused_timings(self) -> None:
        used = {sidecar.key.machine_digest[:16] for _, sidecar in self._read_sidecars()}
        for file in self.folder.iterdir():
            match = _TIMINGS.fullmatch(file.name)
            if match and match[1] not in used:
                file.unlink(missing_ok=True)


def _read_valid_plan(plan: Path, key: EngineKey, refused_plan: bytes | None) -> bytes:
    """Read the plan and check it against key and checksums.

    Raises:
        ValueError: If the plan is not valid, with the reason.
    """
    sidecar = engine_file.read_sidecar(plan)
    if sidecar.key != key:
        raise ValueError("; ".join(sidecar.key.differences(key)))
    data = engine_file.read_plan(plan, sidecar)
    if data == refused_plan:
        raise ValueError("TensorRT did not load it")
    with suppress(OSError):
        os.utime(plan.with_suffix(".json"))  # the time of the last use
    return data


def _build_and_write(
    plan: Path,
    key: EngineKey,
    build: Callable[[], bytes],
    notify: Notify,
    name: str,
    versions: Mapping[str, str],
) -> bytes:
    start_s = time.monotonic()
    data = build()
    sidecar = Sidecar(
        key=key,
        model=name,
        plan_sha256=hashlib.sha256(data).hexdigest(),
        plan_bytes=len(data),
        built=datetime.now(timezone.utc).replace(microsecond=0),
        build_s=round(time.monotonic() - start_s, 3),
        versions={"pose_ros": _package_version(), "python": platform.python_version(), **versions},
    )
    try:
        engine_file.write_engine(plan, data, sidecar)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        notify(f"engine {plan.name}: cannot be stored in {plan.parent} ({reason}): every start will build it")
    return data


def _read_entry(plan: Path) -> EngineEntry:
    sidecar, fault = None, ""
    try:
        sidecar = engine_file.read_verified_sidecar(plan)
        engine_file.read_plan(plan, sidecar)
    except ValueError as error:
        fault = str(error)
    size_bytes, built_s = _size_and_time(plan)
    _, used_s = _size_and_time(plan.with_suffix(".json"))
    used = datetime.fromtimestamp(max(0, min(used_s or built_s, _MAX_TIME_S)), timezone.utc)
    return EngineEntry(plan, sidecar, fault, used, size_bytes)


def _size_and_time(path: Path) -> tuple[int, float]:
    try:
        state = path.lstat()
    except OSError:
        return 0, 0.0
    return state.st_size, state.st_mtime


def _lock_path(plan: Path) -> Path:
    return plan.with_name(f".{plan.stem}.lock")


def _package_version() -> str:
    try:
        return version("pose_ros")
    except PackageNotFoundError:
        return "unknown"
