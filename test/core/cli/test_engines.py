"""Test ``pose_ros models engines``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pose_ros.cli import app
from pose_ros.runtime.cuda import driver as cuda
from pose_ros.runtime.runner import Unavailable
from pose_ros.runtime.tensorrt.cache import EngineCache
from pose_ros.runtime.tensorrt.file import Sidecar, plan_name
from pose_ros.runtime.tensorrt.key import EngineKey

GPUS = (cuda.Gpu(0, "Orin", (8, 7), 1 << 33, (12, 6), 4), cuda.Gpu(1, "RTX 4070", (8, 9), 1 << 33, (12, 6), 46))
ORIN, RTX = (gpu.model for gpu in GPUS)
KEY = EngineKey("a" * 64, "10.3.0", ORIN, "8.7", "fp16", "1x3x368x656", "level 3")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    """Engine cache in the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return EngineCache()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fake TensorRT and the GPUs of this machine."""

    def install_fakes(tensorrt: str, gpus: Sequence[cuda.Gpu] = GPUS) -> None:
        if tensorrt:
            (tmp_path / "tensorrt.py").write_text(tensorrt)
        monkeypatch.syspath_prepend(tmp_path)

        def find_gpu(index: int = 0) -> cuda.Gpu:
            if index >= len(gpus):
                raise Unavailable("cuda", "no such GPU")
            return gpus[index]

        monkeypatch.setattr(cuda, "find_gpu", find_gpu)

    return install_fakes


def run(*options: object) -> list[str]:
    result = CliRunner().invoke(app, ["models", "engines", *map(str, options)])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def put(cache: EngineCache, name: str = "default", **changes: str) -> Path:
    key = replace(KEY, **changes)
    cache.get(key, lambda: bytes(2_345_678), lambda line: None, name)
    return cache.folder / plan_name(key, name)


def names(cache: EngineCache) -> list[str]:
    return sorted(entry.model for entry in cache.entries())


def test_without_engines(cache: EngineCache) -> None:
    assert run() == [f"no engines in {cache.folder}"]
    assert run("--all") == run("--prune")[-1:] == run()


def test_table(cache: EngineCache) -> None:
    put(cache)
    put(cache, "broken").write_bytes(b"damaged")
    put(cache, "strange").with_suffix(".json").write_text("{}")
    head, broken, default, strange = run()
    assert head.split() == ["model", "TensorRT", "GPU", "precision", "shapes", "MB", "built", "(UTC)", "last", "used"]
    today = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    assert default.split()[:7] == ["default", "10.3.0", "Orin,", "4", "multiprocessors,", "8", "GiB"]
    assert default.split()[7:11] == ["(8.7)", "fp16", "1x3x368x656", "2.3"]
    assert default.count(today) >= 1 and not default.endswith("changed")
    assert broken.endswith("its plan has 7 bytes, expected 2345678") and "0.0" in broken
    assert strange.split()[:5] == ["strange", "-", "-", "-", "-"] and "its sidecar is not valid" in strange


def test_another_folder(cache: EngineCache, tmp_path: Path) -> None:
    put(EngineCache(tmp_path / "robot"), "robots")
    assert run("--cache", tmp_path / "robot")[1].startswith("robots ")
    assert run() == [f"no engines in {cache.folder}"]


def test_prune_removes_engines_that_this_machine_can_never_load(cache: EngineCache, install) -> None:
    install("__version__ = '10.3.0'")
    put(cache, "good")
    put(cache, "good-too", gpu=RTX, compute_capability="8.9", precision="fp32")
    put(cache, "old", tensorrt="8.6.1")
    put(cache, "away", gpu="Xavier", compute_capability="7.2")
    put(cache, "mixed", gpu=ORIN, compute_capability="8.9")
    put(cache, "broken").write_bytes(b"damaged")
    lines = run("--prune")
    removed = dict(line.split(": ", 1) for line in lines if line.startswith("removed"))
    assert {name.split()[1].rpartition("-")[0]: reason for name, reason in removed.items()} == {
        "old": "built for TensorRT 8.6.1, this machine has 10.3.0",
        "away": f"built for Xavier (7.2), this machine has {ORIN} (8.7), {RTX} (8.9)",
        "mixed": f"built for {ORIN} (8.9), this machine has {ORIN} (8.7), {RTX} (8.9)",
        "broken": "its plan has 7 bytes, expected 2345678",
    }
    assert names(cache) == ["good", "good-too"]
    assert [line.split()[0] for line in lines[-2:]] == ["good", "good-too"]


@pytest.mark.parametrize("tensorrt", ["", "raise ImportError('libnvinfer.so.10')", "import os; os.abort()"])
def test_engines_are_kept_if_the_machine_is_unknown(tensorrt: str, cache: EngineCache, install) -> None:
    install(tensorrt, gpus=())
    put(cache, "old", tensorrt="8.6.1", gpu="Xavier")
    put(cache, "broken").write_bytes(b"damaged")
    lines = run("--prune")
    assert "TensorRT: not available, keeping engines for every version" in lines
    assert "GPU: not available, keeping engines for every GPU" in lines
    assert names(cache) == ["old"]


def test_all_removes_all(cache: EngineCache) -> None:
    put(cache, "good")
    put(cache, "broken").unlink()
    lines = run("--all")
    assert [line.split()[:2] for line in lines[:2]] == [
        ["removed", f"{n}-{KEY.digest[:16]}.plan"] for n in ("broken", "good")
    ]
    assert lines[2:] == [f"no engines in {cache.folder}"]
    assert list(cache.folder.iterdir()) == []


def test_untrusted_text_cannot_control_the_terminal(cache: EngineCache) -> None:
    plan = put(cache)
    key = replace(KEY, shapes="\x1b[2J\nsecond line")
    sidecar = Sidecar(key, "\x1b[31m", "", 0, datetime.min, float("nan"), {})
    plan.rename(cache.folder / plan_name(key, "default")).with_suffix(".json").write_bytes(sidecar.to_bytes())
    plan.with_suffix(".json").unlink()
    _, row = run()
    assert row.isprintable() and row.startswith(r"\x1b[31m")


def test_an_unreadable_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["models", "engines", "--cache", str(tmp_path / "file")])
    assert result.exit_code == 1 and result.output.startswith("pose_ros: ") and "Not a directory" in result.output
