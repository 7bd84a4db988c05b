"""Remember where tracked people were, and draw it as fading lines."""

from __future__ import annotations

import colorsys
from collections import deque

import cv2
import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, Image
from pose_ros.people import People, TrackState
from pose_ros.skeleton import Skeleton

MAX_POINTS = 512
"""Most points of one person."""
_TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_GOLDEN = 0.618034  # steps of this fraction of the colour circle stay far from earlier colours
_FADED = 0.1
_SHIFT = 4  # fractional bits of the coordinates passed to OpenCV
_FAR_PX = 1e5  # limit of coordinates, so that they fit OpenCV's integers, far outside any image


class Trails:
    """Trails of the people of one camera: the middle of the torso over the last seconds, by id.

    A person is added only in images in which the whole torso is seen, so that a trail does not jump.
    """

    def __init__(self) -> None:
        self._points: dict[int, deque[tuple[float, float, float]]] = {}  # stamp, s, x and y, px
        self._stamp_s = 0.0

    def update(self, people: People, skeleton: Skeleton, stamp_s: float, length_s: float) -> None:
        """Add the people of the next image, and forget older points. If the clock goes back, all trails start again.

        Args:
            people: People of the image.
            skeleton: Skeleton of the people.
            stamp_s: Time of the image, s.
            length_s: Time after which points are forgotten, s. 0 = no trails.
        """
        if stamp_s < self._stamp_s or length_s <= 0:
            self._points.clear()
        self._stamp_s = stamp_s
        if length_s > 0:
            middles, is_seen = _torso_middles(people, skeleton)
            for i in np.flatnonzero(is_seen & (people.ids >= 0) & (people.states != TrackState.LOST)):
                points = self._points.setdefault(int(people.ids[i]), deque(maxlen=MAX_POINTS))
                points.append((stamp_s, *middles[i].tolist()))
        for person_id, points in list(self._points.items()):
            while points and stamp_s - points[0][0] > length_s:
                points.popleft()
            if not points:
                del self._points[person_id]

    def draw(self, canvas: Image, width: int) -> None:
        """Draw the trails over an image, in place. Older parts are fainter.

        Args:
            canvas: (H, W, 3) uint8, BGR.
            width: Line width, pixels.
        """
        strokes = [
            (start, end, person_id)
            for person_id, points in self._points.items()
            for start, end in zip(points, list(points)[1:], strict=False)
        ]
        if not strokes:
            return
        layer, opacity = canvas.copy(), np.zeros(canvas.shape[:2], np.uint8)
        oldest_s = min(points[0][0] for points in self._points.values())
        for start, end, person_id in sorted(strokes, key=lambda stroke: stroke[1][0]):  # the newest on top
            age = (self._stamp_s - end[0]) / max(self._stamp_s - oldest_s, 1e-9)
            places = np.rint(np.clip([start[1:], end[1:]], -_FAR_PX, _FAR_PX) * (1 << _SHIFT)).astype(int)
            line = (places[0].tolist(), places[1].tolist())
            cv2.line(layer, *line, _colour(person_id), width, cv2.LINE_AA, _SHIFT)
            cv2.line(opacity, *line, round(255 * (1 - (1 - _FADED) * age)), width, cv2.LINE_AA, _SHIFT)
        share = opacity[..., None].astype(np.float32) / 255
        np.copyto(canvas, np.rint(canvas + share * (layer.astype(np.float32) - canvas)).astype(np.uint8))


def _torso_middles(people: People, skeleton: Skeleton) -> tuple[DoubleArray, BoolArray]:
    """Return the middle of the torso (N, 2) of each person, and whether the whole torso is seen (N,)."""
    torso = [skeleton.index(name) for name in _TORSO if name in skeleton.keypoint_names]
    if len(torso) < len(_TORSO):  # a skeleton without torso
        torso = list(range(len(skeleton)))
    is_seen = np.asarray(people.visible[:, torso].all(axis=1))
    return people.keypoints[:, torso].astype(np.float64).mean(axis=1), is_seen


def _colour(person_id: int) -> tuple[int, int, int]:
    """Return the BGR colour of a person."""
    red, green, blue = colorsys.hsv_to_rgb(person_id * _GOLDEN % 1.0, 0.8, 1.0)
    return round(255 * blue), round(255 * green), round(255 * red)
