"""Test listing and pruning of the engine cache, its timings and its lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from pose_ros.runtime.tensorrt.cache import EngineCache, EngineEntry
from pose_ros.runtime.tensorrt.key import EngineKey
from pose_ros.runtime.tensorrt.lock import hold_lock

KEY = EngineKey("a" * 64, "10.3.0", "Orin", "8.7", "fp16", "1x3x368x656", "level 3")
OLD_KEY = replace(KEY, tensorrt="8.6.1")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def add_engine(cache: EngineCache, key: EngineKey = KEY, name: str = "default") -> None:
    cache.get(key, name.encode, lambda line: None, name, versions={"cuda": "12.6"})


def keep_none(entry: EngineEntry) -> bool:
    return False


def test_two_models_with_one_name_have_separate_engines(cache: EngineCache) -> None:
    keys = [replace(KEY, model_sha256=letter * 64) for letter in "ab"]
    for key in keys:
        cache.get(key, key.model_sha256.encode, lambda line: None, "model")
    for key in keys:
        assert cache.get(key, lambda: b"rebuilt", lambda line: None, "model") == key.model_sha256.encode()


def test_an_entry_describes_its_engine(cache: EngineCache) -> None:
    add_engine(cache)
    (entry,) = cache.entries()
    assert (entry.model, entry.fault, entry.size_bytes) == ("default", "", 7)
    assert entry.sidecar.key == KEY and entry.sidecar.build_s >= 0
    assert entry.sidecar.versions.keys() == {"pose_ros", "python", "cuda"}
    assert abs((entry.used - entry.sidecar.built).total_seconds()) < 10


def test_the_last_use_is_recorded(cache: EngineCache) -> None:
    add_engine(cache)
    (before,) = cache.entries()
    sidecar = before.plan.with_suffix(".json")
    os.utime(sidecar, (1e9, 1e9))
    assert cache.entries()[0].used.year == 2001
    add_engine(cache)
    assert cache.entries()[0].used >= before.sidecar.built


@pytest.mark.parametrize("time_s", [0, -1, 2**33], ids=["epoch", "before", "far"])
def test_any_time_of_the_last_use_can_be_listed(time_s: int, cache: EngineCache) -> None:
    add_engine(cache)
    os.utime(cache.entries()[0].plan.with_suffix(".json"), (time_s, time_s))
    assert cache.entries()[0].used.year >= 1970


def test_prune_removes_only_engines(cache: EngineCache) -> None:
    add_engine(cache)
    add_engine(cache, OLD_KEY)
    other_files = ["notes.json", "default.plan", "default-12.plan", ".x.lock", "timing-1.cache"]
    for name in other_files:
        (cache.folder / name).write_text("other")
    (removed,) = cache.prune(lambda entry: entry.sidecar.key == KEY)
    assert removed.sidecar.key == OLD_KEY
    assert [entry.sidecar.key for entry in cache.entries()] == [KEY]
    cache.prune(keep_none)
    assert sorted(os.listdir(cache.folder)) == sorted(other_files)


@pytest.mark.parametrize("left", [".plan", ".json", ".plan.123"])
def test_prune_removes_incomplete_engines(left: str, cache: EngineCache) -> None:
    add_engine(cache)
    plan = cache.entries()[0].plan
    if left == ".plan.123":
        (plan.parent / f".{plan.name}.123").write_bytes(b"half")
        plan.unlink()
        plan.with_suffix(".json").unlink()
    else:
        plan.with_suffix(left).unlink()
    assert [bool(entry.fault) for entry in cache.prune(lambda entry: not entry.fault)] == [True]
    assert os.listdir(cache.folder) == []


def test_prune_skips_an_engine_that_is_being_built(cache: EngineCache) -> None:
    add_engine(cache)
    add_engine(cache, OLD_KEY)
    building = cache.entries()[0].plan
    with hold_lock(building.with_name(f".{building.stem}.lock"), lambda: None):
        assert len(cache.prune(keep_none)) == 1
        assert [entry.plan for entry in cache.entries()] == [building]
    assert [entry.plan for entry in cache.prune(keep_none)] == [building]


def test_prune_checks_again_under_the_lock(cache: EngineCache) -> None:
    """Another process may have rebuilt the engine between the first check and the lock."""
    add_engine(cache)
    faults: list[str] = []

    def keep(entry: EngineEntry) -> bool:
        faults.append(entry.fault)
        return len(faults) > 1

    assert cache.prune(keep) == [] and faults == ["", ""]
    assert len(cache.entries()) == 1


def test_a_missing_folder_counts_as_empty(cache: EngineCache) -> None:
    assert cache.entries() == [] and cache.prune(keep_none) == []
    assert cache.timing_cache(KEY) == b""
    assert not cache.folder.exists()


def test_timings_depend_on_tensorrt_and_gpu_only(cache: EngineCache) -> None:
    cache.keep_timing_cache(KEY, b"timings")
    assert (
        cache.timing_cache(replace(KEY, model_sha256="b" * 64, precision="fp32", shapes="", options="")) == b"timings"
    )
    for field in ("tensorrt", "gpu", "compute_capability"):
        assert cache.timing_cache(replace(KEY, **{field: "another"})) == b""


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "short": lambda data: data[:-1],
    "long": lambda data: data + b"!",
    "changed": lambda data: data[:-1] + b"!",
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_damaged_timings_are_ignored(damage: str, cache: EngineCache) -> None:
    cache.keep_timing_cache(KEY, b"timings")
    (file,) = cache.folder.iterdir()
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    assert cache.timing_cache(KEY) == b""


def test_unfinished_files_of_killed_processes_are_removed(cache: EngineCache) -> None:
    left = cache.folder / ".unfinished-0123456789abcdef"
    left.mkdir(parents=True)
    (left / "file.plan").write_bytes(b"half")
    (left / "lock").touch()
    cache.prune(lambda entry: True)
    assert list(cache.folder.iterdir()) == []


def test_timings_are_dropped_if_they_cannot_be_stored(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = EngineCache(tmp_path / "file")
    cache.keep_timing_cache(KEY, b"timings")
    assert cache.timing_cache(KEY) == b""


def test_timings_are_removed_with_the_last_engine(cache: EngineCache) -> None:
    for key in (KEY, OLD_KEY):
        add_engine(cache, key)
        cache.keep_timing_cache(key, b"timings")
    cache.prune(lambda entry: entry.sidecar.key == KEY)
    assert cache.timing_cache(KEY) == b"timings" and cache.timing_cache(OLD_KEY) == b""


def test_the_default_folder_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert EngineCache().folder == tmp_path / ".cache" / "pose_ros" / "engines"
    assert EngineCache(Path("~/mine")).folder == tmp_path / "mine"


def test_a_lock_excludes_threads_of_this_process(tmp_path: Path) -> None:
    path, events = tmp_path / "lock", []
    with ExitStack() as first:
        first.enter_context(hold_lock(path, lambda: events.append("first waits")))

        def release() -> None:
            events.append("second waits")
            first.close()

        with hold_lock(path, release):
            events.append("second has it")
            assert path.exists()
    assert events == ["second waits", "second has it"] and not path.exists()
