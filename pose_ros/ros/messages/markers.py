"""Make RViz markers of people: limbs and keypoints in space, or on the image plane."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Point
from rclpy.duration import Duration
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from pose_ros.arrays import AnyArray, BoolArray
from pose_ros.config import MarkersConfig
from pose_ros.media.overlay import SIDE_COLOURS, limb_sides
from pose_ros.people import NOT_TRACKED, People
from pose_ros.skeleton import Limb, Skeleton

LIMBS, KEYPOINTS, LABEL, TRAIL = range(4)
"""Ids of the markers of a person."""

_GOLDEN = 0.618034  # golden ratio: steps of this fraction of the colour circle stay far from earlier colours
_FULL_SIZE_M = 0.7  # a person of this size on the image plane gets markers of full size
_MIN_SIZE = 0.1
_LABEL_M, _LABEL_GAP_M = 0.15, 0.2
"""Height of the letters of a label, and its distance from the highest keypoint."""


@dataclass(frozen=True)
class _Colours:
    """Colours of one person: of each limb, with its two keypoints, and of each keypoint."""

    limbs: list[tuple[Limb, ColorRGBA]]
    keypoints: list[ColorRGBA]


def people_markers(
    people: People,
    skeleton: Skeleton,
    header: Header,
    size_wh: tuple[int, int],
    config: MarkersConfig,
    camera_info: CameraInfo | None = None,
    points_xyz: AnyArray | None = None,
    previous_count: int = 0,
    trails: Mapping[int, AnyArray] | None = None,
) -> MarkerArray:
    """Make the markers of the people in one image: limbs (LINE_LIST) and keypoints (SPHERE_LIST) of each person.

    With ``config.ids``, each tracked person has a label (TEXT_VIEW_FACING). People with a trail have a LINE_STRIP.

    Each person has a separate namespace: ``person_<id>`` if all people are tracked, otherwise ``person_<index>``. A
    DELETEALL marker comes first if the viewer may still show a person who has left. This is the case if the image has
    no people, if it has fewer people than before, or if people are tracked, because the ids may have changed.

    Args:
        people: People in pixels of the image.
        skeleton: Skeleton of the people.
        header: Header of the image. Its frame is the optical frame of the camera: x right, y down, z forward.
        size_wh: Width and height of the image, px.
        config: Sizes, colours, threshold, lifetime. On the image plane, small people have smaller markers.
        camera_info: Calibration that gives the angle of view of the image plane. If its resolution differs from the
            image, it is scaled. If it is not calibrated (``k[0] == 0``), it is not used.
        points_xyz: (N, K, 3) keypoints in the frame of the header, m. They replace the image plane. Keypoints that are
            not finite are not shown.
        previous_count: Number of people in the previous message. 0 for the first.
        trails: (M, 3) recent positions of people by id, m. None = none.

    Raises:
        ValueError: If the people or the points do not match the skeleton.
    """
    _check_shapes(people, skeleton, points_xyz)
    sizes = np.ones(len(people))
    if points_xyz is None:
        points_xyz, sizes = _project_to_plane(people, size_wh, camera_info, config.plane_m)
    shown = people.visible & (people.scores >= config.score_threshold) & np.isfinite(points_xyz).all(axis=2)
    numbers, is_tracked = _namespace_numbers(people)
    may_be_stale = len(people) < max(previous_count, 1) or is_tracked or config.ids or bool(trails)
    markers = [Marker(header=header, action=Marker.DELETEALL)] if may_be_stale else []
    by_side = _side_colours(skeleton)
    columns = zip(numbers, people.ids.tolist(), points_xyz, shown, sizes.tolist(), strict=True)
    for number, person, points, visible, size in columns:
        colours = by_side if config.colour == "side" else _person_colours(skeleton, number)
        own = list(_person_markers(points, visible, colours))
        if config.ids and person != NOT_TRACKED and visible.any():
            own.append(_label(str(person), _place_above(points, visible, skeleton, size)))
        if trails and len(trails.get(person, ())) > 1:
            own.append(_trail(trails[person], _person_colours(skeleton, person).keypoints[0]))
        for marker in own:
            _set_size(marker, config, size)
            marker.header, marker.ns = header, f"person_{number}"
        markers += own
    return MarkerArray(markers=markers)


def _check_shapes(people: People, skeleton: Skeleton, points_xyz: AnyArray | None) -> None:
    shape = (len(people), len(skeleton))
    if people.scores.shape != shape:
        raise ValueError(f"people: expected {shape[1]} keypoints ({skeleton.name}), got {people.scores.shape[1]}")
    if points_xyz is not None and points_xyz.shape != (*shape, 3):
        raise ValueError(f"points_xyz: expected shape {(*shape, 3)}, got {points_xyz.shape}")


def _namespace_numbers(people: People) -> tuple[list[int], bool]:
    """Return one number per person, and whether the numbers are track ids."""
    ids = people.ids.tolist()
    is_tracked = bool(ids) and NOT_TRACKED not in ids and len(set(ids)) == len(ids)
    return (ids if is_tracked else list(range(len(ids)))), is_tracked


def _project_to_plane(
    people: People, size_wh: tuple[int, int], info: CameraInfo | None, plane_m: float
) -> tuple[AnyArray, AnyArray]:
    """Project pixels to the plane z = plane_m. Return (N, K, 3) points, m, and (N,) relative sizes of the markers.

    Small people get small markers. Otherwise the markers of a crowd would overlap.
    """
    focal, centre = _focal_and_centre(size_wh, info)
    xy = (people.keypoints - centre) / focal * plane_m
    low_high = people.boxes().reshape(-1, 2, 2)
    extents_m = (np.diff(low_high, axis=1)[:, 0] / focal * plane_m).max(axis=1)
    points_xyz = np.concatenate([xy, np.full_like(xy[..., :1], plane_m)], axis=2)
    return points_xyz, np.clip(extents_m / _FULL_SIZE_M, _MIN_SIZE, 1)


def _focal_and_centre(size_wh: tuple[int, int], info: CameraInfo | None) -> tuple[AnyArray, AnyArray]:
    """Return the focal lengths and the principal point of this image, (2,) each, px.

    K refers to the calibrated resolution. The image may be a region of it (roi), with fewer pixels (binning, scaling).
    """
    size = np.array(size_wh, float)
    if info is None or not (info.k[0] > 0 and info.k[4] > 0):
        return np.full(2, size[0]), (size - 1) / 2
    roi = info.roi
    region_wh = next(wh for wh in ((roi.width, roi.height), (info.width, info.height), size_wh) if all(wh))
    step = region_wh / size
    focal, centre = np.array([info.k[0], info.k[4]]), np.array([info.k[2], info.k[5]])
    return focal / step, (centre - (roi.x_offset, roi.y_offset) + 0.5) / step - 0.5


def _person_markers(xyz: AnyArray, visible: BoolArray, colours: _Colours) -> Iterator[Marker]:
    """Make the markers of the limbs and keypoints. An empty one is replaced by DELETE, because RViz rejects it."""
    points = {k: Point(x=x, y=y, z=z) for k, (x, y, z) in enumerate(xyz.tolist()) if visible[k]}
    ends = [(k, colour) for limb, colour in colours.limbs if points.keys() >= set(limb) for k in limb]
    keypoints = [(k, colours.keypoints[k]) for k in points]
    for marker_id, kind, entries in ((LIMBS, Marker.LINE_LIST, ends), (KEYPOINTS, Marker.SPHERE_LIST, keypoints)):
        if entries:
            rgba = [colour for _, colour in entries]
            yield Marker(id=marker_id, type=kind, points=[points[k] for k, _ in entries], colors=rgba, color=rgba[0])
        else:
            yield Marker(id=marker_id, action=Marker.DELETE)


def _place_above(xyz: AnyArray, visible: BoolArray, skeleton: Skeleton, size: float) -> AnyArray:
    """Return a point above the highest keypoint of a standing person, away from the middle of the person.

    The frame may be any, so up is where the head is.
    """
    heights = np.where(visible, np.nan_to_num(skeleton.standing[:, 1], nan=np.inf), np.inf)
    top = int(np.argmin(heights)) if np.isfinite(heights).any() else int(np.argmax(visible))
    up = xyz[top] - xyz[visible].mean(axis=0)
    length = float(np.linalg.norm(up))
    return xyz[top] + (size * _LABEL_GAP_M / length * up if length > 0 else 0)


def _label(text: str, xyz: AnyArray) -> Marker:
    marker = Marker(id=LABEL, type=Marker.TEXT_VIEW_FACING, text=text, color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0))
    marker.pose.position = _to_point(xyz)
    return marker


def _trail(points_m: AnyArray, colour: ColorRGBA) -> Marker:
    return Marker(id=TRAIL, type=Marker.LINE_STRIP, points=[_to_point(xyz) for xyz in points_m], color=colour)


def _to_point(xyz: AnyArray) -> Point:
    x, y, z = xyz.tolist()
    return Point(x=x, y=y, z=z)


def _set_size(marker: Marker, config: MarkersConfig, size: float) -> None:
    sizes_m = {KEYPOINTS: config.keypoint_m, LABEL: _LABEL_M}
    size_m = size * sizes_m.get(marker.id, config.limb_m)
    marker.scale.x = marker.scale.y = marker.scale.z = size_m
    marker.lifetime = Duration(seconds=config.lifetime_s).to_msg()


def _side_colours(skeleton: Skeleton) -> _Colours:
    """Return the colours of the overlay: by side of the body."""
    rgba = {side: ColorRGBA(r=r / 255, g=g / 255, b=b / 255, a=1.0) for side, (b, g, r) in SIDE_COLOURS.items()}
    colours = list(rgba.values())
    limbs = [(limb, colours[side]) for limb, side in zip(skeleton.drawn_limbs, limb_sides(skeleton), strict=True)]
    return _Colours(limbs, [rgba[skeleton.side(keypoint)] for keypoint in range(len(skeleton))])


def _person_colours(skeleton: Skeleton, number: int) -> _Colours:
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.75, 0.95)
    rgba = ColorRGBA(r=red, g=green, b=blue, a=1.0)
    return _Colours([(limb, rgba) for limb in skeleton.drawn_limbs], [rgba] * len(skeleton))
