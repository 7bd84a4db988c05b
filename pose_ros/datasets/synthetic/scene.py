"""Synthetic scenes: people of rounded cones in a room, of whom everything is known exactly.

The people move; a scene is asked for at any instant, and the same seed gives the same people. Good for tests, for
sequences with ids, for depth, and as pictures to learn from that cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray, FloatArray, Image, IntArray, LongArray
from pose_ros.datasets.labels import boxes_around
from pose_ros.datasets.sample import ABSENT, LABELLED, UNCERTAIN, UNKNOWN, Sample
from pose_ros.datasets.synthetic.body import Body, body_at
from pose_ros.datasets.synthetic.motion import Motion, random_motion
from pose_ros.datasets.synthetic.paint import Wardrobe, random_wardrobe
from pose_ros.datasets.synthetic.render import VirtualCamera, render
from pose_ros.datasets.synthetic.room import Room, random_room
from pose_ros.skeleton import OPENPOSE_18, Skeleton

_SURFACE_M = 0.05  # a keypoint this far behind the surface of its own part is still seen ...
_SURFACES_M = {"shoulder": 0.13, "hip": 0.19, "knee": 0.10, "neck": 0.13, "pelvis": 0.17, "thorax": 0.13, "elbow": 0.08}
_NEAREST_M, _APART_M = 1.2, 0.75
_TRIES = 30


@dataclass(frozen=True)
class Person:
    """Someone in a scene."""

    motion: Motion
    look: Wardrobe
    height_m: float

    def body(self, time_s: float, floor_y: float) -> Body:
        """The person at a time."""
        return body_at(self.motion.place(time_s), self.motion.angles(time_s), self.height_m, self.look, floor_y)


@dataclass(frozen=True)
class SyntheticScene:
    """A picture of N people of K keypoints, and the truth about it.

    Attributes:
        image_bgr: (H, W, 3) uint8.
        keypoints_px: (N, K, 2) float32, also of those outside the picture or hidden; NaN for what no figure has.
        keypoints_3d_m: (N, K, 3) float32, metres of the camera's optical frame: x right, y down, z forwards.
        visible: (N, K) bool: in the picture and hidden by nothing.
        hidden_by_self: (N, K) bool: in the picture, and hidden by the person's own body alone.
        people_map: (H, W) uint8, 1 + the index of the person at each pixel, 0 for none.
        depth_m: (H, W) float32, along the optical axis.
        ids: (N,) int, the same person at any time.
        camera: That took it.
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
        """(N, K) keypoints that lie in the picture, hidden ones included."""
        return _inside(self.keypoints_px, self.camera.size_wh)

    @property
    def masks(self) -> BoolArray:
        """(N, H, W) pixels of each person."""
        return self.people_map[None] == np.arange(1, len(self.ids) + 1)[:, None, None]

    def sample(self) -> Sample:
        """What is to be learnt of it: what others hide is uncertain, people who are not to be seen are left out."""
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
    """Draw a scene.

    Args:
        seed: Decides on people, their movements, clothes, the room and the light.
        people: How many, at most 255.
        size_wh: Of the picture, px.
        time_s: Instant of the movement.
        skeleton: Keypoints that are wanted.
        camera: By default one with a view of 65 degrees at a height of 1.3 m.
        background: (H, W, 3) picture to put behind the people, at the distance of the room's wall.

    Raises:
        ValueError: If there are too many people.
    """
    if not 0 <= people <= 255:
        raise ValueError(f"people: expected 0 to 255, got {people}")
    camera = camera or VirtualCamera.of(size_wh)
    rng = np.random.default_rng(seed)
    room, light = random_room(rng), _light(rng)
    cast = _cast(rng, people, camera)
    bodies = [person.body(time_s, camera.height_m) for person in cast]
    image, depth = room.seen(camera, background, [body.feet for body in bodies])
    owner = _drawn(bodies, room, camera, image, depth, light)
    finished = cv2.GaussianBlur(np.clip(image, 0, 255), (3, 3), 0.6)  # edges of pixels are soft in any camera
    joints = np.array([[_joint(body, name) for name in skeleton.keypoint_names] for body in bodies], np.float64)
    joints = joints.reshape(people, len(skeleton), 3)
    xy = camera.project(joints)
    visible, by_self = _visible(xy, joints, owner, depth, skeleton)
    return SyntheticScene(
        np.rint(finished).astype(np.uint8),
        xy.astype(np.float32),
        joints.astype(np.float32),
        visible,
        by_self,
        owner.astype(np.uint8),
        depth,
        np.arange(1, people + 1),
        camera,
    )


@dataclass(frozen=True)
class SyntheticImages(Sequence[Sample]):
    """Endlessly many scenes as a data set of a given length.

    Attributes:
        skeleton: Of the samples.
        length: How many.
        size_wh: Of each.
        most_people: Each has up to so many.
        seed: Of the first; the others follow.
    """

    skeleton: Skeleton
    length: int
    size_wh: tuple[int, int] = (480, 360)
    most_people: int = 5
    seed: int = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]  # slices of it are of no use
        return self.scene(index).sample()

    def scene(self, index: int) -> SyntheticScene:
        """All that is known of a sample.

        Raises:
            IndexError: If there is none of that number.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"synthetic: expected an index below {self.length}, got {index}")
        rng = np.random.default_rng([self.seed, index])
        people, time_s = int(rng.integers(1, self.most_people + 1)), float(rng.uniform(0, 60))
        camera = VirtualCamera.of(self.size_wh, float(rng.uniform(45, 80)), float(rng.uniform(0.8, 2.0)))
        number = int(rng.integers(2**31))
        return scene(number, people, self.size_wh, time_s, skeleton=self.skeleton, camera=camera)


def _joint(body: Body, name: str) -> DoubleArray:
    if name == "neck":  # as in training, between the shoulders
        return (body.joints["left_shoulder"] + body.joints["right_shoulder"]) / 2
    return body.joints.get(name, np.full(3, np.nan))


def _light(rng: np.random.Generator) -> DoubleArray:
    light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-1.0, -0.4), rng.uniform(-1.0, -0.3)])
    return light / np.linalg.norm(light)


def _cast(rng: np.random.Generator, count: int, camera: VirtualCamera) -> list[Person]:
    """People who keep within sight of the camera, and who do not walk in each other's middle."""
    half_view = camera.size_wh[0] / 2 / camera.focal_px
    middles: list[DoubleArray] = []
    cast = []
    for _ in range(count):
        for _ in range(_TRIES):
            z = float(np.exp(rng.uniform(np.log(2.2), np.log(7.0))))
            middle = np.array([rng.uniform(-0.85, 0.85) * half_view * z, z])
            if all(np.linalg.norm(middle - other) > _APART_M for other in middles):
                break
        middles.append(middle)
        motion = random_motion(rng, (float(middle[0]), max(float(middle[1]), _NEAREST_M + 1.2)))
        cast.append(Person(motion, random_wardrobe(rng), float(rng.normal(1.7, 0.11))))
    return cast


def _drawn(
    bodies: Sequence[Body],
    room: Room,
    camera: VirtualCamera,
    image: FloatArray,
    depth: FloatArray,
    light: DoubleArray,
) -> IntArray:
    """Draw everything; returns (H, W) 1 + the index of the person at each pixel."""
    parts = [*room.things(camera.height_m), *(part for body in bodies for part in body.parts)]
    owners = [0] * len(room.places) + [n + 1 for n, body in enumerate(bodies) for _ in body.parts]
    of_part = np.array([*owners, 0], np.int32)  # the last is for NOTHING, which is -1
    return of_part[render(parts, camera, image, depth, light)]


def _visible(
    xy: DoubleArray,
    joints: DoubleArray,
    owner: IntArray,
    depth: FloatArray,
    skeleton: Skeleton,
) -> tuple[BoolArray, BoolArray]:
    """(N, K) seen, and hidden by their own person alone."""
    slack = np.array([_SURFACES_M.get(name.split("_", 1)[-1], _SURFACE_M) for name in skeleton.keypoint_names])
    inside = _inside(xy, depth.shape[::-1])
    cols, rows = np.moveaxis(np.where(inside[..., None], np.rint(xy), 0).astype(int), 2, 0)
    mine = inside & (owner[rows, cols] == np.arange(1, len(xy) + 1)[:, None])
    near = depth[rows, cols] > joints[..., 2] - slack
    return mine & near, mine & ~near


def _inside(xy: AnyArray, size_wh: Sequence[int]) -> BoolArray:
    """(N, K) points (N, K, 2) that lie in a picture; those without a place do not."""
    return np.asarray(((xy > -0.5) & (xy < np.array(size_wh) - 0.5)).all(axis=2))
