"""Estimate the poses of the people in an image."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pose_ros.arrays import AnyArray, ByteArray, FloatArray, Image
from pose_ros.config import AUTO, DecoderConfig, EstimatorConfig
from pose_ros.decoder import fields_to_read, make_decoder
from pose_ros.fields import PERSON_FIELDS, Fields, ModelSpec
from pose_ros.garbage import collect_less
from pose_ros.models.model_file import CHECKSUM_KEY, find_model, read_spec
from pose_ros.once import Once
from pose_ros.overruled import overruled_settings
from pose_ros.people import People
from pose_ros.preprocess import ImageTransform, Preprocessor, make_preprocessors
from pose_ros.runtime import load_runner
from pose_ros.runtime.model_checksum import model_sha256
from pose_ros.runtime.runner import BuildProgress, Notify, Runner
from pose_ros.runtime.triton_address import find_address
from pose_ros.skeleton import Skeleton
from pose_ros.to_image import to_image


@dataclass(frozen=True)
class Estimate:
    """People of one image, and the time of each stage in milliseconds.

    Attributes:
        view: Index of the input size among ``PoseEstimator.short_sides``. None = as configured.
    """

    people: People
    preprocess_ms: float
    network_ms: float
    decode_ms: float
    view: int | None = None


@dataclass(frozen=True)
class _PreparedImage:
    """Preprocessed image, ready for the network."""

    tensor: AnyArray
    transform: ImageTransform
    preprocess_ms: float


class PoseEstimator:
    """Estimator of the people in images. ``estimate`` may be called from several threads.

    Attributes:
        spec: Description of the model.
        runner: Loaded network.
        config: Settings of all stages.
        grouping: Grouping of keypoints into people, a key of GROUPING_HEADS.
        preprocess: Converter from images to the input of the network.
        model_name: Name and short hash of the model, e.g. ``"default-1f0c2a9b"``.
        notify: Receiver of texts about settings without effect. Each text is passed on once.
    """

    def __init__(
        self,
        runner: Runner,
        spec: ModelSpec,
        config: EstimatorConfig,
        grouping: str | None = None,
        model_name: str = "",
        notify: Once | Notify | None = None,
    ) -> None:
        """Prepare all stages.

        Args:
            runner: Loaded network.
            spec: Description of the model.
            config: Settings of all stages.
            grouping: Grouping. None = preferred grouping of the model.
            model_name: Name of the model. Empty = the name in the description.
            notify: Called with one line of text for each setting without effect, once. None = as Python warnings.
        """
        self.notify = notify if isinstance(notify, Once) else Once(notify)
        self.runner = runner
        self.spec = _check_spec(spec, runner)
        self.config = config
        self.model_name = model_name or spec.name
        self._views = make_preprocessors(self.spec.input, config.preprocess, self.notify)
        self.preprocess = self._views[self._find_preferred()]
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
        notify: Notify | None = None,
        before_warm_up: Callable[[], None] | None = None,
    ) -> PoseEstimator:
        """Load a model file. The first load with TensorRT builds an engine, which takes from seconds to an hour.

        Args:
            model: ONNX file, or checkpoint that ``pose_ros.checkpoint`` reads (requires torch), or
                ``"triton://HOST[:PORT]/MODEL"`` on a server. None or ``"default"`` = model of this package.
            runtime: ``"tensorrt"``, ``"onnx"``, ``"openvino"``, ``"torch"``, ``"triton"`` or ``"auto"``. Auto
                selects the first that works on this machine, torch for a checkpoint, or triton for an address.
                ``runner.reason`` then gives the reason. Any other value overrides ``config.runtime.backend``.
            grouping: ``"paf"``, ``"tag"``, ``"personlab"``, ``"centernet"``, ``"single"`` or ``"direct"``. None =
                preferred grouping of the model.
            spec: Description of the model, or its YAML file. None = description in the model's metadata, or the YAML
                file next to the model, or that of a known layout (``models/known_layouts.py``).
            config: Settings of all stages.
            progress: Called with the progress of an engine build, from other threads.
            notify: Called with one line of text for people, such as the reason of a build or a setting without
                effect, also from other threads. None = settings without effect cause Python warnings.
            before_warm_up: Called when the network is loaded, and the decoder is not.

        Raises:
            FileNotFoundError: If the file does not exist.
            ImportError: If the selected runtime does not work on this machine. The message contains the fix.
            ValueError: If the model cannot be read, has no description, or does not match it, or if settings are
                incompatible.
        """
        source = find_address(model) or find_model(Path(model) if model else None)
        config = config or EstimatorConfig()
        if runtime != "auto":
            config = replace(config, runtime=replace(config.runtime, backend=runtime))
        with collect_less():
            runner = load_runner(source, config.runtime, progress, notify)
            try:
                if before_warm_up is not None:
                    before_warm_up()
                if not isinstance(spec, ModelSpec):
                    spec = read_spec(source, runner.metadata, spec, runner)
                return cls(runner, spec, config, grouping, _name_model(source, runner, spec), notify)
            except BaseException:
                runner.close()
                raise

    def _warm_up(self) -> None:
        """Run every stage once, so that the first image does not wait for a compiler.

        The decoder runs on fields full of people, because an empty image contains none. They are noise, so that
        ``matching: partition`` would take minutes without a time limit.
        """
        side = self.spec.input.short_side
        preprocess = Preprocessor(self.spec.input, self.preprocess.config)  # without notify: no user has this image
        tensor, _ = preprocess(np.zeros((side, side, 3), np.uint8))
        size_wh = self.spec.input.tensor_wh(tensor)
        fields = _make_crowded_fields(self.spec.fields(self._run_network(tensor), input_wh=size_wh))
        limited = replace(self.config.decoder, partition_ms=DecoderConfig().partition_ms)
        make_decoder(self.spec, self.grouping, limited)(fields)

    def _run_network(self, tensor: AnyArray) -> dict[str, AnyArray]:
        """Run the network. Fetch only the outputs that the decoder reads."""
        return self.runner.run({self.spec.input.tensor: tensor}, self._output_names)

    def _choose_decoder(self, config: DecoderConfig) -> None:
        self._decode = make_decoder(self.spec, self.grouping, config)
        names = fields_to_read(self.spec, self.grouping, config)
        front = _check_front(self.spec, self.runner, config) if "peaks" in names else None
        settings, batch = replace(self.config, decoder=config), self.runner.inputs[0].shape[0]
        for text in overruled_settings(self.spec, self.grouping, settings, front, batch):
            self.notify(text)
        self._output_names = {head.tensor for head in self.spec.heads if head.field in names}

    def with_decoder(self, config: DecoderConfig) -> PoseEstimator:
        """Make an estimator with other decoder settings on the same runner. Closing one estimator closes both.

        Raises:
            ValueError: If the model cannot be decoded with these settings.
        """
        other = copy.copy(self)
        other.config = replace(self.config, decoder=config)
        other._choose_decoder(config)
        return other

    @property
    def max_batch(self) -> int:
        """Most images per run: ``config.runtime.max_batch``, or 1 if the network has a fixed batch."""
        batch = self.runner.inputs[0].shape[0]
        return self.config.runtime.max_batch if batch is None else 1

    @property
    def short_sides(self) -> tuple[int, ...]:
        """Short side of each input size that an image may have, px. One without ``scales`` and ``auto``."""
        fixed = self.spec.input.size_wh
        return tuple(
            min(fixed) if fixed else view.config.short_side or self.spec.input.short_side for view in self._views
        )

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the model."""
        return self.spec.skeleton

    def estimate(self, image_bgr: Image) -> People:
        """Find the people in an image.

        Args:
            image_bgr: (H, W, 3) uint8, or (H, W) grey. Not modified.

        Returns:
            The people in pixels of this image, sorted by score, the best first.

        Raises:
            TypeError: If the image is not an array.
            ValueError: If the image is not uint8 of that shape, or is empty.
        """
        return self.process(image_bgr).people

    def process(self, image: Image, colour: str = "bgr", *, view: int | None = None) -> Estimate:
        """Find the people in an image, and measure the time of each stage.

        Args:
            image: (H, W, 3) uint8, or (H, W) grey. Not modified.
            colour: Channel order of the image, ``"bgr"`` or ``"rgb"``.
            view: Index of the only input size, among ``short_sides``. None = all ``scales``, or the preferred size of
                the model with ``short_side: auto``, because a single image has no earlier people.

        Raises:
            TypeError: If the image is not an array.
            ValueError: If the image is not uint8 of that shape, or is empty.
        """
        return self.process_batch([image], [colour], views=[view])[0]

    def process_batch(
        self,
        images: Sequence[ByteArray],
        colours: Sequence[str],
        poses: Sequence[FloatArray] | None = None,
        *,
        views: Sequence[int | None] = (),
    ) -> list[Estimate]:
        """Process several images. Images with tensors of the same shape share runs of up to ``max_batch``.

        Args:
            images: (H, W, 3) uint8, or (H, W) grey, each. Not modified.
            colours: Channel order of each image, ``"bgr"`` or ``"rgb"``.
            poses: (K, 3) each, x and y of a known pose in pixels of the image, and whether each keypoint is present.
                A network with ``input.pose_channels`` requires them. Other networks ignore them.
            views: Input size of each image, see ``process``. Empty = None for each.

        Returns:
            One estimate per image, in order. ``network_ms`` is the time of the whole run that contained the image.

        Raises:
            TypeError: If an image is not an array.
            ValueError: If an image is not uint8 of that shape, or is empty, or if the network needs poses.
        """
        if poses is None:
            self.check_finds_people()
        known = poses if self.spec.input.pose_channels and poses is not None else [None] * len(images)
        chosen = [self._choose_views(view) for view in views or [None] * len(images)]
        entries = list(zip(images, colours, known, chosen, strict=True))
        runs = [(self._views[n], image, colour, pose) for image, colour, pose, indices in entries for n in indices]
        estimates = iter(self._process_runs(runs))
        results = [[next(estimates) for _ in indices] for indices in chosen]
        return [
            replace(each[0], view=indices[0]) if len(each) == 1 else _merge_views(each, self.skeleton)
            for each, indices in zip(results, chosen, strict=True)
        ]

    def check_finds_people(self) -> None:
        """Raise ValueError if the network cannot process an image alone, because it refines a known pose."""
        if self.spec.input.pose_channels:
            raise ValueError(
                f"model {self.spec.name}: expected a known pose with each image, got none; it refines the people of "
                "another model: set refinement.model to it"
            )

    def count_views(self) -> int:
        """Return the number of input sizes at which a single image is processed, see ``process``."""
        return 1 if self.config.preprocess.short_side == AUTO else len(self._views)

    def _choose_views(self, view: int | None) -> Sequence[int]:
        """Return the indices of the input sizes of an image."""
        if view is not None:
            return [view]
        count, config = len(self._views), self.config.preprocess
        if self.count_views() == count:
            if count > 1 and config.scale_order == "alternate":
                self.notify("preprocess.scale_order: alternate is for a camera; a single image has all scales")
            return range(count)
        self.notify("preprocess.short_side: auto follows the people of a camera; a single image has the preferred size")
        return [self._find_preferred()]

    def _find_preferred(self) -> int:
        """Return the index of the input size next to the preferred one of the model with ``auto``, else the first."""
        if self.config.preprocess.short_side != AUTO:
            return 0
        wanted = self.spec.input.short_side
        return min(range(len(self._views)), key=lambda n: abs(self.short_sides[n] - wanted))

    def _process_runs(self, runs: Sequence[tuple[Preprocessor, ByteArray, str, FloatArray | None]]) -> list[Estimate]:
        """Process several images, each at one input size."""
        prepared = [_prepare(*run) for run in runs]
        estimates: dict[int, Estimate] = {}
        for indices in _group_by_shape([entry.tensor.shape for entry in prepared], self.max_batch):
            estimates.update(zip(indices, self._run_batch([prepared[index] for index in indices]), strict=True))
        return [estimates[index] for index in range(len(prepared))]

    def _run_batch(self, batch: Sequence[_PreparedImage]) -> list[Estimate]:
        start = time.perf_counter()
        tensors = [entry.tensor for entry in batch]
        outputs = self._run_network(tensors[0] if len(tensors) == 1 else np.concatenate(tensors))
        network_ms = 1e3 * (time.perf_counter() - start)
        fields = [self.spec.fields(outputs, i, entry.transform.input_wh) for i, entry in enumerate(batch)]
        return [self._decode_image(*each, network_ms) for each in zip(batch, fields, strict=True)]

    def _decode_image(self, entry: _PreparedImage, fields: Fields, network_ms: float) -> Estimate:
        start = time.perf_counter()
        people = self._decode(fields)
        most = self.config.decoder.most_people
        if self.grouping != "single" and len(people) >= most:
            self.notify(f"decoder.max_people: at most {most} people are returned, and an image has as many; raise it")
        people = to_image(people, self.spec, entry.transform)
        return Estimate(people, entry.preprocess_ms, network_ms, 1e3 * (time.perf_counter() - start))

    def close(self) -> None:
        """Free the memory of the network. The estimator is unusable afterwards."""
        self.runner.close()


def _name_model(source: str | Path, runner: Runner, spec: ModelSpec) -> str:
    """Return the name and the short checksum of a model. A server may not know the checksum."""
    checksum = model_sha256(source) if isinstance(source, Path) else runner.metadata.get(CHECKSUM_KEY, "")
    return "-".join(filter(None, (spec.name, checksum[:8])))


def _prepare(preprocess: Preprocessor, image: Image, colour: str, pose: FloatArray | None) -> _PreparedImage:
    start = time.perf_counter()
    tensor, transform = preprocess(image, colour, pose)
    return _PreparedImage(tensor, transform, 1e3 * (time.perf_counter() - start))


def _merge_views(views: Sequence[Estimate], skeleton: Skeleton) -> Estimate:
    """Merge the people of one image at several input sizes. The times add up."""
    from pose_ros.view_merging import consensus  # compiles code, which most estimators do not need

    start = time.perf_counter()
    people = consensus([view.people for view in views], skeleton)
    merge_ms = 1e3 * (time.perf_counter() - start)
    preprocess_ms, network_ms = sum(view.preprocess_ms for view in views), sum(view.network_ms for view in views)
    return Estimate(people, preprocess_ms, network_ms, merge_ms + sum(view.decode_ms for view in views))


def _group_by_shape(shapes: Sequence[tuple[int, ...]], max_batch: int) -> list[list[int]]:
    """Split indices into batches of equal shape, with at most ``max_batch`` indices each."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(index)
    return [group[i : i + max_batch] for group in groups.values() for i in range(0, len(group), max_batch)]


def _make_crowded_fields(fields: Fields) -> Fields:
    """Make small fields with the same channels, full of peaks, ties and links."""
    random = np.random.default_rng(0)
    shapes = {name: array.shape for name, array in vars(fields).items() if array is not None}
    small = {name: (channels, *(min(side, 12) for side in sides)) for name, (channels, *sides) in shapes.items()}
    small |= {name: (shapes[name][0], 12) for name in PERSON_FIELDS if name in shapes}
    return Fields(**{name: random.integers(0, 4, shape) / 4 for name, shape in small.items()})


def _check_front(spec: ModelSpec, runner: Runner, config: DecoderConfig) -> int | None:
    """Check ``max_peaks`` against the decode front of the model, and return the peaks of the front. None = any.

    Raises:
        ValueError: If ``max_peaks`` is larger than the number of peaks of the front.
    """
    tensor = next(head.tensor for head in spec.heads if head.field == "peaks")
    most = next(output.shape[2] for output in runner.outputs if output.name == tensor)
    if most is not None and config.max_peaks > most:
        raise ValueError(
            f"decoder.max_peaks: expected at most {most}, the peaks of the decode front in model {spec.name}, got "
            f"{config.max_peaks}; export it with --max-peaks {config.max_peaks}, or without --front"
        )
    return most


def _check_spec(spec: ModelSpec, runner: Runner) -> ModelSpec:
    """Check a description against the network, and add the fixed input size of the network, if it has one.

    Raises:
        ValueError: If the description names an input or output that the network lacks, or the input type differs.
    """
    inputs = {tensor.name: tensor for tensor in runner.inputs}
    outputs = {tensor.name for tensor in runner.outputs}
    if set(inputs) != {spec.input.tensor}:
        raise ValueError(f"model {spec.name}: expected one input {spec.input.tensor!r}, got {sorted(inputs)}")
    unknown = sorted({head.tensor for head in spec.heads} - outputs)
    if unknown or not spec.heads:
        raise ValueError(f"model {spec.name}: expected heads among the outputs {sorted(outputs)}, got {unknown}")
    tensor = inputs[spec.input.tensor]
    if tensor.dtype.name != spec.input.dtype or len(tensor.shape) != 4:
        raise ValueError(
            f"model {spec.name}: expected a 4-D {spec.input.dtype} input, got {len(tensor.shape)}-D {tensor.dtype}"
        )
    height, width = tensor.shape[1:3] if spec.input.layout == "NHWC" else tensor.shape[2:4]
    channels = tensor.shape[3 if spec.input.layout == "NHWC" else 1]
    if channels not in (None, spec.input.channels):
        raise ValueError(
            f"model {spec.name}: expected an input of {spec.input.channels} channels, got {channels}; correct "
            "input.pose_channels or input.layout in the description"
        )
    if height is None or width is None:
        return spec
    return replace(spec, input=replace(spec.input, size_wh=(width, height)))
