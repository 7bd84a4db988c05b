"""The pose estimator: image in, people out."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.config import EstimatorConfig
from pose_ros.decoder import fields_read, make_decoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.model_file import DEFAULT_MODEL, read_spec
from pose_ros.people import People
from pose_ros.preprocess import Preprocessor
from pose_ros.runtime import load_runner
from pose_ros.runtime.runner import Runner
from pose_ros.skeleton import Skeleton


@dataclass(frozen=True)
class Estimate:
    """The people of one image and where the time went, in milliseconds."""

    people: People
    preprocess_ms: float
    network_ms: float
    decode_ms: float


class PoseEstimator:
    """Finds the people in images. ``estimate`` may be called from several threads.

    Attributes:
        spec: Description of the model.
        runner: The loaded network.
        config: The settings it was made with.
        grouping: The way people are formed.
        model_name: Name and short hash of the model, e.g. ``"default-1f0c2a9b"``.
    """

    def __init__(
        self,
        runner: Runner,
        spec: ModelSpec,
        config: EstimatorConfig,
        grouping: str | None = None,
        model_name: str = "",
    ) -> None:
        self.runner = runner
        self.spec = _checked(spec, runner)
        self.config = config
        self.model_name = model_name or spec.name
        self._preprocess = Preprocessor(self.spec.input, config.preprocess)
        self.grouping = grouping or self.spec.grouping
        self._decode = make_decoder(self.spec, self.grouping, config.decoder)
        read = fields_read(self.spec, self.grouping, config.decoder)
        self._wanted = {head.tensor for head in self.spec.heads if head.field in read}
        if config.runtime.warm_up:
            self._warm_up()

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        runtime: str = "auto",
        grouping: str | None = None,
        spec: ModelSpec | str | Path | None = None,
        config: EstimatorConfig | None = None,
    ) -> PoseEstimator:
        """Load a model file.

        Args:
            model: ONNX file, or a checkpoint that ``pose_ros.checkpoint`` reads (it needs torch); None is the default
                model of this package.
            runtime: ``"auto"``, ``"onnx"`` or ``"torch"``; anything but auto overrides ``config.runtime.backend``.
            grouping: ``"paf"``, ``"tag"``, ``"personlab"``, ``"centernet"`` or ``"single"``; None takes the one that
                the model prefers.
            spec: Description of the model, or a YAML file of it; None reads the one in the model's metadata, or the
                YAML file beside the model.
            config: Settings of all stages.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the model cannot be read, has no description, or does not fit it.
        """
        path = Path(model) if model is not None else DEFAULT_MODEL
        config = config or EstimatorConfig()
        if runtime != "auto":
            config = replace(config, runtime=replace(config.runtime, backend=runtime))
        runner = load_runner(path, config.runtime)
        if not isinstance(spec, ModelSpec):
            spec = read_spec(path, runner.metadata, spec)
        return cls(runner, spec, config, grouping, f"{spec.name}-{_short_hash(path)}")

    def _warm_up(self) -> None:
        """Run every stage once, so that the first image waits for no compiler: on an empty image there is nobody."""
        side = self.spec.input.short_side
        tensor, _ = self._preprocess(np.zeros((side, side, 3), np.uint8))
        self._decode(_crowded(self._fields(tensor)))

    def _fields(self, tensor: npt.NDArray[Any]) -> Fields:
        """Run the network; only what the decoder reads is fetched."""
        return self.spec.fields(self.runner.run({self.spec.input.tensor: tensor}, self._wanted))

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints that this model finds."""
        return self.spec.skeleton

    def estimate(self, image_bgr: npt.NDArray[np.uint8]) -> People:
        """Find the people in an image.

        Args:
            image_bgr: (H, W, 3) uint8, or (H, W) grey. Not modified.

        Returns:
            The people, the best first, in pixels of this image.

        Raises:
            TypeError: If the image is not an array.
            ValueError: If it is not uint8 of that shape, or is empty.
        """
        return self.process(image_bgr).people

    def process(self, image: npt.NDArray[np.uint8], colour: str = "bgr") -> Estimate:
        """Like ``estimate``, for either channel order (``"bgr"`` or ``"rgb"``), with the time of each stage."""
        start = time.perf_counter()
        tensor, transform = self._preprocess(image, colour)
        prepared = time.perf_counter()
        fields = self._fields(tensor)
        inferred = time.perf_counter()
        people = self._decode(fields)
        people = people.with_keypoints(transform.to_image(people.keypoints))
        done = time.perf_counter()
        return Estimate(people, 1e3 * (prepared - start), 1e3 * (inferred - prepared), 1e3 * (done - inferred))

    def close(self) -> None:
        """Give back the network's memory; the estimator is unusable afterwards."""
        self.runner.close()


def _crowded(fields: Fields) -> Fields:
    """Fields of the same channels, small and full of peaks, ties and links."""
    random = np.random.default_rng(0)
    shapes = {name: array.shape for name, array in vars(fields).items() if array is not None}
    small = {name: (channels, *(min(side, 12) for side in sides)) for name, (channels, *sides) in shapes.items()}
    return Fields(**{name: random.integers(0, 4, shape) / 4 for name, shape in small.items()})


def _short_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def _checked(spec: ModelSpec, runner: Runner) -> ModelSpec:
    """Hold a description against the network, and take its fixed input size over.

    Raises:
        ValueError: If the description names an input or output that the network has not, or of another type.
    """
    inputs = {tensor.name: tensor for tensor in runner.inputs}
    outputs = {tensor.name for tensor in runner.outputs}
    if set(inputs) != {spec.input.tensor}:
        raise ValueError(f"model {spec.name}: expected the one input {spec.input.tensor!r}, got {sorted(inputs)}")
    unknown = sorted({head.tensor for head in spec.heads} - outputs)
    if unknown or not spec.heads:
        raise ValueError(f"model {spec.name}: expected heads among the outputs {sorted(outputs)}, got {unknown}")
    tensor = inputs[spec.input.tensor]
    if tensor.dtype.name != spec.input.dtype or len(tensor.shape) != 4:
        raise ValueError(
            f"model {spec.name}: expected a 4-D {spec.input.dtype} input, got {len(tensor.shape)}-D {tensor.dtype}"
        )
    height, width = tensor.shape[1:3] if spec.input.layout == "NHWC" else tensor.shape[2:4]
    if height is None or width is None:
        return spec
    return replace(spec, input=replace(spec.input, size_wh=(width, height)))
