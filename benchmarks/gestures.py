"""Measure how often gestures are missed or reported falsely, on synthetic people with errors of a detector.

python benchmarks/gestures.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scene_gestures as scene
from measure import print_table
from scene_gestures import RATE_HZ, Actor, Pose

from pose_ros.tracking.gesture_memory import Fall, Hold, Waving
from pose_ros.tracking.gestures import (
    Posture,
    facing_angle,
    has_raised_hand,
    is_pointing,
    pointing_ray,
    posture,
)
from pose_ros.tracking.named_points import head

PEOPLE = 500
SECONDS = 5.0
Answer = Any
KINDS = ("image", "space")


def count(
    positives: Sequence[Callable[[Actor], Any]],
    negatives: Sequence[Callable[[Actor], Any]],
    ask: Callable[[Actor, Any, int], bool | None],
    kind: int,
) -> list[str]:
    """Return the shares of missed, false and unknown answers, as text."""
    answers: dict[bool, list[bool | None]] = {True: [], False: []}
    for truth, makers in ((True, positives), (False, negatives)):
        for seed in range(PEOPLE):
            actor = Actor(np.random.default_rng([seed, truth]))
            answers[truth].append(ask(actor, makers[seed % len(makers)](actor), kind))
    yes, no = answers[True], answers[False]
    unknown = (yes + no).count(None) / (len(yes) + len(no))
    return [f"{100 * share:.1f} %" for share in (yes.count(False) / len(yes), no.count(True) / len(no), unknown)]


def is_raised(actor: Actor, body: Any, kind: int) -> bool | None:
    """Ask one image."""
    return has_raised_hand(actor.see(body)[kind])


def is_raised_for_a_second(actor: Actor, body: Any, kind: int) -> bool | None:
    """Ask the images of a second."""
    hold = Hold()
    return [hold.update(has_raised_hand(actor.see(body)[kind]), i / RATE_HZ) for i in range(11)][-1]


def points(actor: Actor, body: Any, kind: int) -> bool | None:
    """Ask one image."""
    return is_pointing(actor.see(body)[kind], "right")


def has_posture(wanted: Posture) -> Callable[[Actor, Any, int], bool | None]:
    """Return a function that asks one image whether a person has a posture."""

    def ask(actor: Actor, body: Any, kind: int) -> bool | None:
        found = posture(actor.see(body)[kind])
        return None if found is None else found is wanted

    return ask


def play(pose: Pose) -> list[tuple[float, Any]]:
    """Return stamps and bodies of a person for some seconds."""
    return [(i / RATE_HZ, pose(i / RATE_HZ)) for i in range(int(SECONDS * RATE_HZ))]


def waves_at_the_end(actor: Actor, pose: Pose, kind: int) -> bool | None:
    """Ask all images."""
    waving = Waving("right")
    return [waving.update(actor.see(body)[kind], stamp_s) for stamp_s, body in play(pose)][-1]


def has_fallen(actor: Actor, pose: Pose, kind: int) -> bool | None:
    """Ask all images."""
    fall = Fall()
    return [fall.update(posture(actor.see(body)[kind]), stamp_s) for stamp_s, body in play(pose)][-1]


def stand(actor: Actor) -> Any:
    """Return a person who walks, or stands and moves the arms, at one time."""
    return actor.move()(0.7)


def measure_rates() -> list[list[str]]:
    """Return a row per gesture and kind of keypoints."""
    lying_across = [lambda actor: scene.lie(actor, across=True)]
    upright = [stand, scene.sit, scene.bend_down]
    gestures: dict[str, tuple[Any, Any, Any, Sequence[int]]] = {
        "raised hand, one image": ([scene.raise_hand], [scene.lower_hands], is_raised, (0, 1)),
        "raised hand, held for 1 s": ([scene.raise_hand], [scene.lower_hands], is_raised_for_a_second, (0, 1)),
        "raised hand, against a phone": ([scene.raise_hand], [scene.hold_phone], is_raised, (0, 1)),
        "pointing arm": ([scene.point_somewhere], [scene.bend_arms], points, (1,)),
        "standing": ([stand, scene.bend_down], [scene.sit, *lying_across], has_posture(Posture.STANDING), (0, 1)),
        "sitting": ([scene.sit], [stand, scene.bend_down, *lying_across], has_posture(Posture.SITTING), (0, 1)),
        "lying across the image": (lying_across, upright, has_posture(Posture.LYING), (0, 1)),
        "lying in any direction": ([scene.lie], upright, has_posture(Posture.LYING), (0, 1)),
        "waving": ([scene.wave], [scene.hold_still, Actor.move], waves_at_the_end, (0,)),
        "fall": ([scene.fall], [scene.sit_down, scene.stoop, Actor.move], has_fallen, (0, 1)),
    }
    return [
        [name, KINDS[kind], *count(positives, negatives, ask, kind)]
        for name, (positives, negatives, ask, kinds) in gestures.items()
        for kind in kinds
    ]


def measure_angles() -> list[list[str]]:
    """Return a row per angle: median and 95 % of the errors in degrees, and the share of unknown ones."""
    facing: dict[int, list[float]] = {0: [], 1: []}
    pointing = []
    for seed in range(PEOPLE):
        actor = Actor(np.random.default_rng(seed))
        body = actor.stand(look=float(actor.rng.uniform(-0.4, 0.4)))
        truth, seen = facing_angle(actor.turn(body)), actor.see(body)
        for kind, errors in facing.items():
            errors.append(abs((facing_angle(seen[kind]) - truth + np.pi) % (2 * np.pi) - np.pi))
        body = scene.point_somewhere(actor)
        ray, space = pointing_ray(actor.see(body)[1], "right"), actor.turn(body)
        true = space["right_wrist"] - head(space)
        pointing.append(np.nan if ray is None else np.arccos(min(1, ray.direction @ true / np.linalg.norm(true))))
    named = {("facing", "image"): facing[0], ("facing", "space"): facing[1], ("pointing ray", "space"): pointing}
    return [
        [*key, *(f"{np.degrees(np.nanpercentile(e, p)):.0f}" for p in (50, 95)), f"{100 * np.isnan(e).mean():.1f} %"]
        for key, e in named.items()
    ]


def main() -> None:
    """Print both tables."""
    title = f"Gestures of {PEOPLE} people with and {PEOPLE} without the gesture"
    print_table(title, ("gesture", "keypoints", "missed", "false", "unknown"), measure_rates())
    columns = ("angle", "keypoints", "median error, degrees", "95 %", "unknown")
    print_table(f"Angles of {PEOPLE} people", columns, measure_angles())


if __name__ == "__main__":
    main()
