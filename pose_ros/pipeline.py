"""Run all stages on the images of one camera, for the node, ``pose_ros video`` and ``pose_ros bag``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray, Image
from pose_ros.config import AUTO, DepthConfig, RefinementConfig, SmoothingConfig, TrackingConfig
from pose_ros.depth.camera_model import CameraModel
from pose_ros.depth.stage import DepthStage, OnDepthError, add_lifted, forget_points
from pose_ros.estimator import Estimate, PoseEstimator
from pose_ros.people import People
from pose_ros.refinement.refiner import Refiner
from pose_ros.refinement.stage import RefinementStage
from pose_ros.tracking.stage import TrackingStage
from pose_ros.view_choice import ViewChoice, make_choice


@dataclass(frozen=True)
class CameraImage:
    """One image of a camera.

    Attributes:
        image: (H, W, 3) or grey (H, W) uint8.
        colour: Channel order of the image, ``"bgr"`` or ``"rgb"``.
        stamp_ns: Time of the image by the clock of the camera, ns.
        depth: (H, W) float32 depth image that is registered to the image, m, NaN = unknown. Or a function that returns
            it, or None if this image has none: it is called after the network, and only if there are people. None =
            the camera has no depth images.
        camera: Calibration of the image. Needed for all results in metres.
        find_transform: Function that returns the (4, 4) transform from the optical frame of the camera to the frame of
            the results in metres. If it returns None, they are unknown. None = the frame of the camera.
    """

    image: Image
    colour: str = "bgr"
    stamp_ns: int = 0
    depth: FloatArray | Callable[[], FloatArray | None] | None = None
    camera: CameraModel | None = None
    find_transform: Callable[[], DoubleArray | None] | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.image.shape[1], self.image.shape[0]


Stage = Callable[[People, CameraImage], People]
"""Function of the people of an image. It returns them with the result of the stage."""


def raise_depth_error(error: Exception) -> None:
    """Raise the error of a depth image."""
    raise error


def pass_through(people: People, image: CameraImage) -> People:
    """Return the people unchanged. Default of each stage."""
    return people


class PosePipeline:
    """Stages of one camera. They may keep state between images, so each camera needs its own pipeline.

    Call it from one thread at a time. Several pipelines may share an estimator.

    Attributes:
        estimator: Estimator of a single image. It may be replaced between two images.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        *,
        refiner: Refiner | None = None,
        ignore: Stage | None = None,
        refine: Stage | None = None,
        track: Stage | None = None,
        smooth: Stage | None = None,
        lift: Stage | None = None,
        on_depth_error: OnDepthError = raise_depth_error,
    ) -> None:
        """Join the stages.

        Args:
            estimator: Estimator of a single image.
            refiner: Second network, used as ``estimator.config.refinement`` says. None = off.
            ignore: Stage that drops people, such as those in ``regions.ignore``. None = drop none.
            refine: Stage that improves keypoints instead of ``refiner``.
            track: Stage that assigns ids to people. None = as ``estimator.config.tracking`` says.
            smooth: Stage that smooths keypoints over time. None = as ``estimator.config.smoothing`` says.
            lift: Stage that adds keypoints in metres. None = as ``estimator.config.depth`` says.
            on_depth_error: Called with the error of a depth image that cannot be used. Unless it raises, the result has
                all people, with unknown points in metres.
        """
        self.estimator = estimator
        config = estimator.config
        self._choice = _make_choice(estimator)
        turns = 1 if self._choice is None else self._choice.turns
        self._tracking = tracking = TrackingStage(estimator.skeleton, config.tracking, config.smoothing, turns)
        self._depth = DepthStage(estimator.skeleton, config.depth, on_depth_error)
        self._refinement = None if refiner is None else RefinementStage(refiner, config.refinement)
        self._ignore = ignore or pass_through
        self._refine, self._lift = refine or self._refine_people, lift or self._lift_to_metres
        self._track = track or (lambda people, image: tracking.track(people, image.image, image.stamp_ns / 1e9))
        self._smooth = smooth or (lambda people, image: tracking.smooth(people, image.stamp_ns / 1e9))
        if config.runtime.warm_up:
            self._warm_up()

    def _warm_up(self) -> None:
        """Compile the stages that are on. Otherwise the first people would wait for the compiler."""
        skeleton, config = self.estimator.skeleton, self.estimator.config
        body = 100 * np.nan_to_num(skeleton.standing, nan=0.5) + 50
        scores = np.full((2, len(skeleton)), 0.9)
        people = People(np.stack([body, body + 200]), scores, scores[:, 0])
        stage, image = TrackingStage(skeleton, config.tracking, config.smoothing), np.zeros((48, 64, 3), np.uint8)
        for stamp_s in (1.0, 1.1, 1.2):
            stage.smooth(stage.track(people, image, stamp_s), stamp_s)
        if config.depth.enabled:
            camera = CameraModel((640, 480), k=np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]))
            depth = DepthStage(skeleton, config.depth, raise_depth_error)
            depth.lift(people, lambda: np.full((480, 640), 2, np.float32), camera)

    def configure(
        self,
        tracking: TrackingConfig,
        smoothing: SmoothingConfig,
        depth: DepthConfig | None = None,
        refinement: RefinementConfig | None = None,
    ) -> None:
        """Change the settings of the built-in stages between two images. People keep their ids.

        Args:
            tracking: Settings of the ids.
            smoothing: Settings of the filters.
            depth: Settings of the lifting to metres. None = unchanged.
            refinement: Settings of the second network, without its model. None = unchanged.
        """
        self._tracking.configure(tracking, smoothing)
        if depth is not None and depth != self._depth.config:
            self._depth.config = depth
            self._tracking.reset_3d()  # the frame may be another one
        if self._refinement is not None and refinement is not None:
            self._refinement.config = refinement

    def _refine_people(self, people: People, image: CameraImage) -> People:
        stage = self._refinement
        return people if stage is None else stage.refine(people, image.image, image.colour)

    def choose_view(self, image: CameraImage) -> int | None:
        """Choose the input size of the camera's next image, see ``PoseEstimator.process``. None = as configured."""
        return None if self._choice is None else self._choice.choose(image.stamp_ns / 1e9)

    def _find_people(self, image: CameraImage) -> Estimate:
        return self.estimator.process(image.image, image.colour, view=self.choose_view(image))

    def process(self, image: CameraImage, estimate: Estimate | None = None) -> Estimate:
        """Find the people in the camera's next image.

        Args:
            image: The image. Not modified.
            estimate: Result of the estimator, if it already ran for several cameras at once, at the input size of
                ``choose_view``. None = run it here.

        Returns:
            The people in pixels of this image, and the times. ``decode_ms`` includes all stages after the network.

        Raises:
            TypeError: If the image is not an array.
            ValueError: If the image is not uint8 of the right shape, or is empty.
        """
        # Find people in this image alone
        estimate = estimate or self._find_people(image)
        start = time.perf_counter()
        # Drop people where nobody is looked for
        estimate = replace(estimate, people=self._ignore(estimate.people, image))
        # Choose the input size of the next image
        if self._choice is not None and estimate.view is not None:
            self._choice.record(estimate.view, estimate.people, image.size_wh, image.stamp_ns / 1e9)
        # Refine each person on a crop of the image
        if self._refinement is not None:
            self._refinement.view = estimate.view if self._choice is not None else None
        people = self._refine(estimate.people, image)
        # Identify the people of earlier images
        people = self._track(people, image)
        # Smooth their keypoints over time
        people = self._smooth(people, image)
        # Lift their keypoints to metres, smooth them there, and compute velocities
        people = self._lift(people, image)
        return replace(estimate, people=people, decode_ms=estimate.decode_ms + 1e3 * (time.perf_counter() - start))

    def _lift_to_metres(self, people: People, image: CameraImage) -> People:
        if not self._depth.config.enabled:
            return people
        depth = image.depth
        find_depth = depth if depth is None or callable(depth) else lambda: depth
        lifted = self._depth.lift(people, find_depth, image.camera)
        if lifted is None:
            return people
        matrix = image.find_transform() if image.find_transform is not None and len(people) else None
        if image.find_transform is not None and matrix is None:
            lifted = forget_points(lifted)
        return self._tracking.follow_3d(add_lifted(people, lifted, matrix), image.stamp_ns / 1e9)


def _make_choice(estimator: PoseEstimator) -> ViewChoice | None:
    config = estimator.config.preprocess
    if config.short_side != AUTO and config.scale_order == "together":
        return None
    return make_choice(config, estimator.short_sides, estimator.spec.input.short_side)
