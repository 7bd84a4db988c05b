"""Remember where tracked people were, for the trails in RViz."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
from std_msgs.msg import Header

from pose_ros.arrays import FloatArray
from pose_ros.media.image_messages import stamp_ns
from pose_ros.people import People

Trail = deque[tuple[int, FloatArray]]
"""Stamps in ns, and positions (3,) in m."""
MAX_POINTS = 1000


class SpaceTrails:
    """Recent positions of the people of one camera, in one frame."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._trails: dict[int, Trail] = {}
        self._frame_id, self._stamp_ns = "", 0

    def update(self, people: People, header: Header, length_s: float) -> Mapping[int, FloatArray]:
        """Add the people of an image. Return the trail (M, 3) of each person in it by id, oldest position first.

        The trails start again if the clock goes back or the frame changes.

        Args:
            people: The people. Those without an id or a position in metres have no trail.
            header: Stamp of the image, and frame of the positions.
            length_s: Length of the trails, s. 0 = off.
        """
        now_ns = stamp_ns(header)
        if header.frame_id != self._frame_id or now_ns < self._stamp_ns or not length_s:
            self._trails.clear()
        self._frame_id, self._stamp_ns = header.frame_id, now_ns
        if people.positions_3d is None or not length_s:
            return {}
        for person, position in zip(people.ids.tolist(), people.positions_3d, strict=True):
            if person >= 0 and np.isfinite(position).all():
                self._trails.setdefault(person, deque(maxlen=MAX_POINTS)).append((now_ns, position))
        self._forget(now_ns - round(1e9 * length_s))
        shown = {*people.ids.tolist()} & self._trails.keys()
        return {person: np.array([point for _, point in self._trails[person]]) for person in shown}

    def _forget(self, oldest_ns: int) -> None:
        for trail in self._trails.values():
            while trail and trail[0][0] < oldest_ns:
                trail.popleft()
        self._trails = {person: trail for person, trail in self._trails.items() if trail}
