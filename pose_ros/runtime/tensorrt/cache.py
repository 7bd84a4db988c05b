"""Engines that are built once and validated always: which one is handed out, and when a new one is built.

The decisions stand as a table in ``docs/engine_cache.md``.
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

from pose_ros.files import user_cache
from pose_ros.runtime.runner import Notify
from pose_ros.runtime.tensorrt import file as engine_file
from pose_ros.runtime.tensorrt.file import NOT_BUILT, Sidecar
from pose_ros.runtime.tensorrt.key import EngineKey
from pose_ros.runtime.tensorrt.lock import Busy, do_not_wait, locked

_TIMINGS = re.compile(r"\.?timing-([0-9a-f]{16})\.cache(?:\.[0-9a-f]+)?")
_MOST_TIMING_BYTES = 1 << 30
_END_OF_TIME_S = 253402300799


@dataclass(frozen=True)
class EngineEntry:
    """One engine of a cache, or what is left of one.

    Attributes:
        plan: Its file, which a broken engine may lack.
        sidecar: What is known of it; None where that cannot be relied on.
        fault: Why it is never loaded, in a few words; empty for an engine in order.
        used: When it was last handed out, or built.
        size_bytes: Of the plan.
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
    """A folder of built engines. Any number of threads, processes and machines may share it.

    Args:
        folder: None is ``$XDG_CACHE_HOME/pose_ros/engines``, by default ``~/.cache/pose_ros/engines``. Whoever may
            write there decides what the GPU runs.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder.expanduser() if folder else user_cache("engines")

    def get(
        self,
        key: EngineKey,
        build: Callable[[], bytes],
        say: Notify,
        name: str = "model",
        *,
        refused: bytes | None = None,
        versions: Mapping[str, str] | None = None,
        given_up: Callable[[], bool] = lambda: False,
    ) -> bytes:
        """The plan that was built for exactly this key: the kept one if nothing of it has changed, else a new one.

        Of several callers in any number of processes one builds; the others wait for it. A folder that cannot be
        written costs a build at every start, and nothing else.

        Args:
            key: What the plan has to be built for.
            build: Builds it; called at most once. What it raises is passed on, and nothing is kept.
            say: Told in one line why a plan is built, whom we wait for, or why a plan cannot be kept. Silent where
                the kept plan serves.
            name: Name of the model, for people; models of the same name get along.
            refused: A plan of this cache that TensorRT would not load: it is built anew, unless that has been done.
            versions: Of what else takes part in the build, by name, for the sidecar.
            given_up: Whether nobody waits for it any more; asked while another builds.

        Raises:
            InterruptedError: If it was given up.
        """
        plan = self.folder / engine_file.plan_name(key, name)
        with suppress(ValueError):
            return _kept(plan, key, refused)
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        waiting = f"engine {plan.name}: another process is building it: waiting"
        with locked(_lock_of(plan), lambda: say(waiting), given_up):
            try:
                return _kept(plan, key, refused)  # that process has built it
            except ValueError as reason:
                say(self._why(plan, key, str(reason)))
            return _build(plan, key, build, say, name, versions or {})

    def timing_cache(self, key: EngineKey) -> bytes:
        """The timings of kernels that builds with this TensorRT and GPU have measured; empty if there are none."""
        with suppress(ValueError):
            data = engine_file.read(self._timings(key.machine_digest), "it", _MOST_TIMING_BYTES)
            checksum, timings = data[:32], data[32:]
            if hashlib.sha256(timings).digest() == checksum:
                return timings
        return b""

    def keep_timing_cache(self, key: EngineKey, timings: bytes) -> None:
        """Keep the timings of a build for later ones; where the folder cannot be written, nothing is kept."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            engine_file.write(self._timings(key.machine_digest), hashlib.sha256(timings).digest() + timings)

    def entries(self) -> list[EngineEntry]:
        """All engines, by name of their file; each plan is read and verified.

        Raises:
            OSError: If the folder cannot be read; one that does not exist is empty.
        """
        return [_entry(plan) for plan in engine_file.plans(self.folder)]

    def prune(self, keep: Callable[[EngineEntry], bool]) -> list[EngineEntry]:
        """Remove the engines that are not to be kept, but none that somebody is building just now.

        Timings go with the last engine of their TensorRT and GPU. Files that are no engines are not touched.

        Returns:
            What has been removed.

        Raises:
            OSError: If the folder cannot be read or written.
        """
        removed = []
        for plan in [entry.plan for entry in self.entries() if not keep(entry)]:
            with suppress(Busy), locked(_lock_of(plan), do_not_wait):
                entry = _entry(plan)  # it may have been built anew since
                if not keep(entry):
                    engine_file.remove_engine(plan)
                    removed.append(entry)
        if removed:
            self._remove_idle_timings()
        return removed

    def _why(self, plan: Path, key: EngineKey, reason: str) -> str:
        """The line before a build; where there is nothing yet, it names what sets the nearest engine apart."""
        if reason != NOT_BUILT:
            return f"engine {plan.name}: {reason}: building anew"
        model = engine_file.model_of(plan)
        others = [(path, sidecar) for path, sidecar in self._sidecars() if engine_file.model_of(path) == model]
        if not others:
            return f"engine {plan.name}: {reason}: building it"
        differences = {path: sidecar.key.differences(key) for path, sidecar in others}
        nearest, _ = max(others, key=lambda other: (-len(differences[other[0]]), other[1].built.isoformat()))
        return f"engine {nearest.name}: {'; '.join(differences[nearest])}: building anew"

    def _sidecars(self) -> list[tuple[Path, Sidecar]]:
        """Plans whose sidecars are in order; whether the plans are, too, is not looked at."""
        found = []
        with suppress(OSError):
            for plan in engine_file.plans(self.folder):
                with suppress(ValueError):
                    found.append((plan, engine_file.read_own_sidecar(plan)))
        return found

    def _timings(self, machine_digest: str) -> Path:
        return self.folder / f"timing-{machine_digest[:16]}.cache"

    def _remove_idle_timings(self) -> None:
        used = {sidecar.key.machine_digest[:16] for _, sidecar in self._sidecars()}
        for file in self.folder.iterdir():
            match = _TIMINGS.fullmatch(file.name)
            if match and match[1] not in used:
                file.unlink(missing_ok=True)


def _kept(plan: Path, key: EngineKey, refused: bytes | None) -> bytes:
    """The plan, if it is the one of this key and as it was built.

    Raises:
        ValueError: If not, with the reason.
    """
    sidecar = engine_file.read_sidecar(plan)
    if sidecar.key != key:
        raise ValueError("; ".join(sidecar.key.differences(key)))
    data = engine_file.read_plan(plan, sidecar)
    if data == refused:
        raise ValueError("TensorRT would not load it")
    with suppress(OSError):
        os.utime(plan.with_suffix(".json"))  # its last use
    return data


def _build(
    plan: Path,
    key: EngineKey,
    build: Callable[[], bytes],
    say: Notify,
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
        versions={"pose_ros": _own_version(), "python": platform.python_version(), **versions},
    )
    try:
        engine_file.write_engine(plan, data, sidecar)
    except OSError as error:
        say(f"engine {plan.name}: it cannot be kept in {plan.parent} ({error.strerror}): every start will build it")
    return data


def _entry(plan: Path) -> EngineEntry:
    sidecar, fault = None, ""
    try:
        sidecar = engine_file.read_own_sidecar(plan)
        engine_file.read_plan(plan, sidecar)
    except ValueError as error:
        fault = str(error)
    size_bytes, built_s = _size_and_time(plan)
    _, used_s = _size_and_time(plan.with_suffix(".json"))
    used = datetime.fromtimestamp(max(0, min(used_s or built_s, _END_OF_TIME_S)), timezone.utc)
    return EngineEntry(plan, sidecar, fault, used, size_bytes)


def _size_and_time(path: Path) -> tuple[int, float]:
    try:
        state = path.lstat()
    except OSError:
        return 0, 0.0
    return state.st_size, state.st_mtime


def _lock_of(plan: Path) -> Path:
    return plan.with_name(f".{plan.stem}.lock")


def _own_version() -> str:
    try:
        return version("pose_ros")
    except PackageNotFoundError:
        return "unknown"
