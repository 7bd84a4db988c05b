"""The cache of engines: every decision of the table in docs/engine_cache.md."""

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
NOBODY = 65534
TABLE = Path(__file__).parents[4] / "docs/engine_cache.md"


@dataclass
class Bench:
    """A cache, what stands in it, and what it says."""

    folder: Path
    stack: ExitStack
    monkeypatch: pytest.MonkeyPatch
    said: list[str] = field(default_factory=list)
    builds: int = 0
    refused: bytes | None = None
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
        """Build an engine as another process would have."""
        EngineCache(self.folder).get(key, lambda: plan, lambda line: None, name)
        return self.folder / plan_name(key, name)

    def get(self) -> bytes:
        return self.cache.get(KEY, self._build, self._say, "default", refused=self.refused)

    def _build(self) -> bytes:
        self.builds += 1
        if self.build_error:
            raise self.build_error
        return NEW

    def _say(self, line: str) -> None:
        names = {self.plan.name: "PLAN", str(self.folder): "FOLDER"} | (
            {self.other.name: "OTHER"} if self.other else {}
        )
        for name, stands_for in names.items():
            line = line.replace(name, stands_for)
        self.said.append(line)
        if "waiting" in line:
            self.on_wait()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """In a folder that anyone may enter, which pytest's own are not."""
    with ExitStack() as stack, monkeypatch.context() as patches:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        yield Bench(folder / "engines", stack, patches)


# What stands there, by the table's names of the cases.


def with_other(bench: Bench, **changes: str) -> None:
    bench.other = bench.put(replace(KEY, **changes))


def with_several_others(bench: Bench) -> None:
    for level in (0, 1, 2, 4, 5):
        bench.put(replace(KEY, gpu="AGX", options=f"level {level}"))
    with_other(bench, tensorrt="10.0.1")
    assert bench.other != min(bench.folder.glob("*.plan"))  # or any choice would be right


def with_other_name(bench: Bench) -> None:
    bench.other = bench.put(replace(KEY, gpu="Xavier"), "default-2")


def changed(file: str, change: Callable[[bytes], bytes]) -> Callable[[Bench], None]:
    def arrange(bench: Bench) -> None:
        path = bench.put().with_suffix(file)
        path.write_bytes(change(path.read_bytes()))

    return arrange


def removed(file: str) -> Callable[[Bench], None]:
    return lambda bench: bench.put().with_suffix(file).unlink()


def linked(file: str) -> Callable[[Bench], None]:
    def arrange(bench: Bench) -> None:
        path = bench.put().with_suffix(file)
        bench.other = path.rename(bench.folder.parent / "elsewhere")
        path.symlink_to(bench.other)

    return arrange


def foreign(*files: str) -> Callable[[Bench], None]:
    def arrange(bench: Bench) -> None:
        bench.put()
        theirs = bench.put(replace(KEY, gpu="Xavier"), plan=b"else")
        for file in files:
            theirs.with_suffix(file).replace(bench.plan.with_suffix(file))

    return arrange


def with_pipe(bench: Bench) -> None:
    bench.put().unlink()
    os.mkfifo(bench.plan)


def with_refused(bench: Bench) -> None:
    bench.put()
    bench.refused = OLD


def with_refused_and_rebuilt(bench: Bench) -> None:
    bench.put()
    bench.refused = b"another"


def unfinished(bench: Bench) -> None:
    bench.folder.mkdir()
    (bench.folder / f".{bench.plan.name}.0123456789abcdef").write_bytes(b"ol")


def read_only(bench: Bench, there: bool) -> None:
    if there:
        bench.put()
    bench.folder.mkdir(exist_ok=True)
    bench.folder.chmod(0o555)
    bench.stack.enter_context(unprivileged())


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    yield
    os.seteuid(before)


def full(bench: Bench) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    bench.monkeypatch.setattr(engine_file.os, "fsync", fail)


def without_locks(bench: Bench) -> None:
    def fail(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    bench.monkeypatch.setattr(engine_lock.fcntl, "flock", fail)


def while_another_builds(bench: Bench, succeeds: bool) -> None:
    """It has the lock, and finishes once we wait for it."""
    bench.folder.mkdir()
    lock = bench.plan.with_name(f".{bench.plan.stem}.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)

    def finish() -> None:
        if succeeds:
            aside = replace(bench, folder=bench.folder.parent / "aside")
            for file in (aside.put(), aside.sidecar):
                file.replace(bench.folder / file.name)
        lock.close()

    bench.on_wait = finish


def failing(error: BaseException) -> Callable[[Bench], None]:
    return lambda bench: setattr(bench, "build_error", error)


CASES: dict[str, Callable[[Bench], object]] = {
    "empty": lambda bench: None,
    "same": Bench.put,
    **{f"other {name}": lambda bench, c=changes: with_other(bench, **c) for name, changes in OTHERS.items()},
    "several others": with_several_others,
    "other name": with_other_name,
    "no sidecar": removed(".json"),
    "no plan": removed(".plan"),
    "plan changed": changed(".plan", lambda plan: b"?" + plan[1:]),
    "plan short": changed(".plan", lambda plan: plan[:-1]),
    "plan long": changed(".plan", lambda plan: plan + b"!"),
    "sidecar changed": changed(".json", lambda sidecar: sidecar.replace(b'"default"', b'"another"')),
    "sidecar short": changed(".json", lambda sidecar: sidecar[:-3]),
    "sidecar long": changed(".json", lambda sidecar: sidecar.ljust(1 << 20)),
    "foreign pair": foreign(".plan", ".json"),
    "foreign plan": foreign(".plan"),
    "link to plan": linked(".plan"),
    "link to sidecar": linked(".json"),
    "pipe": with_pipe,
    "refused": with_refused,
    "refused, rebuilt": with_refused_and_rebuilt,
    "unfinished": unfinished,
    "read-only, there": lambda bench: read_only(bench, there=True),
    "read-only": lambda bench: read_only(bench, there=False),
    "no folder": lambda bench: bench.folder.touch(),
    "full": full,
    "no locks": without_locks,
    "other builds": lambda bench: while_another_builds(bench, succeeds=True),
    "other fails": lambda bench: while_another_builds(bench, succeeds=False),
    "build fails": failing(ValueError("TensorRT cannot")),
    "interrupted": failing(KeyboardInterrupt()),
}


def table() -> dict[str, tuple[str, str, list[str]]]:
    """Outcome, kept and said of each case, as docs/engine_cache.md has them."""
    decisions = TABLE.read_text(encoding="utf-8").partition("## Every decision")[2]
    rows = [re.split(r" *\| *", line.strip("| "), maxsplit=4) for line in decisions.splitlines() if line[:1] == "|"]
    return {row[0]: (row[2], row[3], row[4].rstrip(" |").split(" · ") if row[4:] else []) for row in rows[2:]}


def test_the_table_and_the_tests_have_the_same_cases() -> None:
    assert list(table()) == list(CASES)


@pytest.mark.parametrize("case", list(CASES))
def test_decision(case: str, bench: Bench) -> None:
    outcome, kept, said = table()[case]
    CASES[case](bench)
    others = [bench.other.read_bytes()] if bench.other else []
    if outcome == "raises":
        with pytest.raises(type(bench.build_error)):
            bench.get()
    else:
        assert bench.get() == (NEW if outcome.startswith("builds") else OLD)
    assert bench.builds == (outcome != "hands out")
    assert bench.said == list(filter(None, said))
    assert others == ([bench.other.read_bytes()] if bench.other else [])
    bench.build_error, bench.refused, before = None, None, bench.builds
    bench.get()
    assert ("yes" if bench.builds == before else "no") == kept


def test_of_engines_that_are_equally_near_the_newest_is_named(bench: Bench) -> None:
    for year in (2023, 2025, 2024):
        plan = bench.put(replace(KEY, tensorrt=f"10.{year}"))
        sidecar = replace(read_sidecar(plan), built=datetime(year, 1, 1, tzinfo=timezone.utc))
        plan.with_suffix(".json").write_bytes(sidecar.to_bytes())
    bench.get()
    assert [line.partition(": ")[2] for line in bench.said] == ["tensorrt 10.2025, this is 10.3.0: building anew"]
