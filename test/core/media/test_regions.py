"""Test the regions where nobody is looked for."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pose_ros.media.regions import find_region, load_regions
from pose_ros.people import People

SIZE_WH = (64, 48)
POLYGONS = """
front:
  image_size: [640, 480]
  polygons: [[[0, 0], [319, 0], [319, 479], [0, 479]]]
all:
  image_size: [64, 48]
  polygons: [[[0, 0], [63, 0], [63, 10]], [[0, 40], [63, 40], [63, 47], [0, 47]]]
"""


def person_at(x: float, y: float) -> People:
    return People([[[x - 5, y - 8], [x + 5, y + 8], [0, 0]]], [[0.5, 0.5, 0.0]], [0.5])


@pytest.fixture
def polygons(tmp_path: Path) -> Path:
    (path := tmp_path / "ignore.yaml").write_text(POLYGONS)
    return path


def test_people_whose_centre_is_inside_are_dropped(polygons: Path) -> None:
    region = find_region(load_regions(polygons), "front")
    people = person_at(10, 20).append(person_at(33, 20)).append(person_at(-3, 20)).append(person_at(30, 20))
    assert region.drop(people, SIZE_WH).boxes()[:, 0].tolist() == [28, -8]  # also partly inside, and outside the image
    assert region.drop(People.empty(3), SIZE_WH) is not None
    assert len(region.drop(person_at(100, 200), (640, 480))) == 0


def test_cameras_without_an_entry_use_that_of_all(polygons: Path, tmp_path: Path) -> None:
    regions = load_regions(polygons)
    assert find_region(regions, "rear") is find_region(regions) is regions["all"]
    mask = regions["all"].mask(SIZE_WH)
    assert mask[0, 40] and not mask[20, 40] and mask[44, 3]
    (tmp_path / "one.yaml").write_text("door: {image_size: [64, 48], polygons: [[[0, 0], [9, 0], [9, 9]]]}")
    one = load_regions(tmp_path / "one.yaml")
    assert find_region(one) is one["door"] and find_region(one, "front") is None and find_region({}) is None


def test_several_names_for_one_camera_are_an_error(tmp_path: Path) -> None:
    entry = "{image_size: [64, 48], polygons: [[[0, 0], [9, 0], [9, 9]]]}"
    (tmp_path / "two.yaml").write_text(f"a: {entry}\nb: {entry}\n")
    with pytest.raises(ValueError, match=r"regions.ignore: expected one camera or 'all', got a, b"):
        find_region(load_regions(tmp_path / "two.yaml"))


def test_a_mask_is_white_where_people_are_ignored(tmp_path: Path) -> None:
    image = np.zeros((24, 32), np.uint8)
    image[:, 16:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), image)
    region = find_region(load_regions(tmp_path / "mask.png"), "any")
    assert len(region.drop(person_at(20, 20), SIZE_WH)) == 1 and len(region.drop(person_at(40, 20), SIZE_WH)) == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[]", "expected polygons by camera, got list"),
        ("front: 3", "front: expected {image_size"),
        ("front: {polygons: []}", "front: expected {image_size"),
        ("front: {image_size: [0, 3], polygons: [[[0, 0], [1, 0], [1, 1]]]}", "front: expected {image_size"),
        ("front: {image_size: [.inf, 9], polygons: [[[0, 0], [1, 0], [1, 1]]]}", "front: expected {image_size"),
        ("front: {image_size: [9, 9], polygons: [[[0, 0], [1, 0]]]}", "a polygon without three points"),
        ("front: {image_size: [9, 9], polygons: [[[0, 0], [.nan, 0], [1, 1]]]}", "a polygon without three points"),
        (
            "front: {image_size: [9, 9], polygons: [[[20, 0], [30, 0], [30, 9]]]}",
            "polygons inside 9 x 9 px, got polygon 1",
        ),
        ("front: {image_size: [9, 9], polygon: [[[0, 0], [3, 0], [3, 3]]], polygons: []}", "the unknown names polygon"),
        ("front: {image_size: [9, 9], polygons: [[[0, 0], [9, 0], [9, 9], [0, 9]]]}", "got all of it"),
    ],
)
def test_wrong_files_are_reported(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "ignore.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"regions.ignore .*ignore.yaml.*{error}"):
        load_regions(tmp_path / "ignore.yaml")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"regions.ignore: expected a YAML file or an image, got .*none.yaml"):
        load_regions(tmp_path / "none.yaml")
    cv2.imwrite(str(tmp_path / "white.png"), np.full((9, 9), 255, np.uint8))
    with pytest.raises(ValueError, match="expected a part of the image, got all of it"):
        load_regions(tmp_path / "white.png")
