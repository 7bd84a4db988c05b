"""Process images in the node: decode, find people, publish, draw."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any

from sensor_msgs.msg import CompressedImage, Image

from pose_ros.config import DepthConfig, RefinementConfig, SmoothingConfig, TrackingConfig
from pose_ros.estimator import Estimate, PoseEstimator
from pose_ros.media.image_messages import stamp_ns
from pose_ros.pipeline import CameraImage, PosePipeline
from pose_ros.refinement import Refiner
from pose_ros.ros.messages.conversions import image_from_message
from pose_ros.ros.node.camera import Camera
from pose_ros.ros.node.image_result import ImageResult
from pose_ros.ros.node.latest import TakenItem
from pose_ros.ros.node.transforms import FrameTransforms
from pose_ros.ros.parameters.live import LiveSettings


@dataclass(frozen=True)
class DecodedMessage:
    """An image message of a camera, its decoded image, and the frame of the results in metres, see ImageResult."""

    camera: Camera
    message: Image | CompressedImage
    image: CameraImage
    frame_3d: str


class Processor:
    """Processes the newest images of all cameras with one network. Its methods run in the worker's thread.

    A failure at any step is reported for its image. Processing of the other images continues.

    Attributes:
        estimator: Estimator in use. It is replaced when the decoder parameters change.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        refiner: Refiner | None,
        cameras: Sequence[Camera],
        settings: LiveSettings,
        transforms: FrameTransforms,
    ) -> None:
        self.estimator = estimator
        self._settings, self._transforms = settings, transforms
        self._pipelines = {
            camera: PosePipeline(
                estimator, refiner=refiner, ignore=camera.drop_ignored, on_depth_error=camera.depth.report_error
            )
            for camera in cameras
        }
        config = estimator.config
        self._stages: tuple[TrackingConfig, SmoothingConfig, DepthConfig, RefinementConfig]
        self._stages = config.tracking, config.smoothing, config.depth, config.refinement

    def process(self, taken: Sequence[TakenItem[Camera, Any]]) -> None:
        """Process one image of each given camera: publish the poses of all cameras first, then the drawings."""
        self._update_settings()
        frames = [frame for entry in taken if entry.source.accept(entry.dropped) and (frame := self._decode(entry))]
        shared = self._run_batch(frames)
        estimates = [self._find_people(frame, estimate) for frame, estimate in zip(frames, shared, strict=True)]
        published = [self._publish(frame, found) for frame, found in zip(frames, estimates, strict=True) if found]
        for each in filter(None, published):
            self._draw(each)

    def _update_settings(self) -> None:
        """Apply changed parameters of the decoder and of the stages after it."""
        config = self._settings.config
        stages = config.tracking, config.smoothing, config.depth, config.refinement
        if stages != self._stages:
            self._stages = stages
            for pipeline in self._pipelines.values():
                pipeline.configure(*stages)
        decoder = config.decoder
        if decoder != self.estimator.config.decoder:
            self.estimator = self.estimator.with_decoder(decoder)
            for pipeline in self._pipelines.values():
                pipeline.estimator = self.estimator

    def _decode(self, entry: TakenItem[Camera, Any]) -> DecodedMessage | None:
        camera, message = entry.source, entry.item
        with _FailureReporter(camera, message):
            image, colour = image_from_message(message, self._settings.config.max_image_mb)
            decoded = CameraImage(image, colour, stamp_ns(message.header))
            camera.size_wh = decoded.size_wh
            return self._add_depth(DecodedMessage(camera, message, decoded, ""))
        return None

    def _add_depth(self, frame: DecodedMessage) -> DecodedMessage:
        """Add to an image what its results in metres need. The depth image and the transform are found later."""
        camera, image, depth = frame.camera, frame.image, self._settings.config.depth
        if not depth.enabled:
            return frame
        target, header, wait_s = depth.target_frame, frame.message.header, depth.wait_ms / 1e3
        image = replace(
            image,
            depth=camera.depth.find_later(image.stamp_ns),
            camera=camera.camera_model.model(camera.calibration, image.size_wh),
            find_transform=partial(self._transforms.find, target, header, wait_s) if target else None,
        )
        return replace(frame, image=image, frame_3d=target)

    def _run_batch(self, frames: Sequence[DecodedMessage]) -> Sequence[Estimate | None]:
        """Run the network once for the images of several cameras. If that fails, each image is run separately."""
        if len(frames) > 1:
            images = [frame.image for frame in frames]
            pixels, colours = [each.image for each in images], [each.colour for each in images]
            views = [self._pipelines[frame.camera].choose_view(frame.image) for frame in frames]
            try:
                return self.estimator.process_batch(pixels, colours, views=views)
            except Exception:  # the separate run of each image reports its error
                return [None] * len(frames)
        return [None] * len(frames)

    def _find_people(self, frame: DecodedMessage, estimate: Estimate | None) -> Estimate | None:
        with _FailureReporter(frame.camera, frame.message):
            return self._pipelines[frame.camera].process(frame.image, estimate)
        return None

    def _publish(self, frame: DecodedMessage, estimate: Estimate) -> tuple[Camera, ImageResult] | None:
        camera, header = frame.camera, frame.message.header
        estimator = self.estimator
        result = ImageResult(header, frame.image, estimate, estimator.skeleton, estimator.model_name, frame.frame_3d)
        with _FailureReporter(camera, frame.message):
            latency_ms = camera.outputs.publish_poses(result, camera.dropped)
            camera.count_result(estimate, latency_ms, time.monotonic())
            return camera, result
        return None

    def _draw(self, published: tuple[Camera, ImageResult]) -> None:
        camera, result = published
        try:
            camera.outputs.publish_drawings(result, self._settings.config, camera.calibration, camera.region)
        except Exception as error:  # the poses are already published
            camera.report_drawing_failure(error)


class _FailureReporter:
    """Context that reports an exception as the failure of one image, and suppresses it."""

    def __init__(self, camera: Camera, message: Image | CompressedImage) -> None:
        self._camera, self._message = camera, message

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._camera.report_failure(self._message, error)
        return True
