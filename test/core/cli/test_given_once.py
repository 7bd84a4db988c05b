"""Test that a setting that is given twice is rejected."""

from __future__ import annotations

import pytest

from pose_ros.cli.options import load_estimator, refuse_twice
from pose_ros.config import EstimatorConfig, RuntimeConfig


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (["preprocess.short_side=64"], {"preprocess.short_side": 96}, "got --short-side as well"),
        (["steps=4"], {"output": "a", "steps": 3}, "--set steps: expected the setting once, got --steps as well"),
    ],
    ids=["short side", "steps"],
)  # fmt: skip
def test_a_setting_is_given_once(settings: list[str], options: dict[str, object], message: str) -> None:
    refuse_twice(settings, dict.fromkeys(options))
    refuse_twice(["decoder.max_people=3"], options)
    with pytest.raises(ValueError, match=message):
        refuse_twice(settings, options)
    with pytest.raises(ValueError, match="expected the setting once, got it 2 times"):
        refuse_twice([*settings, *settings], {})


def test_two_runtimes_are_rejected() -> None:
    config = EstimatorConfig(runtime=RuntimeConfig(backend="onnx"))
    with pytest.raises(ValueError, match=r"--runtime: expected the runtime once, got openvino and"):
        load_estimator(None, spec=None, runtime="openvino", grouping=None, config=config)
