"""Test which file a model is."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pose_ros.estimator import PoseEstimator
from pose_ros.models.model_file import DEFAULT_MODEL, find_model


def test_default_is_the_model_of_this_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("default").mkdir()  # e.g. the output folder of a run
    assert find_model(None) == find_model(Path("default")) == DEFAULT_MODEL
    assert find_model(Path("other.pt")) == Path("other.pt") and find_model(Path("my/default")) == Path("my/default")
    with closing(PoseEstimator.load("default", runtime="onnx")) as estimator:
        assert estimator.model_name.startswith("default-")
    with pytest.raises(FileNotFoundError, match="got defaults, which does not exist"):
        PoseEstimator.load("defaults", runtime="onnx")


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("default").write_bytes(b"a model")
    assert find_model(Path("default")) == Path("default")
