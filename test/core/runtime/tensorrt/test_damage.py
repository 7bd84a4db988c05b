"""Test damaged and hostile files: they are never loaded, and no file outside the cache is touched."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_ros.runtime.tensorrt.cache import EngineCache
from pose_ros.runtime.tensorrt.file import Sidecar, plan_name
from pose_ros.runtime.tensorrt.key import EngineKey

KEY = EngineKey("a" * 64, "10.3.0", "Orin", "8.7", "fp16", "1x3x368x656", "level 3")
OLD, NEW = bytes(range(200)), b"new"
FEW = settings(max_examples=30)  # each example creates and removes files
BUILT = datetime(2026, 11, 20, tzinfo=timezone.utc)


@pytest.fixture(autouse=True, scope="module")
def without_fsync() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(os, "fsync", lambda descriptor: None)
        yield


@contextmanager
def make_engine(plan: bytes = OLD) -> Iterator[tuple[EngineCache, Path]]:
    """Make a cache with one engine. Yield the cache and the path of the plan."""
    with TemporaryDirectory() as folder:
        cache = EngineCache(Path(folder) / "engines")
        cache.get(KEY, lambda: plan, lambda line: None, "default")
        yield cache, cache.folder / plan_name(KEY, "default")


def get(cache: EngineCache, key: EngineKey = KEY) -> bytes:
    return cache.get(key, lambda: NEW, lambda line: None, "default")


@FEW
@given(field=st.sampled_from(list(KEY.to_dict())), text=st.text())
def test_another_field_value_is_another_engine(field: str, text: str) -> None:
    other = replace(KEY, **{field: text})
    with make_engine() as (cache, _):
        assert get(cache, other) == (OLD if other == KEY else NEW)
        assert get(cache) == OLD


@pytest.mark.parametrize("file", [".plan", ".json"])
def test_every_changed_byte_is_detected(file: str) -> None:
    with make_engine() as (cache, plan), plan.with_suffix(file).open("r+b", buffering=0) as damaged:
        data = damaged.read()
        for index, byte in enumerate(data):
            os.pwrite(damaged.fileno(), bytes([byte ^ 1]), index)
            assert cache.entries()[0].fault, index
            os.pwrite(damaged.fileno(), bytes([byte]), index)
        assert not cache.entries()[0].fault
        for length in reversed(range(len(data))):
            damaged.truncate(length)
            assert cache.entries()[0].fault, length


@FEW
@given(file=st.sampled_from([".plan", ".json"]), where=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_damaged_engine_is_rebuilt(file: str, where: float, byte: int) -> None:
    """Change one byte, or truncate the file there if ``byte`` is 0."""
    with make_engine() as (cache, plan):
        path = plan.with_suffix(file)
        data = path.read_bytes()
        index = int(where * len(data))
        path.write_bytes(data[:index] + bytes([data[index] ^ byte]) + data[index + 1 :] if byte else data[:index])
        assert get(cache) == NEW
        assert cache.get(KEY, lambda: OLD, lambda line: None, "default") == NEW


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = ("key", "model", "plan_sha256", "plan_bytes", "built", "build_s", "versions", "more")


def sign(body: object) -> bytes:
    """Add the correct checksum, as an attacker would."""
    if isinstance(body, dict):
        body = {**body, "sidecar_sha256": hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()}
    return json.dumps(body, sort_keys=True, indent=1).encode() + b"\n"


def body_of(plan: Path) -> dict[str, object]:
    body = json.loads(plan.with_suffix(".json").read_bytes())
    del body["sidecar_sha256"]
    return body


@FEW
@given(name=st.sampled_from(ENTRIES), value=JSON)
def test_a_signed_wrong_sidecar_never_loads_a_wrong_plan(name: str, value: object) -> None:
    with make_engine() as (cache, plan):
        plan.with_suffix(".json").write_bytes(sign({**body_of(plan), name: value}))
        assert [entry.plan for entry in cache.entries()] == [plan]
        assert get(cache) in (OLD, NEW)  # the plan file is still OLD


@FEW
@given(data=st.binary(max_size=300) | JSON.map(sign))
def test_any_other_content_of_the_sidecar_is_detected(data: bytes) -> None:
    with make_engine() as (cache, plan):
        plan.with_suffix(".json").write_bytes(data)
        assert cache.entries()[0].sidecar is None
        assert get(cache) == NEW


@pytest.mark.parametrize(
    "data", [b"[" * 60000, b"9" * 60000, b'{"key":' * 9000, b"\xff\xfe", b"NaN"], ids=lambda data: repr(data[:7])
)
def test_json_that_breaks_parsers_is_detected(data: bytes) -> None:
    with make_engine() as (cache, plan):
        plan.with_suffix(".json").write_bytes(data)
        assert cache.entries()[0].fault.startswith("its sidecar is not valid")
        assert get(cache) == NEW


@pytest.mark.parametrize(
    "name",
    ["../../outside", "/etc/outside", "a/b", "..", "", ".hidden", "-rf", "a\0b", "ä\n", "*", "n" * 500],
    ids=repr,
)
def test_no_model_name_leads_out_of_the_folder(name: str) -> None:
    with make_engine() as (cache, _):
        assert cache.get(KEY, lambda: NEW, lambda line: None, name) == NEW
        assert cache.get(KEY, lambda: OLD, lambda line: None, name) == NEW
        assert {path.parent for path in cache.folder.parent.rglob("*.*")} == {cache.folder}
        assert sorted(entry.model for entry in cache.entries()) == sorted(["default", name])
        assert len(cache.prune(lambda entry: entry.model == "default")) == 1


def write_outside(plan: Path) -> Path:
    """Write a file outside the cache."""
    path = plan.parent.parent / "precious"
    path.write_bytes(b"precious")
    return path


LINKS: dict[str, Callable[[Path], Path]] = {
    "plan": lambda plan: plan,
    "sidecar": lambda plan: plan.with_suffix(".json"),
    "lock": lambda plan: plan.with_name(f".{plan.stem}.lock"),
    "unfinished": lambda plan: plan.with_name(f".{plan.name}.0123456789abcdef"),
}


@pytest.mark.parametrize("which", list(LINKS))
def test_the_target_of_a_link_is_not_touched(which: str) -> None:
    with make_engine() as (cache, plan):
        precious, link = write_outside(plan), LINKS[which](plan)
        plan.unlink()
        link.unlink(missing_ok=True)
        link.symlink_to(precious)
        assert get(cache) == NEW
        cache.prune(lambda entry: False)
        assert precious.read_bytes() == b"precious"


def test_folders_in_place_of_files_are_not_touched() -> None:
    with make_engine() as (cache, plan):
        plan.unlink()
        plan.mkdir()
        assert get(cache) == NEW
        cache.prune(lambda entry: False)
        assert plan.is_dir()


def test_a_sidecar_with_other_file_names_removes_none_of_them() -> None:
    with make_engine() as (cache, plan):
        precious = write_outside(plan)
        sidecar = Sidecar(
            KEY, "../precious", hashlib.sha256(OLD).hexdigest(), len(OLD), BUILT, 1.0, {"../precious": ""}
        )
        plan.with_suffix(".json").write_bytes(sidecar.to_bytes())
        assert [entry.model for entry in cache.prune(lambda entry: False)] == ["../precious"]
        assert precious.read_bytes() == b"precious"


def test_the_target_of_a_link_in_place_of_timings_is_not_touched() -> None:
    with make_engine() as (cache, plan):
        precious = write_outside(plan)
        cache.keep_timing_cache(KEY, b"timings")
        (timings,) = cache.folder.glob("timing-*")
        timings.unlink()
        timings.symlink_to(precious)
        assert cache.timing_cache(KEY) == b""
        cache.keep_timing_cache(KEY, b"more")
        assert cache.timing_cache(KEY) == b"more"
        assert precious.read_bytes() == b"precious"


def test_an_engine_with_a_wrong_file_name_is_broken() -> None:
    with make_engine() as (cache, plan):
        other = plan.with_name(f"default-{'0' * 16}.plan")
        for suffix in (".plan", ".json"):
            plan.with_suffix(suffix).rename(other.with_suffix(suffix))
        assert [entry.fault for entry in cache.entries()] == ["its sidecar belongs to another engine"]


def test_a_disk_that_fills_up_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail_later(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with make_engine() as (cache, plan):
        cache.prune(lambda entry: False)
        monkeypatch.setattr(os, "fsync", fail_later)
        assert get(cache) == NEW and len(calls) == 2
        assert os.listdir(plan.parent) == []
