"""People as markers for rviz: limbs and keypoints in space, or on the plane of the image."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
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

LIMBS, KEYPOINTS = 0, 1
"""The ids of a person's two markers."""

_GOLDEN = 0.618034  # steps of this share of the colour circle never come close to an earlier one
_FULL_SIZE_M = 0.7  # a person of this extent on the image plane has markers of full size
_LEAST_SIZE = 0.1


@dataclass(frozen=True)
class _Colours:
    """Of each limb, with its ends, and of each keypoint."""

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
    before: int = 0,
) -> MarkerArray:
    """The markers of the people of one image: for each the limbs (LINE_LIST) and the keypoints (SPHERE_LIST).

    Each person has a namespace of their own, ``person_<id>`` where everybody is tracked, else ``person_<index>``.
    A DELETEALL comes first where the viewer may show somebody who is gone: nobody is here, fewer are here than before,
    or they are tracked and one may have taken another's place.

    Args:
        people: In pixels of the image.
        skeleton: Of the people.
        header: Of the image. Its frame is the camera's optical one: x right, y down, z forward.
        size_wh: Width and height of the image, px.
        config: Sizes, colours, threshold, lifetime. On the image plane, people who are small have smaller markers.
        camera_info: Places the image plane by the camera's angle of view. One of another resolution is scaled, one that
            is not calibrated (``k[0] == 0``) is not used.
        points_xyz: (N, K, 3) metres in the frame of the header, in place of the image plane; a keypoint that is not
            finite is not shown.
        before: Number of people that the message before this one showed; 0 for the first.

    Raises:
        ValueError: If the people or the points do not fit the skeleton.
    """
    _check_shapes(people, skeleton, points_xyz)
    sizes = np.ones(len(people))
    if points_xyz is None:
        points_xyz, sizes = _on_plane(people, size_wh, camera_info, config.plane_m)
    shown = people.visible & (people.scores >= config.score_threshold) & np.isfinite(points_xyz).all(axis=2)
    numbers, is_tracked = _numbers(people)
    markers = [Marker(header=header, action=Marker.DELETEALL)] if len(people) < max(before, 1) or is_tracked else []
    by_side = _by_side(skeleton)
    for number, points, visible, size in zip(numbers, points_xyz, shown, sizes.tolist(), strict=True):
        colours = by_side if config.colour == "side" else _of_person(skeleton, number)
        for marker in _person(points, visible, colours):
            _finish(marker, config, size)
            marker.header, marker.ns = header, f"person_{number}"
            markers.append(marker)
    return MarkerArray(markers=markers)


def _check_shapes(people: People, skeleton: Skeleton, points_xyz: AnyArray | None) -> None:
    shape = (len(people), len(skeleton))
    if people.scores.shape != shape:
        raise ValueError(f"people: expected {shape[1]} keypoints ({skeleton.name}), got {people.scores.shape[1]}")
    if points_xyz is not None and points_xyz.shape != (*shape, 3):
        raise ValueError(f"points_xyz: expected shape {(*shape, 3)}, got {points_xyz.shape}")


def _numbers(people: People) -> tuple[list[int], bool]:
    """What tells the people apart, and whether that is their track ids."""
    ids = people.ids.tolist()
    is_tracked = bool(ids) and NOT_TRACKED not in ids and len(set(ids)) == len(ids)
    return (ids if is_tracked else list(range(len(ids)))), is_tracked


def _on_plane(
    people: People, size_wh: tuple[int, int], info: CameraInfo | None, plane_m: float
) -> tuple[AnyArray, AnyArray]:
    """(N, K, 3) metres: where the rays through the pixels meet the plane z = plane_m; and (N,) sizes of the markers.

    Whoever is small in the picture gets small markers, or a crowd would be one blot.
    """
    focal, centre = _lens(size_wh, info)
    xy = (people.keypoints - centre) / focal * plane_m
    low_high = people.boxes().reshape(-1, 2, 2)
    extents_m = (np.diff(low_high, axis=1)[:, 0] / focal * plane_m).max(axis=1)
    points_xyz = np.concatenate([xy, np.full_like(xy[..., :1], plane_m)], axis=2)
    return points_xyz, np.clip(extents_m / _FULL_SIZE_M, _LEAST_SIZE, 1)


def _lens(size_wh: tuple[int, int], info: CameraInfo | None) -> tuple[AnyArray, AnyArray]:
    """Focal lengths and principal point, (2,) px of this image.

    K is of the calibrated resolution. The image may be a part of that (roi), with fewer pixels (binning, or scaled).
    """
    size = np.array(size_wh, float)
    if info is None or not (info.k[0] > 0 and info.k[4] > 0):
        return np.full(2, size[0]), (size - 1) / 2
    roi = info.roi
    part = next(wh for wh in ((roi.width, roi.height), (info.width, info.height), size_wh) if all(wh))
    step = part / size
    focal, centre = np.array([info.k[0], info.k[4]]), np.array([info.k[2], info.k[5]])
    return focal / step, (centre - (roi.x_offset, roi.y_offset) + 0.5) / step - 0.5


def _person(xyz: AnyArray, visible: BoolArray, colours: _Colours) -> Iterator[Marker]:
    """Bones and keypoints; in place of an empty list, which rviz complains of, the order to delete it."""
    points = {k: Point(x=x, y=y, z=z) for k, (x, y, z) in enumerate(xyz.tolist()) if visible[k]}
    ends = [(k, colour) for limb, colour in colours.limbs if points.keys() >= set(limb) for k in limb]
    keypoints = [(k, colours.keypoints[k]) for k in points]
    for marker_id, kind, listed in ((LIMBS, Marker.LINE_LIST, ends), (KEYPOINTS, Marker.SPHERE_LIST, keypoints)):
        if listed:
            rgba = [colour for _, colour in listed]
            yield Marker(id=marker_id, type=kind, points=[points[k] for k, _ in listed], colors=rgba, color=rgba[0])
        else:
            yield Marker(id=marker_id, action=Marker.DELETE)


def _finish(marker: Marker, config: MarkersConfig, size: float) -> None:
    size_m = size * (config.limb_m if marker.id == LIMBS else config.keypoint_m)
    marker.scale.x = marker.scale.y = marker.scale.z = size_m
    marker.lifetime = Duration(seconds=config.lifetime_s).to_msg()


def _by_side(skeleton: Skeleton) -> _Colours:
    """As in the overlay."""
    rgba = {side: ColorRGBA(r=r / 255, g=g / 255, b=b / 255, a=1.0) for side, (b, g, r) in SIDE_COLOURS.items()}
    colours = list(rgba.values())
    limbs = [(limb, colours[side]) for limb, side in zip(skeleton.drawn_limbs, limb_sides(skeleton), strict=True)]
    return _Colours(limbs, [rgba[skeleton.side(keypoint)] for keypoint in range(len(skeleton))])


def _of_person(skeleton: Skeleton, number: int) -> _Colours:
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.75, 0.95)
    rgba = ColorRGBA(r=red, g=green, b=blue, a=1.0)
    return _Colours([(limb, rgba) for limb in skeleton.drawn_limbs], [rgba] * len(skeleton))
