"""One camera over time: image in, people out. The node, ``pose_ros video`` and ``pose_ros bag`` all run this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pose_ros.arrays import Image
from pose_ros.estimator import Estimate, PoseEstimator
from pose_ros.people import People


@dataclass(frozen=True)
class CameraImage:
    """One image of a camera.

    Attributes:
        image: (H, W, 3) or grey (H, W) uint8.
        colour: Channel order of the image, ``"bgr"`` or ``"rgb"``.
        stamp_ns: When it was taken, by the camera's clock, ns.
    """

    image: Image
    colour: str = "bgr"
    stamp_ns: int = 0

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.image.shape[1], self.image.shape[0]


Stage = Callable[[People, CameraImage], People]
"""Takes the people of an image and returns them with what the stage knows about them."""


def pass_through(people: People, image: CameraImage) -> People:
    """Return the people unchanged: the stage of a pipeline that lacks one."""
    return people


class PosePipeline:
    """The stages of one camera. It may keep state between images, so each camera needs its own.

    Call it from one thread at a time. Several pipelines may share an estimator.

    Attributes:
        estimator: Finds the people of a single image. It may be replaced between two images.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        *,
        refine: Stage = pass_through,
        track: Stage = pass_through,
        smooth: Stage = pass_through,
        lift: Stage = pass_through,
    ) -> None:
        """Join the stages.

        Args:
            estimator: Finds the people of a single image.
            refine: Improves keypoints with a second network.
            track: Gives people their ids.
            smooth: Smooths keypoints over time.
            lift: Adds keypoints in metres.
        """
        self.estimator = estimator
        self._refine, self._track, self._smooth, self._lift = refine, track, smooth, lift

    def process(self, image: CameraImage, estimate: Estimate | None = None) -> Estimate:
        """Find the people in the camera's next image.

        Args:
            image: The image. Not modified.
            estimate: What the estimator found in it, if it was run for several cameras at once. None runs it here.

        Returns:
            The people in pixels of this image, and the time of each stage of the estimator.

        Raises:
            TypeError: If the image is not an array.
            ValueError: If it is not uint8 of the right shape, or is empty.
        """
        # Find people in this image alone
        estimate = estimate or self.estimator.process(image.image, image.colour)
        # Refine each person on a crop of the image
        people = self._refine(estimate.people, image)
        # Recognise the people of earlier images
        people = self._track(people, image)
        # Smooth their keypoints over time
        people = self._smooth(people, image)
        # Lift their keypoints to metres
        people = self._lift(people, image)
        return replace(estimate, people=people)
