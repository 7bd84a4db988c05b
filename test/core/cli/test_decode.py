"""Test ``pose_ros decode``."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import scene
import yaml
from typer.testing import CliRunner

from pose_ros.cli import app
from pose_ros.decoder import make_decoder
from pose_ros.fields import HeadSpec, ModelSpec
from pose_ros.skeleton import OPENPOSE_18

SPEC = ModelSpec(
    "crowd",
    OPENPOSE_18,
    4,
    1.5,
    heads=(HeadSpec("heatmaps", "heat", channels=tuple(range(18))), HeadSpec("pafs", "paf")),
)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Folder with the fields of five people, the same arrays as network outputs, and the description."""
    fields, _ = scene.fields(5)
    np.savez(tmp_path / "fields.npz", heatmaps=fields.heatmaps, pafs=fields.pafs)
    np.savez(tmp_path / "outputs.npz", heat=fields.heatmaps[None], paf=fields.pafs[None])
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC.to_dict()))
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["decode", *arguments, "--spec", str(folder / "spec.yaml")])
    return result.exit_code, result.output


@pytest.mark.parametrize("name", ["fields.npz", "outputs.npz"])
def test_the_people_match_those_of_the_library(stored: Path, name: str) -> None:
    code, text = run(stored, str(stored / name))
    assert code == 0, text
    answer = json.loads(text)
    people = make_decoder(SPEC)(scene.fields(5)[0])
    assert answer["keypoint_names"] == list(OPENPOSE_18.keypoint_names)
    assert len(answer["people"]) == 5
    found = [[point[:2] if point else [0, 0] for point in person["keypoints"]] for person in answer["people"]]
    np.testing.assert_allclose(found, people.keypoints, atol=1e-3)


def test_settings_and_files(stored: Path) -> None:
    picture, answer = stored / "panels.png", stored / "people.json"
    code, text = run(
        stored,
        str(stored / "fields.npz"),
        "--set",
        "decoder.max_people=2",
        "--json",
        str(answer),
        "--picture",
        str(picture),
    )
    assert code == 0, text
    assert len(json.loads(answer.read_text())["people"]) == 2
    image = cv2.imread(str(picture))
    assert image.shape[0] == 480 and image.shape[1] > 4 * 480  # heatmaps, pafs, peaks, people
    assert image.std() > 5


def test_the_panels_show_a_background_image(stored: Path) -> None:
    cv2.imwrite(str(stored / "photo.png"), np.full((368, 656, 3), (0, 200, 0), np.uint8))
    picture = stored / "panels.png"
    photo = str(stored / "photo.png")
    code, text = run(stored, str(stored / "fields.npz"), "--picture", str(picture), "--image", photo)
    assert code == 0, text
    corner = cv2.imread(str(picture))[-5, 5]
    assert corner[1] > 150 > corner[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an .npz of plain arrays"),
        (b"PK\x03\x04 cut off", "expected an .npz of plain arrays"),
        (None, "No such file"),
    ],
)
def test_broken_files_are_reported_by_name(stored: Path, content: bytes | None, message: str) -> None:
    file = stored / "broken.npz"
    if content is not None:
        file.write_bytes(content)
    code, text = run(stored, str(file))
    assert code == 1 and message in text and "broken.npz" in text and "Traceback" not in text


def test_pickles_and_unknown_names_are_rejected(stored: Path) -> None:
    np.savez(stored / "pickle.npz", heatmaps=np.array([{"a": 1}], dtype=object))
    code, text = run(stored, str(stored / "pickle.npz"))
    assert code == 1 and "plain arrays" in text
    np.savez(stored / "strange.npz", hot=np.zeros((18, 4, 4)))
    code, text = run(stored, str(stored / "strange.npz"))
    assert code == 1 and "got hot" in text


def test_masks_need_their_fields(stored: Path) -> None:
    code, text = run(stored, str(stored / "fields.npz"), "--masks", str(stored / "masks.npz"))
    assert code == 1 and "long_offsets" in text
