"""Test every decision in the list of docs/engine_cache.md."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from pose_ros.runtime.tensorrt import file as engine_file
from pose_ros.runtime.tensorrt import lock as engine_lock
from pose_ros.runtime.tensorrt.cache import EngineCache
from pose_ros.runtime.tensorrt.file import plan_name, read_sidecar
from pose_ros.runtime.tensorrt.key import EngineKey

KEY = EngineKey("a" * 64, "10.3.0", "Orin", "8.7", "fp16", "1x3x368x656", "level 3")
OTHERS = {
    "model": {"model_sha256": "b" * 64},
    "tensorrt": {"tensorrt": "10.0.1"},
    "gpu": {"gpu": "Xavier"},
    "compute capability": {"compute_capability": "7.2"},
    "precision": {"precision": "fp32"},
    "shapes": {"shapes": "1x3x64x64"},
    "options": {"options": "level 5"},
}
OLD, NEW = b"old!", b"new!"
NOBODY_UID = 65534
PAGE = Path(__file__).parents[4] / "docs/engine_cache.md"


@dataclass
class Bench:
    """Cache under test, with its content and messages."""

    folder: Path
    stack: ExitStack
    monkeypatch: pytest.MonkeyPatch
    lines: list[str] = field(default_factory=list)
    builds: int = 0
    refused_plan: bytes | None = None
    other: Path | None = None
    build_error: BaseException | None = None
    on_wait: Callable[[], object] = lambda: None

    @property
    def cache(self) -> EngineCache:
        return EngineCache(self.folder)

    @property
    def plan(self) -> Path:
        return self.folder / plan_name(KEY, "default")

    @property
    def sidecar(self) -> Path:
        return self.plan.with_suffix(".json")

    def put(self, key: EngineKey = KEY, name: str = "default", plan: bytes = OLD) -> Path:
        """Build an engine, as another process would."""
        EngineCache(self.folder).get(key, lambda: plan, lambda line: None, name)
        return self.folder / plan_name(key, name)

    def get(self) -> bytes:
        return self.cache.get(KEY, self._build, self._notify, "default", refused_plan=self.refused_plan)

    def _build(self) -> bytes:
        self.builds += 1
        if self.build_error:
            raise self.build_error
        return NEW

    def _notify(self, line: str) -> None:
        names = {self.plan.name: "PLAN", str(self.folder): "FOLDER"} | (
            {self.other.name: "OTHER"} if self.other else {}
        )
        for name, placeholder in names.items():
            line = line.replace(name, placeholder)
        self.lines.append(line)
        if "waiting" in line:
            self.on_wait()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Bench in a folder that every user may enter. The folders of pytest are private."""
    with ExitStack() as stack, monkeypatch.context() as patches:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        yield Bench(folder / "engines", stack, patches)


# Preparation of each case. The names are those of the table.


def with_other(bench: Bench, **changes: str) -> None:
    bench.other = bench.put(replace(KEY, **changes))


def with_several_others(bench: Bench) -> None:
    for level in (0, 1, 2, 4, 5):
        bench.put(replace(KEY, gpu="AGX", options=f"level {level}"))
    with_other(bench, tensorrt="10.0.1")
    assert bench.other != min(bench.folder.glob("*.plan"))  # otherwise the first file would also be correct


def with_other_name(bench: Bench) -> None:
    bench.other = bench.put(replace(KEY, gpu="Xavier"), "default-2")


def change_file(file: str, change: Callable[[bytes], bytes]) -> Callable[[Bench], None]:
    def arrange(bench: Bench) -> None:
        path = bench.put().with_suffix(file)
        path.write_bytes(change(path.read_bytes()))

    return arrange


def remove_file(file: str) -> Callable[[Bench], None]:
    return lambda bench: bench.put().with_suffix(file).unlink()


def link_file(file: str) -> Callable[[Bench], None]:
    def arrange(bench: Bench) -> None:
        path = bench.put().with_suffix(file)
        bench.other = path.rename(bench.folder.parent / "elsewhere")
        path.symlink_to(bench.other)

    return arrange


def replace_files(*files: str) -> Callable[[Bench], None]:
    def arrange(bench: Bench) -> None:
        bench.put()
        foreign = bench.put(replace(KEY, gpu="Xavier"), plan=b"else")
        for file in files:
            foreign.with_suffix(file).replace(bench.plan.with_suffix(file))

    return arrange


def with_pipe(bench: Bench) -> None:
    bench.put().unlink()
    os.mkfifo(bench.plan)


def with_refused(bench: Bench) -> None:
    bench.put()
    bench.refused_plan = OLD


def with_refused_and_rebuilt(bench: Bench) -> None:
    bench.put()
    bench.refused_plan = b"another"


def with_unfinished(bench: Bench) -> None:
    bench.folder.mkdir()
    (bench.folder / f".{bench.plan.name}.0123456789abcdef").write_bytes(b"ol")


def make_read_only(bench: Bench, has_engine: bool) -> None:
    if has_engine:
        bench.put()
    bench.folder.mkdir(exist_ok=True)
    bench.folder.chmod(0o555)
    bench.stack.enter_context(drop_root())


@contextmanager
def drop_root() -> Iterator[None]:
    """Act as an unprivileged user, because root may write everywhere."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY_UID)
    yield
    os.seteuid(before)


def with_full_disk(bench: Bench) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    bench.monkeypatch.setattr(engine_file.os, "fsync", fail)


def without_locks(bench: Bench) -> None:
    def fail(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    bench.monkeypatch.setattr(engine_lock.fcntl, "flock", fail)


def while_another_builds(bench: Bench, succeeds: bool) -> None:
    """Hold the lock as another process would, and release it when the cache waits."""
    bench.folder.mkdir()
    lock = bench.plan.with_name(f".{bench.plan.stem}.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)

    def finish() -> None:
        if succeeds:
            other = replace(bench, folder=bench.folder.parent / "other")
            for file in (other.put(), other.sidecar):
                file.replace(bench.folder / file.name)
        lock.close()

    bench.on_wait = finish


def fail_with(error: BaseException) -> Callable[[Bench], None]:
    return lambda bench: setattr(bench, "build_error", error)


CASES: dict[str, Callable[[Bench], object]] = {
    "empty": lambda bench: None,
    "same": Bench.put,
    **{f"other {name}": lambda bench, c=changes: with_other(bench, **c) for name, changes in OTHERS.items()},
    "several others": with_several_others,
    "other name": with_other_name,
    "no sidecar": remove_file(".json"),
    "no plan": remove_file(".plan"),
    "plan changed": change_file(".plan", lambda plan: b"?" + plan[1:]),
    "plan short": change_file(".plan", lambda plan: plan[:-1]),
    "plan long": change_file(".plan", lambda plan: plan + b"!"),
    "sidecar changed": change_file(".json", lambda sidecar: sidecar.replace(b'"default"', b'"another"')),
    "sidecar short": change_file(".json", lambda sidecar: sidecar[:-3]),
    "sidecar long": change_file(".json", lambda sidecar: sidecar.ljust(1 << 20)),
    "foreign pair": replace_files(".plan", ".json"),
    "foreign plan": replace_files(".plan"),
    "link to plan": link_file(".plan"),
    "link to sidecar": link_file(".json"),
    "pipe": with_pipe,
    "refused": with_refused,
    "refused, rebuilt": with_refused_and_rebuilt,
    "unfinished": with_unfinished,
    "read-only, stored": lambda bench: make_read_only(bench, has_engine=True),
    "read-only": lambda bench: make_read_only(bench, has_engine=False),
    "no folder": lambda bench: bench.folder.touch(),
    "full": with_full_disk,
    "no locks": without_locks,
    "other builds": lambda bench: while_another_builds(bench, succeeds=True),
    "other fails": lambda bench: while_another_builds(bench, succeeds=False),
    "build fails": fail_with(ValueError("TensorRT cannot")),
    "interrupted": fail_with(KeyboardInterrupt()),
}


def read_page() -> dict[str, tuple[str, str, list[str]]]:
    """Read outcome, stored and messages of each case from docs/engine_cache.md."""
    decisions = PAGE.read_text(encoding="utf-8").partition("## Every decision")[2]
    entries = re.findall(r"^- \*\*(.+)\*\*: .+ → (.+), (stored|not stored)\n((?:  - `.+`\n)*)", decisions, re.MULTILINE)
    return {case: (outcome, stored, re.findall("`(.+)`", lines)) for case, outcome, stored, lines in entries}


def test_the_page_and_the_tests_have_the_same_cases() -> None:
    assert list(read_page()) == list(CASES)


@pytest.mark.parametrize("case", list(CASES))
def test_decision(case: str, bench: Bench) -> None:
    outcome, stored, messages = read_page()[case]
    CASES[case](bench)
    others = [bench.other.read_bytes()] if bench.other else []
    if outcome == "raises":
        with pytest.raises(type(bench.build_error), match=re.escape(str(bench.build_error))):
            bench.get()
    else:
        assert bench.get() == (NEW if outcome.startswith("builds") else OLD)
    assert bench.builds == (outcome != "loads")
    assert bench.lines == messages
    assert others == ([bench.other.read_bytes()] if bench.other else [])
    bench.build_error, bench.refused_plan, before = None, None, bench.builds
    bench.get()
    assert ("stored" if bench.builds == before else "not stored") == stored


def test_of_equally_similar_engines_the_newest_is_named(bench: Bench) -> None:
    for year in (2023, 2025, 2024):
        plan = bench.put(replace(KEY, tensorrt=f"10.{year}"))
        sidecar = replace(read_sidecar(plan), built=datetime(year, 1, 1, tzinfo=timezone.utc))
        plan.with_suffix(".json").write_bytes(sidecar.to_bytes())
    bench.get()
    assert [line.partition(": ")[2] for line in bench.lines] == ["tensorrt 10.2025, this is 10.3.0: rebuilding"]
