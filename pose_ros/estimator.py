"""The pose estimator: image in, people out."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pose_ros.arrays import AnyArray, ByteArray, Image
from pose_ros.config import DecoderConfig, EstimatorConfig
from pose_ros.decoder import fields_read, make_decoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.models.model_file import DEFAULT_MODEL, read_spec
from pose_ros.people import People
from pose_ros.preprocess import ImageTransform, Preprocessor
from pose_ros.runtime import load_runner
from pose_ros.runtime.model_checksum import model_sha256
from pose_ros.runtime.runner import BuildProgress, Runner
from pose_ros.skeleton import Skeleton


@dataclass(frozen=True)
class Estimate:
    """The people of one image and where the time went, in milliseconds."""

    people: People
    preprocess_ms: float
    network_ms: float
    decode_ms: float


@dataclass(frozen=True)
class _Prepared:
    """One image on its way through the network."""

    tensor: AnyArray
    transform: ImageTransform
    preprocess_ms: float


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
        self._choose_decoder(config.decoder)
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
        progress: BuildProgress | None = None,
        say: Callable[[str], None] | None = None,
    ) -> PoseEstimator:
        """Load a model file. With TensorRT, the first time builds an engine: from seconds to an hour.

        Args:
            model: ONNX file, or a checkpoint that ``pose_ros.checkpoint`` reads (it needs torch); None is the default
                model of this package.
            runtime: ``"tensorrt"``, ``"onnx"``, ``"openvino"``, ``"torch"``, or ``"auto"``, which takes the first that
                works here, and torch for a checkpoint; ``runner.reason`` then says why. Anything but auto overrides
                ``config.runtime.backend``.
            grouping: ``"paf"``, ``"tag"``, ``"personlab"``, ``"centernet"`` or ``"single"``; None takes the one that
                the model prefers.
            spec: Description of the model, or a YAML file of it; None reads the one in the model's metadata, or the
                YAML file beside the model.
            config: Settings of all stages.
            progress: Told how far the build of an engine is, from other threads.
            say: Told in one line what a person should know of a runtime, such as why it builds; from other threads.

        Raises:
            FileNotFoundError: If there is no such file.
            ImportError: If the runtime asked for cannot work on this machine; the message tells what to do.
            ValueError: If the model cannot be read, has no description, or does not fit it, or if settings exclude
                each other.
        """
        path = Path(model) if model is not None else DEFAULT_MODEL
        config = config or EstimatorConfig()
        if runtime != "auto":
            config = replace(config, runtime=replace(config.runtime, backend=runtime))
        runner = load_runner(path, config.runtime, progress, say)
        try:
            if not isinstance(spec, ModelSpec):
                spec = read_spec(path, runner.metadata, spec)
            return cls(runner, spec, config, grouping, f"{spec.name}-{model_sha256(path)[:8]}")
        except BaseException:
            runner.close()
            raise

    def _warm_up(self) -> None:
        """Run every stage once, so that the first image waits for no compiler: on an empty image there is nobody."""
        side = self.spec.input.short_side
        tensor, _ = self._preprocess(np.zeros((side, side, 3), np.uint8))
        self._decode(_crowded(self.spec.fields(self._outputs(tensor))))

    def _outputs(self, tensor: AnyArray) -> dict[str, AnyArray]:
        """Run the network; only what the decoder reads is fetched."""
        return self.runner.run({self.spec.input.tensor: tensor}, self._wanted)

    def _choose_decoder(self, config: DecoderConfig) -> None:
        self._decode = make_decoder(self.spec, self.grouping, config)
        read = fields_read(self.spec, self.grouping, config)
        if "peaks" in read:
            _check_front(self.spec, self.runner, config)
        self._wanted = {head.tensor for head in self.spec.heads if head.field in read}

    def with_decoder(self, config: DecoderConfig) -> PoseEstimator:
        """An estimator with other decoder settings on the same runner, which both give back when one is closed.

        Raises:
            ValueError: If the model cannot be decoded with these settings.
        """
        other = copy.copy(self)
        other.config = replace(self.config, decoder=config)
        other._choose_decoder(config)
        return other

    @property
    def max_batch(self) -> int:
        """Most images that one run takes: ``config.runtime.max_batch``, or 1 where the network has a fixed batch."""
        batch = self.runner.inputs[0].shape[0]
        return self.config.runtime.max_batch if batch is None else 1

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints that this model finds."""
        return self.spec.skeleton

    def estimate(self, image_bgr: Image) -> People:
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

    def process(self, image: Image, colour: str = "bgr") -> Estimate:
        """Like ``estimate``, for either channel order (``"bgr"`` or ``"rgb"``), with the time of each stage."""
        return self.process_batch([image], [colour])[0]

    def process_batch(self, images: Sequence[ByteArray], colours: Sequence[str]) -> list[Estimate]:
        """Like ``process`` for each image; those that become tensors of one shape share runs of up to ``max_batch``.

        ``network_ms`` is the time of the whole run that an image had a part in.
        """
        prepared = [self._prepare(image, colour) for image, colour in zip(images, colours, strict=True)]
        estimates: dict[int, Estimate] = {}
        for indices in _batches([entry.tensor.shape for entry in prepared], self.max_batch):
            estimates.update(zip(indices, self._run([prepared[index] for index in indices]), strict=True))
        return [estimates[index] for index in range(len(prepared))]

    def _prepare(self, image: Image, colour: str) -> _Prepared:
        start = time.perf_counter()
        tensor, transform = self._preprocess(image, colour)
        return _Prepared(tensor, transform, 1e3 * (time.perf_counter() - start))

    def _run(self, batch: Sequence[_Prepared]) -> list[Estimate]:
        start = time.perf_counter()
        tensors = [entry.tensor for entry in batch]
        outputs = self._outputs(tensors[0] if len(tensors) == 1 else np.concatenate(tensors))
        network_ms = 1e3 * (time.perf_counter() - start)
        return [self._decoded(entry, self.spec.fields(outputs, i), network_ms) for i, entry in enumerate(batch)]

    def _decoded(self, entry: _Prepared, fields: Fields, network_ms: float) -> Estimate:
        start = time.perf_counter()
        people = self._decode(fields)
        people = people.with_keypoints(entry.transform.to_image(people.keypoints))
        return Estimate(people, entry.preprocess_ms, network_ms, 1e3 * (time.perf_counter() - start))

    def close(self) -> None:
        """Give back the network's memory; the estimator is unusable afterwards."""
        self.runner.close()


def _batches(shapes: Sequence[tuple[int, ...]], most: int) -> list[list[int]]:
    """The indices of equal shapes together, at most so many at a time."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        alike.setdefault(shape, []).append(index)
    return [group[i : i + most] for group in alike.values() for i in range(0, len(group), most)]


def _crowded(fields: Fields) -> Fields:
    """Fields of the same channels, small and full of peaks, ties and links."""
    random = np.random.default_rng(0)
    shapes = {name: array.shape for name, array in vars(fields).items() if array is not None}
    small = {name: (channels, *(min(side, 12) for side in sides)) for name, (channels, *sides) in shapes.items()}
    return Fields(**{name: random.integers(0, 4, shape) / 4 for name, shape in small.items()})


def _check_front(spec: ModelSpec, runner: Runner, config: DecoderConfig) -> None:
    """Hold ``max_peaks`` against a decode front; at its default, the front's own number counts.

    Raises:
        ValueError: If it asks for more.
    """
    tensor = next(head.tensor for head in spec.heads if head.field == "peaks")
    most = next(output.shape[2] for output in runner.outputs if output.name == tensor)
    if config.max_peaks != DecoderConfig().max_peaks and most is not None and config.max_peaks > most:
        raise ValueError(
            f"decoder.max_peaks: expected at most the {most} of the decode front in model {spec.name}, got "
            f"{config.max_peaks}; export it with --max-peaks {config.max_peaks}, or without --front"
        )


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
