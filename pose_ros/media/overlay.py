"""Draw skeletons over an image.

Colours mark the sides of a person: left is orange, right is sky blue, the centre is bluish green. People with a common
colour blindness can distinguish these colours. A keypoint with a lower score is more transparent.
All shapes are convex polygons: limbs are bars of any width, keypoints are discs, each with a dark rim.

References:
    Okabe and Ito, Color Universal Design, https://jfly.uni-koeln.de/color/ (the palette).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, Image
from pose_ros.config import NOT_ANONYMISED, OverlayConfig
from pose_ros.media.anonymise import Anonymiser, Plane, cover_heads
from pose_ros.media.heads import find_heads
from pose_ros.media.masks import draw_masks
from pose_ros.media.trails import Trails
from pose_ros.people import People, TrackState
from pose_ros.preprocess import check_image
from pose_ros.skeleton import Skeleton

Colour = tuple[int, int, int]
_Outline = Callable[[AnyArray, AnyArray], AnyArray]

SIDE_COLOURS: dict[str, Colour] = {"left": (0, 159, 230), "right": (233, 180, 86), "centre": (115, 158, 0)}
"""BGR colour of each side of the body."""

_SIDES = tuple(SIDE_COLOURS)
_RIM: Colour = (32, 32, 32)
_LIGHT: Colour = (235, 235, 235)
_OPACITIES = (0.35, 0.65, 1.0)  # from uncertain to certain
_CERTAIN = 0.4  # a keypoint with this score or more is opaque
_SHIFT = 4  # fractional bits of the coordinates passed to OpenCV
_FAR_PX = 1e5  # limit of coordinates, so that they fit OpenCV's integers, far outside any image
_CIRCLE = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], axis=1)


@dataclass(frozen=True)
class _Strokes:
    """S limbs (P = 2 points each) or keypoints (P = 1) to draw.

    Attributes:
        points: (S, P, 2), x and y, pixels.
        width: (S,), pixels.
        level: (S,), index into _OPACITIES.
        side: (S,), index into _SIDES.
    """

    points: AnyArray
    width: AnyArray
    level: AnyArray
    side: AnyArray

    def select_level(self, level: int) -> _Strokes:
        """Select the strokes of one opacity."""
        mask = self.level == level
        return _Strokes(self.points[mask], self.width[mask], self.level[mask], self.side[mask])


def draw(
    image_bgr: Image,
    people: People,
    skeleton: Skeleton,
    config: OverlayConfig | None = None,
    trails: Trails | None = None,
    is_anonymous: bool = False,
) -> Image:
    """Draw people over an image.

    Args:
        image_bgr: Image, (H, W, 3) or grey (H, W). Not modified.
        people: People in pixels of this image. Keypoints may be outside the image. Masks have the size of the image.
        skeleton: Skeleton of the people.
        config: Line width, threshold, masks, boxes and ids.
        trails: Trails of the camera, updated with these people. None = no trails.
        is_anonymous: Whether an ``Anonymiser`` has covered the heads already. Otherwise, those of these people are
            covered here, if ``config.anonymise`` says so.

    Returns:
        A new (H, W, 3) BGR image.

    Raises:
        TypeError: If the image is not an array.
        ValueError: If the image is not uint8 of that shape, if the masks have another size, or if the number of
            keypoints does not match the skeleton.
    """
    config = config or OverlayConfig()
    check_image(image_bgr)
    if people.scores.shape[1] != len(skeleton):
        raise ValueError(f"people: expected {len(skeleton)} keypoints ({skeleton.name}), got {people.scores.shape[1]}")
    canvas = cv2.cvtColor(image_bgr, cv2.COLOR_GRAY2BGR) if image_bgr.ndim == 2 else image_bgr.copy()
    if config.anonymise != NOT_ANONYMISED and not is_anonymous:
        cover_heads(Plane(canvas), find_heads(people, skeleton, config.head_margin), config.anonymise)
    if config.masks and people.masks is not None:
        draw_masks(canvas, people.masks, _colour_numbers(people))
    if trails is not None:
        trails.draw(canvas, max(1, round(min(canvas.shape[:2]) / 200 * config.thickness)))
    if config.boxes:
        _draw_boxes(canvas, people)
    _draw_skeletons(canvas, people, skeleton, config)
    if config.ids:
        _write_ids(canvas, people)
    return canvas


def draw_covered(
    anonymiser: Anonymiser,
    image_bgr: Image,
    people: People,
    config: OverlayConfig,
    stamp_s: float = 0.0,
    trails: Trails | None = None,
) -> Image:
    """Cover the heads in an image, as ``config.anonymise`` says, and draw the people over it.

    Args:
        anonymiser: Heads of the camera. A new one for a single image.
        image_bgr: Image, (H, W, 3) or grey (H, W). Not modified.
        people: People in pixels of this image.
        config: Style of the drawing, and way of covering.
        stamp_s: Time of the image, s.
        trails: Trails of the camera, updated with these people. None = no trails.

    Returns:
        A new (H, W, 3) BGR image.
    """
    covered = anonymiser.cover(image_bgr, people, stamp_s, config)
    return draw(covered, people, anonymiser.skeleton, config, trails, is_anonymous=True)


def _colour_numbers(people: People) -> list[int]:
    """Return the ids of the people, so that a person keeps the colour. Without an id, the place in the list."""
    return [int(n) if n >= 0 else place for place, n in enumerate(people.ids)]


def _draw_skeletons(canvas: Image, people: People, skeleton: Skeleton, config: OverlayConfig) -> None:
    widths = _line_widths(canvas, people, config)
    ends = np.array(skeleton.drawn_limbs, int).reshape(-1, 2)
    line_sides, dot_sides = limb_sides(skeleton), [_SIDES.index(skeleton.side(k)) for k in range(len(skeleton))]
    keypoints, scores, threshold = people.keypoints, people.scores, config.score_threshold
    lines = _make_strokes(keypoints[:, ends], scores[:, ends].min(axis=2), line_sides, widths, threshold)
    dots = _make_strokes(keypoints[:, :, None], scores, dot_sides, 2 * widths, threshold)
    layer, regions = np.empty_like(canvas), find_regions(people.boxes(), 2 * widths + 4, canvas.shape[:2])
    for level, opacity in enumerate(_OPACITIES):
        groups = (_bars, lines.select_level(level)), (_discs, dots.select_level(level))
        if not any(len(strokes.points) for _, strokes in groups):
            continue
        if opacity == 1:
            _paint(canvas, groups)
        else:  # one layer per opacity, so that crossing strokes do not add up
            for region in regions:
                np.copyto(layer[region], canvas[region])
            _paint(layer, groups)
            for region in regions:
                cv2.addWeighted(layer[region], opacity, canvas[region], 1 - opacity, 0, dst=canvas[region])


def find_regions(boxes: AnyArray, margins: AnyArray, shape_hw: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Cover boxes by rectangles that do not overlap, so that no part of an image is blended twice.

    Args:
        boxes: (N, 4) x_min, y_min, x_max, y_max, pixels.
        margins: (N,) width of the border around each box, pixels.
        shape_hw: Height and width of the image.

    Returns:
        The rows and columns of each rectangle inside the image.
    """
    size_wh = np.array(shape_hw[::-1])
    low = np.clip(np.floor(boxes[:, :2] - margins[:, None]), 0, size_wh).astype(int).tolist()
    high = np.clip(np.ceil(boxes[:, 2:] + margins[:, None]), 0, size_wh).astype(int).tolist()
    found: list[list[int]] = []
    for first, last in zip(low, high, strict=True):
        union = [*first, *last]
        while near := [each for each in found if _overlaps(each, union)]:  # the union may reach further ones
            found = [each for each in found if each not in near]
            left, top, right, bottom = zip(*near, union, strict=True)
            union = [min(left), min(top), max(right), max(bottom)]
        found.append(union)
    if 2 * sum((right - left) * (bottom - top) for left, top, right, bottom in found) > shape_hw[0] * shape_hw[1]:
        found = [[0, 0, *size_wh.tolist()]]  # blending is faster for a whole image than for many rows of parts
    return [(slice(top, bottom), slice(left, right)) for left, top, right, bottom in found]


def _overlaps(one: Sequence[int], other: Sequence[int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _line_widths(canvas: Image, people: People, config: OverlayConfig) -> AnyArray:
    """Compute the line width of each person, (N,) pixels, from the size of the image and of the person."""
    boxes = people.boxes()
    of_image = min(canvas.shape[:2]) / 110
    of_person = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) / 45
    return np.maximum(1, np.minimum(of_image, of_person) * config.thickness)


def limb_sides(skeleton: Skeleton) -> list[int]:
    """Return the side of each limb as an index into ``SIDE_COLOURS``. A limb from left to right is in the centre."""
    touched = [{skeleton.side(keypoint) for keypoint in limb} - {"centre"} for limb in skeleton.drawn_limbs]
    return [_SIDES.index(sides.pop() if len(sides) == 1 else "centre") for sides in touched]


def _make_strokes(
    points: AnyArray, scores: AnyArray, sides: Sequence[int], widths: AnyArray, threshold: float
) -> _Strokes:
    """Flatten (N, S) strokes and keep the visible ones."""
    visible = (scores > 0) & (scores >= threshold)
    level = np.minimum(scores / _CERTAIN * (len(_OPACITIES) - 1), len(_OPACITIES) - 1).astype(int)
    width, side = (np.broadcast_to(values, scores.shape)[visible] for values in (widths[:, None], sides))
    return _Strokes(np.clip(points[visible], -_FAR_PX, _FAR_PX), width, level[visible], side)


def _bars(ends: AnyArray, width: AnyArray) -> AnyArray:
    """Compute the corners of bars, (S, 4, 2)."""
    first, last = ends[:, 0], ends[:, 1]
    length = np.maximum(np.linalg.norm(last - first, axis=1), 1e-6)
    across = (last - first)[:, ::-1] * [-1, 1] * (width / 2 / length)[:, None]
    return np.stack([first + across, last + across, last - across, first - across], axis=1)


def _discs(centres: AnyArray, width: AnyArray) -> AnyArray:
    """Compute the corners of discs, (S, 16, 2)."""
    return centres + width[:, None, None] / 2 * _CIRCLE


def _paint(canvas: Image, groups: Sequence[tuple[_Outline, _Strokes]]) -> None:
    for outline, strokes in groups:
        rim = 1 + strokes.width / 4
        _fill(canvas, outline(strokes.points, strokes.width + rim), [_RIM] * len(rim))
        _fill(canvas, outline(strokes.points, strokes.width), [SIDE_COLOURS[_SIDES[side]] for side in strokes.side])


def _fill(canvas: Image, polygons: AnyArray, colours: Sequence[Colour]) -> None:
    fixed = np.rint(polygons * (1 << _SHIFT)).astype(np.int32)
    for polygon, colour in zip(fixed, colours, strict=True):
        cv2.fillConvexPoly(canvas, polygon, colour, cv2.LINE_AA, _SHIFT)


def _draw_boxes(canvas: Image, people: People) -> None:
    margin, width = min(canvas.shape[:2]) / 60, max(1, round(min(canvas.shape[:2]) / 500))
    boxes = np.clip(people.boxes() + np.multiply(margin, [-1, -1, 1, 1]), -_FAR_PX, _FAR_PX)
    for x_min, y_min, x_max, y_max in np.rint(boxes).astype(int).tolist():
        cv2.rectangle(canvas, (x_min, y_min), (x_max, y_max), _RIM, width + 2)
        cv2.rectangle(canvas, (x_min, y_min), (x_max, y_max), _LIGHT, width)


def _write_ids(canvas: Image, people: People) -> None:
    """Write the id above each person, but inside the image. Without tracking, write the score."""
    values = zip(people.boxes(), people.ids, people.states, people.person_scores, strict=True)
    for box, person_id, state, score in values:
        if person_id >= 0:
            _write(canvas, f"#{person_id}?" if state == TrackState.LOST else f"#{person_id}", box)
        elif state == TrackState.UNTRACKED:
            _write(canvas, f"{score:.2f}", box)


def _write(canvas: Image, text: str, box: AnyArray) -> None:
    font, (height, width) = cv2.FONT_HERSHEY_SIMPLEX, canvas.shape[:2]
    scale = max(0.4, min(height, width) / 1000)
    (text_width, text_height), _ = cv2.getTextSize(text, font, scale, 1)
    x = int(np.clip(box[0], 3, max(3, width - text_width - 3)))
    y = int(np.clip(box[1] - 2 * text_height, text_height + 3, max(text_height + 3, height - 3)))
    cv2.rectangle(canvas, (x - 3, y - text_height - 3), (x + text_width + 3, y + 4), _RIM, cv2.FILLED)
    cv2.putText(canvas, text, (x, y), font, scale, _LIGHT, 1, cv2.LINE_AA)
