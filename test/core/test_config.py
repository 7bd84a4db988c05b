"""Test the settings: checks on construction, and descriptions for parameters and help texts."""

import dataclasses

import pytest

import pose_ros.training.config  # noqa: F401  (defines the settings of data sets and training)
from pose_ros.config import (
    DecoderConfig,
    DepthConfig,
    EstimatorConfig,
    OverlayConfig,
    PreprocessConfig,
    RuntimeConfig,
)
from pose_ros.settings import CheckedSettings

ALL = (PreprocessConfig, RuntimeConfig, DecoderConfig, OverlayConfig, DepthConfig)


@pytest.mark.parametrize("kind", ALL)
def test_every_setting_has_a_description_and_a_valid_default(kind: type) -> None:
    config = kind()
    for entry in dataclasses.fields(config):
        assert entry.metadata["help"].endswith("."), entry.name
        assert isinstance(entry.default, (bool, int, float, str, tuple)), entry.name


def list_kinds(base: type = CheckedSettings) -> list[type]:
    """List all classes of settings: of the estimator, the data sets and the training."""
    return [kind for each in base.__subclasses__() for kind in (each, *list_kinds(each))]


@pytest.mark.parametrize("kind", [*list_kinds(), EstimatorConfig])
def test_settings_never_change(kind: type) -> None:
    """A changed value would pass no check, and threads and processes share the settings."""
    config = object.__new__(kind)
    for entry in dataclasses.fields(config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, entry.name, None)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DecoderConfig(score_threshold=1.5), ValueError, "DecoderConfig.score_threshold: expected 0.0 to 1.0"),
        (lambda: DecoderConfig(score_threshold=float("nan")), ValueError, "score_threshold"),
        (lambda: DecoderConfig(max_peaks=-1), ValueError, "max_peaks: expected 0 to 1000, got -1"),
        (lambda: DecoderConfig(max_peaks=2.5), TypeError, "max_peaks: expected int, got float 2.5"),
        (lambda: DecoderConfig(max_peaks=True), TypeError, "max_peaks: expected int, got bool"),
        (lambda: DecoderConfig(subpixel="cubic"), ValueError, "subpixel: expected one of auto, none, quarter"),
        (
            lambda: RuntimeConfig(backend="cuda"),
            ValueError,
            "backend: expected one of auto, tensorrt, onnx, openvino, torch, triton, got 'cuda'",
        ),
        (lambda: RuntimeConfig(warm_up=1), TypeError, "warm_up: expected bool"),
        (lambda: OverlayConfig(thickness=0.0), ValueError, "thickness"),
    ],
)
def test_bad_values_are_refused(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_integers_are_accepted_as_floats() -> None:
    assert DecoderConfig(score_threshold=1).score_threshold == 1


def test_configs_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EstimatorConfig().decoder.max_peaks = 3  # type: ignore[misc]
