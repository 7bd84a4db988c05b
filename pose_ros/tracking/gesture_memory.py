"""Recognise gestures of people over time: hold a gesture, waving, a fall. One small memory per person.

All classes take the stamps of the images. They start again after a gap, and if the clock goes back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from pose_ros.tracking.gestures import Posture, Up
from pose_ros.tracking.named_points import NamedPoints, torso_length, up_direction

Memory = TypeVar("Memory")

MAX_PEOPLE = 1000
"""Most people to remember."""
_MAX_SAMPLES = 256
_LEAST_MEMORY_S = 1.0
_ROUNDING_S = 1e-6  # of stamps
_SWING, _FOREARM_UP = 0.29, 0.05  # torso lengths


class PerPerson(Generic[Memory]):
    """Memories of people by id. It forgets people who have not been asked for, so it never grows without limit."""

    def __init__(self, make: Callable[[], Memory], forget_s: float = 5.0) -> None:
        """Remember nobody.

        Args:
            make: Returns the memory of a new person.
            forget_s: Time after which a person is forgotten, s.
        """
        self._make, self._forget_s = make, forget_s
        self._memories: dict[int, tuple[float, Memory]] = {}

    def __len__(self) -> int:
        return len(self._memories)

    def get(self, person_id: int, stamp_s: float) -> Memory:
        """Return the memory of a person. A person without an id (-1) has a new one each time.

        Args:
            person_id: Id of the person.
            stamp_s: Time of the image, s.
        """
        self._memories = {i: m for i, m in self._memories.items() if abs(stamp_s - m[0]) <= self._forget_s}
        _, memory = self._memories.pop(person_id, (0.0, None))
        found = self._make() if memory is None else memory
        if person_id >= 0:
            self._memories[person_id] = (stamp_s, found)
            if len(self._memories) > MAX_PEOPLE:
                del self._memories[next(iter(self._memories))]
        return found


class Hold:
    """Hold an answer over time, so that a few wrong or unknown images do not change it.

    Attributes:
        on_s: Time for which the answer must be yes.
        off_s: Time for which it must be no.
    """

    def __init__(self, on_s: float = 0.3, off_s: float = 0.5) -> None:
        """Start with an unknown answer.

        Args:
            on_s: Time for which the answer must be yes.
            off_s: Time for which it must be no. The answer is unknown after the longer of both times without a known
                answer, at least after 1 s.
        """
        self.on_s, self.off_s = on_s, off_s
        self._answer: bool | None = None
        self._newest: bool | None = None
        self._since_s, self._known_s, self._last_s = math.nan, -math.inf, -math.inf

    def update(self, answer: bool | None, stamp_s: float) -> bool | None:
        """Return the answer that is held after the next image. None = unknown.

        Args:
            answer: Answer of the image. None = unknown.
            stamp_s: Time of the image, s.
        """
        if stamp_s < self._last_s or stamp_s - self._known_s > max(self.on_s, self.off_s, _LEAST_MEMORY_S):
            self._answer = self._newest = None
        self._last_s = stamp_s
        if answer is None:
            return self._answer
        if answer is not self._newest:
            self._newest, self._since_s = answer, stamp_s
        self._known_s = stamp_s
        if stamp_s - self._since_s >= (self.on_s if answer else self.off_s) - _ROUNDING_S:
            self._answer = answer
        return self._answer


class Waving:
    """Recognise a hand that waves: the forearm points up, and the wrist swings to and fro beside the elbow."""

    def __init__(self, side: str, window_s: float = 2.0, swings: int = 3) -> None:
        """Start without images. It needs 8 images per second or more.

        Args:
            side: ``"left"`` or ``"right"``, of the person.
            window_s: Time to look back, s.
            swings: Least number of swings in this time. To and fro are two.
        """
        self._wrist, self._elbow = f"{side}_wrist", f"{side}_elbow"
        self._window_s, self._swings = window_s, swings
        self._samples: deque[tuple[float, float]] = deque(maxlen=_MAX_SAMPLES)

    def update(self, points: NamedPoints, stamp_s: float, up: Up = None) -> bool | None:
        """Return whether the hand waves after the next image. None = unknown.

        Args:
            points: Keypoints in the image.
            stamp_s: Time of the image, s.
            up: Direction that is up.
        """
        samples = self._samples
        if samples and stamp_s < samples[-1][0]:
            samples.clear()
        while samples and stamp_s - samples[0][0] > self._window_s:
            samples.popleft()
        length = torso_length(points)
        if self._wrist in points and self._elbow in points and length is not None:
            forearm = (points[self._wrist] - points[self._elbow]) / length
            is_up = forearm @ up_direction(points, up) > _FOREARM_UP
            samples.append((stamp_s, float(forearm[0]) if is_up else math.nan))
        if len(samples) < 2 or samples[-1][0] - samples[0][0] < self._window_s / 2:
            return None
        return _count_swings([x for _, x in samples if not math.isnan(x)]) >= self._swings


def _count_swings(positions: list[float]) -> int:
    """Count the changes of direction between positions that are at least a swing apart."""
    count, direction, low, high = 0, 0, math.inf, -math.inf
    for x in positions:
        low, high = min(low, x), max(high, x)
        if direction <= 0 and x - low >= _SWING:
            count, direction, high = count + 1, 1, x
        elif direction >= 0 and high - x >= _SWING:
            count, direction, low = count + 1, -1, x
    return count


class Fall:
    """Recognise a fall: a person who stood lies soon afterwards, and stays there."""

    def __init__(self, within_s: float = 3.0, lying_s: float = 1.0) -> None:
        """Start without images.

        Args:
            within_s: Longest time from standing to lying, s.
            lying_s: Time for which the person must lie, s.
        """
        self._within_s = within_s
        self._lies, self._is_up = Hold(lying_s, lying_s), Hold(lying_s, lying_s)
        self._stood_s, self._fell = -math.inf, False
        self._last_s = -math.inf

    def update(self, posture: Posture | None, stamp_s: float) -> bool | None:
        """Return whether the person has fallen and has not risen since. None = unknown.

        Args:
            posture: Posture in the image.
            stamp_s: Time of the image, s.
        """
        if stamp_s < self._last_s:
            self._stood_s, self._fell = -math.inf, False
        self._last_s = stamp_s
        if posture is Posture.STANDING:
            self._stood_s = stamp_s
        if posture is Posture.LYING and stamp_s - self._stood_s <= self._within_s:
            self._fell = True
        lies = self._lies.update(None if posture is None else posture is Posture.LYING, stamp_s)
        is_up = self._is_up.update(None if posture is None else posture is not Posture.LYING, stamp_s)
        if is_up:
            self._fell = False
        if self._fell:
            return True if lies else None
        return lies if lies is None else False
