"""Make synthetic scenes: people of rounded cones in a room, with exact labels.

The people move. A scene can be rendered at any instant, and the same seed gives the same people. Use scenes for tests,
for sequences with ids, for depth, and as free training images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray, FloatArray, Image, IntArray, LongArray
from pose_ros.datasets.labels import boxes_around
from pose_ros.datasets.sample import ABSENT, LABELLED, UNCERTAIN, UNKNOWN, Sample
from pose_ros.datasets.synthetic.body import Body, make_body
from pose_ros.datasets.synthetic.motion import Motion, random_motion
from pose_ros.datasets.synthetic.paint import Wardrobe, random_wardrobe
from pose_ros.datasets.synthetic.render import VirtualCamera, render
from pose_ros.datasets.synthetic.room import Room, random_room
from pose_ros.skeleton import OPENPOSE_18, Skeleton

# A keypoint is visible if it is at most this far behind the surface of its own person. Some lie deeper in the body.
_SURFACE_M = 0.05
_SURFACES_M = {"shoulder": 0.13, "hip": 0.19, "knee": 0.10, "neck": 0.13, "pelvis": 0.17, "thorax": 0.13, "elbow": 0.08}
_NEAREST_M, _APART_M = 1.2, 0.75
_TRIES = 30


@dataclass(frozen=True)
class Person:
    """Person in a scene."""

    motion: Motion
    wardrobe: Wardrobe
    height_m: float

    def body_at(self, time_s: float, floor_y: float) -> Body:
        """Return the body of the person at a time."""
        return make_body(
            self.motion.position_at(time_s), self.motion.angles_at(time_s), self.height_m, self.wardrobe, floor_y
        )


@dataclass(frozen=True)
class SyntheticScene:
    """Rendered image of N people of K keypoints, with its ground truth.

    Attributes:
        image_bgr: (H, W, 3) uint8.
        keypoints_px: (N, K, 2) float32, including keypoints that are hidden or outside the image. NaN = the synthetic
            body does not have this keypoint.
        keypoints_3d_m: (N, K, 3) float32, m, in the optical frame of the camera: x right, y down, z forwards.
        visible: (N, K) bool, True for keypoints inside the image that nothing hides.
        hidden_by_self: (N, K) bool, True for keypoints inside the image that only the person's own body hides.
        people_map: (H, W) uint8, 1 + the index of the person at each pixel, 0 = no person.
        depth_m: (H, W) float32, depth along the optical axis.
        ids: (N,) int, id of each person, the same at any time.
        camera: Camera of the image.
    """

    image_bgr: Image
    keypoints_px: FloatArray
    keypoints_3d_m: FloatArray
    visible: BoolArray
    hidden_by_self: BoolArray
    people_map: Image
    depth_m: FloatArray
    ids: LongArray
    camera: VirtualCamera

    @property
    def inside(self) -> BoolArray:
        """(N, K) bool, True for keypoints inside the image, including hidden ones."""
        return _is_inside(self.keypoints_px, self.camera.size_wh)

    @property
    def masks(self) -> BoolArray:
        """(N, H, W) bool, True for the pixels of each person."""
        return self.people_map[None] == np.arange(1, len(self.ids) + 1)[:, None, None]

    def to_sample(self) -> Sample:
        """Convert the scene to a training sample.

        Keypoints hidden by other people or objects become UNCERTAIN. People without a visible keypoint are left out.
        """
        states = np.where(self.inside, UNCERTAIN, ABSENT)
        states = np.where(self.visible | self.hidden_by_self, LABELLED, states)
        states = np.where(np.isnan(self.keypoints_px[..., 0]), UNKNOWN, states).astype(np.uint8)
        seen = np.flatnonzero(self.visible.any(axis=1))
        keypoints = np.nan_to_num(self.keypoints_px[seen])
        numbers = np.zeros(256, np.uint8)
        numbers[1 + seen] = 1 + np.arange(len(seen))
        people_map: Image = cv2.LUT(self.people_map, numbers)
        boxes = boxes_around(keypoints, states[seen])
        return Sample(self.image_bgr, keypoints, states[seen], boxes, people_map=people_map)


def scene(
    seed: int,
    people: int = 3,
    size_wh: tuple[int, int] = (640, 480),
    time_s: float = 0.0,
    *,
    skeleton: Skeleton = OPENPOSE_18,
    camera: VirtualCamera | None = None,
    background: Image | None = None,
) -> SyntheticScene:
    """Render a scene.

    Args:
        seed: Seed of people, motions, clothes, room and light.
        people: Number of people, 0 to 255.
        size_wh: Width and height of the image, px.
        time_s: Instant of the motion, seconds.
        skeleton: Skeleton of the labels.
        camera: Camera. None = a camera with a field of view of 65 degrees at a height of 1.3 m.
        background: (H, W, 3) BGR image behind the people, at the distance of the wall. None = the room.

    Raises:
        ValueError: If the number of people is out of range.
    """
    if not 0 <= people <= 255:
        raise ValueError(f"people: expected 0 to 255, got {people}")
    camera = camera or VirtualCamera.from_view_angle(size_wh)
    rng = np.random.default_rng(seed)
    room, light = random_room(rng), _random_light(rng)
    persons = _random_people(rng, people, camera)
    bodies = [person.body_at(time_s, camera.height_m) for person in persons]
    image, depth = room.render(camera, background, [body.feet for body in bodies])
    owner = _draw_bodies(bodies, room, camera, image, depth, light)
    blurred = cv2.GaussianBlur(np.clip(image, 0, 255), (3, 3), 0.6)  # real cameras have soft edges, too
    keypoints = np.array([[_keypoint(body, name) for name in skeleton.keypoint_names] for body in bodies], np.float64)
    keypoints = keypoints.reshape(people, len(skeleton), 3)
    xy = camera.project(keypoints)
    visible, hidden_by_self = _find_visible(xy, keypoints, owner, depth, skeleton)
    return SyntheticScene(
        np.rint(blurred).astype(np.uint8),
        xy.astype(np.float32),
        keypoints.astype(np.float32),
        visible,
        hidden_by_self,
        owner.astype(np.uint8),
        depth,
        np.arange(1, people + 1),
        camera,
    )


@dataclass(frozen=True)
class SyntheticImages(Sequence[Sample]):
    """Data set of synthetic scenes with a given length.

    Attributes:
        skeleton: Skeleton of the samples.
        length: Number of samples.
        size_wh: Width and height of the images, px.
        max_people: Largest number of people in an image. The smallest is 1.
        seed: Seed of the data set.
    """

    skeleton: Skeleton
    length: int
    size_wh: tuple[int, int] = (480, 360)
    max_people: int = 5
    seed: int = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]  # slices are not supported
        return self.scene(index).to_sample()

    def scene(self, index: int) -> SyntheticScene:
        """Render the scene of a sample, which has more ground truth than the sample.

        Raises:
            IndexError: If the index is out of range.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"synthetic: expected an index below {self.length}, got {index}")
        rng = np.random.default_rng([self.seed, index])
        people, time_s = int(rng.integers(1, self.max_people + 1)), float(rng.uniform(0, 60))
        camera = VirtualCamera.from_view_angle(self.size_wh, float(rng.uniform(45, 80)), float(rng.uniform(0.8, 2.0)))
        number = int(rng.integers(2**31))
        return scene(number, people, self.size_wh, time_s, skeleton=self.skeleton, camera=camera)


def _keypoint(body: Body, name: str) -> DoubleArray:
    if name == "neck":  # between the shoulders, as in ``labels.map_labels``
        return (body.keypoints["left_shoulder"] + body.keypoints["right_shoulder"]) / 2
    return body.keypoints.get(name, np.full(3, np.nan))


def _random_light(rng: np.random.Generator) -> DoubleArray:
    light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-1.0, -0.4), rng.uniform(-1.0, -0.3)])
    return light / np.linalg.norm(light)


def _random_people(rng: np.random.Generator, count: int, camera: VirtualCamera) -> list[Person]:
    """Make random people inside the view of the camera, with a distance between their positions where possible."""
    half_view = camera.size_wh[0] / 2 / camera.focal_px
    centres: list[DoubleArray] = []
    persons = []
    for _ in range(count):
        for _ in range(_TRIES):
            z = float(np.exp(rng.uniform(np.log(2.2), np.log(7.0))))
            centre = np.array([rng.uniform(-0.85, 0.85) * half_view * z, z])
            if all(np.linalg.norm(centre - other) > _APART_M for other in centres):
                break
        centres.append(centre)
        motion = random_motion(rng, (float(centre[0]), max(float(centre[1]), _NEAREST_M + 1.2)))
        persons.append(Person(motion, random_wardrobe(rng), float(rng.normal(1.7, 0.11))))
    return persons


def _draw_bodies(
    bodies: Sequence[Body],
    room: Room,
    camera: VirtualCamera,
    image: FloatArray,
    depth: FloatArray,
    light: DoubleArray,
) -> IntArray:
    """Draw posts and bodies. Return (H, W) 1 + the index of the person at each pixel, 0 = no person."""
    cones = [*room.post_cones(camera.height_m), *(cone for body in bodies for cone in body.cones)]
    owners = [0] * len(room.posts) + [n + 1 for n, body in enumerate(bodies) for _ in body.cones]
    owner_of_cone = np.array([*owners, 0], np.int32)  # the last entry is for NOTHING, which is -1
    return owner_of_cone[render(cones, camera, image, depth, light)]


def _find_visible(
    xy: DoubleArray,
    keypoints: DoubleArray,
    owner: IntArray,
    depth: FloatArray,
    skeleton: Skeleton,
) -> tuple[BoolArray, BoolArray]:
    """Return (N, K) bool twice: visible keypoints, and keypoints hidden only by the person's own body."""
    slack = np.array([_SURFACES_M.get(name.split("_", 1)[-1], _SURFACE_M) for name in skeleton.keypoint_names])
    inside = _is_inside(xy, depth.shape[::-1])
    cols, rows = np.moveaxis(np.where(inside[..., None], np.rint(xy), 0).astype(int), 2, 0)
    own = inside & (owner[rows, cols] == np.arange(1, len(xy) + 1)[:, None])
    near_surface = depth[rows, cols] > keypoints[..., 2] - slack
    return own & near_surface, own & ~near_surface


def _is_inside(xy: AnyArray, size_wh: Sequence[int]) -> BoolArray:
    """Return (N, K) bool for points (N, K, 2): True inside the image. False for NaN."""
    return np.asarray(((xy > -0.5) & (xy < np.array(size_wh) - 0.5)).all(axis=2))
