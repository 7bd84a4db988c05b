"""What a cache of engines lists, and what it removes; the timings that it keeps."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from pose_ros.runtime.tensorrt.cache import EngineCache, EngineEntry
from pose_ros.runtime.tensorrt.key import EngineKey
from pose_ros.runtime.tensorrt.lock import locked

KEY = EngineKey("a" * 64, "10.3.0", "Orin", "8.7", "fp16", "1x3x368x656", "level 3")
OLD_KEY = replace(KEY, tensorrt="8.6.1")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def put(cache: EngineCache, key: EngineKey = KEY, name: str = "default") -> None:
    cache.get(key, name.encode, lambda line: None, name, versions={"cuda": "12.6"})


def none(entry: EngineEntry) -> bool:
    return False


def test_two_models_of_one_name_lie_beside_each_other(cache: EngineCache) -> None:
    keys = [replace(KEY, model_sha256=letter * 64) for letter in "ab"]
    for key in keys:
        cache.get(key, key.model_sha256.encode, lambda line: None, "model")
    for key in keys:
        assert cache.get(key, lambda: b"anew", lambda line: None, "model") == key.model_sha256.encode()


def test_an_entry_knows_what_its_engine_is(cache: EngineCache) -> None:
    put(cache)
    (entry,) = cache.entries()
    assert (entry.model, entry.fault, entry.size_bytes) == ("default", "", 7)
    assert entry.sidecar.key == KEY and entry.sidecar.build_s >= 0
    assert entry.sidecar.versions.keys() == {"pose_ros", "python", "cuda"}
    assert abs((entry.used - entry.sidecar.built).total_seconds()) < 10


def test_using_an_engine_is_recorded(cache: EngineCache) -> None:
    put(cache)
    (before,) = cache.entries()
    sidecar = before.plan.with_suffix(".json")
    os.utime(sidecar, (1e9, 1e9))
    assert cache.entries()[0].used.year == 2001
    put(cache)
    assert cache.entries()[0].used >= before.sidecar.built


@pytest.mark.parametrize("time_s", [0, -1, 2**33], ids=["epoch", "before", "far"])
def test_any_time_of_use_can_be_listed(time_s: int, cache: EngineCache) -> None:
    put(cache)
    os.utime(cache.entries()[0].plan.with_suffix(".json"), (time_s, time_s))
    assert cache.entries()[0].used.year >= 1970


def test_prune_removes_what_is_not_kept_and_nothing_else(cache: EngineCache) -> None:
    put(cache)
    put(cache, OLD_KEY)
    strange = ["notes.json", "default.plan", "default-12.plan", ".x.lock", "timing-1.cache"]
    for name in strange:
        (cache.folder / name).write_text("mine")
    (removed,) = cache.prune(lambda entry: entry.sidecar.key == KEY)
    assert removed.sidecar.key == OLD_KEY
    assert [entry.sidecar.key for entry in cache.entries()] == [KEY]
    cache.prune(none)
    assert sorted(os.listdir(cache.folder)) == sorted(strange)


@pytest.mark.parametrize("left", [".plan", ".json", ".plan.123"])
def test_prune_removes_what_is_left_of_an_engine(left: str, cache: EngineCache) -> None:
    put(cache)
    plan = cache.entries()[0].plan
    if left == ".plan.123":
        (plan.parent / f".{plan.name}.123").write_bytes(b"half")
        plan.unlink()
        plan.with_suffix(".json").unlink()
    else:
        plan.with_suffix(left).unlink()
    assert [bool(entry.fault) for entry in cache.prune(lambda entry: not entry.fault)] == [True]
    assert os.listdir(cache.folder) == []


def test_prune_removes_nothing_that_is_being_built(cache: EngineCache) -> None:
    put(cache)
    put(cache, OLD_KEY)
    building = cache.entries()[0].plan
    with locked(building.with_name(f".{building.stem}.lock"), lambda: None):
        assert len(cache.prune(none)) == 1
        assert [entry.plan for entry in cache.entries()] == [building]
    assert [entry.plan for entry in cache.prune(none)] == [building]


def test_prune_looks_again_once_it_has_the_lock(cache: EngineCache) -> None:
    """Between the first look and the lock another process may have built the engine anew."""
    put(cache)
    looks: list[str] = []

    def keep(entry: EngineEntry) -> bool:
        looks.append(entry.fault)
        return len(looks) > 1

    assert cache.prune(keep) == [] and looks == ["", ""]
    assert len(cache.entries()) == 1


def test_a_folder_that_does_not_exist_is_empty(cache: EngineCache) -> None:
    assert cache.entries() == [] and cache.prune(none) == []
    assert cache.timing_cache(KEY) == b""
    assert not cache.folder.exists()


def test_timings_are_those_of_tensorrt_and_gpu(cache: EngineCache) -> None:
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
def test_damaged_timings_are_none(damage: str, cache: EngineCache) -> None:
    cache.keep_timing_cache(KEY, b"timings")
    (file,) = cache.folder.iterdir()
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    assert cache.timing_cache(KEY) == b""


def test_timings_that_cannot_be_kept_are_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = EngineCache(tmp_path / "file")
    cache.keep_timing_cache(KEY, b"timings")
    assert cache.timing_cache(KEY) == b""


def test_timings_go_with_the_last_engine(cache: EngineCache) -> None:
    for key in (KEY, OLD_KEY):
        put(cache, key)
        cache.keep_timing_cache(key, b"timings")
    cache.prune(lambda entry: entry.sidecar.key == KEY)
    assert cache.timing_cache(KEY) == b"timings" and cache.timing_cache(OLD_KEY) == b""


def test_the_users_own_folder_unless_another_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert EngineCache().folder == tmp_path / ".cache" / "pose_ros" / "engines"
    assert EngineCache(Path("~/mine")).folder == tmp_path / "mine"


def test_a_lock_shuts_out_threads_of_this_process(tmp_path: Path) -> None:
    path, events = tmp_path / "lock", []
    with ExitStack() as first:
        first.enter_context(locked(path, lambda: events.append("first waits")))

        def release() -> None:
            events.append("second waits")
            first.close()

        with locked(path, release):
            events.append("second has it")
            assert path.exists()
    assert events == ["second waits", "second has it"] and not path.exists()
