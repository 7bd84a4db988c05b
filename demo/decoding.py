"""Make the images of docs/decoding.md: fields, peaks and people of the default model in one frame of the demo clip.

Each grouping decodes fields of the default model. For ``single``, the image is a crop of one person. For ``direct``,
each cell of the map of centres is a person whom the network outputs.

. .venv/ros.sh && python demo/decoding.py
python demo/decoding.py --personlab posenet.onnx test_couple.jpg    # also the image of PersonLab: model and photo
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from clip import find_clip

from pose_ros.arrays import FloatArray, Image, SizeWH
from pose_ros.config import DecoderConfig, OverlayConfig, PreprocessConfig
from pose_ros.decoder import make_decoder
from pose_ros.estimator import PoseEstimator
from pose_ros.fields import Fields, ModelSpec
from pose_ros.media.overlay import draw
from pose_ros.media.panels import make_panels
from pose_ros.media.sheet import BAR_PX, add_title, arrange
from pose_ros.preprocess import Preprocessor

DOCS = Path(__file__).resolve().parents[1] / "docs"
FRAME = 640
# Both crops have the aspect ratio of the network input, so that no panel shows a border.
SCENE = (slice(176, 576), slice(259, 768))
PERSON = (slice(370, 546), slice(290, 422))
PERSON_SHORT_SIDE = 192
PANEL_PX = 360
SMALL_PANEL_PX = 238
PANEL_WH = (430, PANEL_PX - BAR_PX)
CONFIG = DecoderConfig(min_person_score=0.15)
DIRECT = DecoderConfig(min_person_score=0.2)
FIELDS_OF_GROUPING = {
    "paf": ("heatmaps", "pafs"),
    "tag": ("heatmaps", "tags"),
    "centernet": ("heatmaps", "heatmap_offsets", "centres", "centre_offsets", "sizes", "keypoint_offsets"),
}


def main() -> None:
    """Write docs/decoding_GROUPING.jpg for each grouping."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--personlab", nargs=2, metavar=("MODEL", "PHOTO"), help="model and photo of PersonLab")
    options = parser.parse_args()
    video = cv2.VideoCapture(str(find_clip()))
    video.set(cv2.CAP_PROP_POS_FRAMES, FRAME)
    frame = video.read()[1]
    estimator = PoseEstimator.load()
    spec = estimator.spec
    scene, fields = run_network(estimator, frame[SCENE])
    for grouping, names in FIELDS_OF_GROUPING.items():
        chosen = Fields(**{name: getattr(fields, name) for name in names})
        write(grouping, draw_people(chosen, grouping, spec, CONFIG, scene), columns=2)
    person, person_fields = run_network(estimator, frame[PERSON], PERSON_SHORT_SIDE)
    heatmaps = Fields(heatmaps=person_fields.heatmaps)
    write("single", draw_people(heatmaps, "single", spec, CONFIG, person), columns=3)
    write("direct", draw_direct(fields, spec, scene), columns=2)
    if options.personlab:
        model, photo = options.personlab
        posenet = PoseEstimator.load(model)
        couple, couple_fields = run_network(posenet, crop(cv2.imread(photo), posenet.spec.input.size_wh or (4, 3)))
        panels = draw_people(couple_fields, "personlab", posenet.spec, CONFIG, couple, SMALL_PANEL_PX)
        write("personlab", panels, columns=3)


def run_network(estimator: PoseEstimator, image_bgr: Image, short_side: int = 0) -> tuple[Image, Fields]:
    """Return the network input as (H, W, 3) BGR, and the fields of an image. Short side 0 = that of the model."""
    spec = estimator.spec
    tensor, _ = Preprocessor(spec.input, PreprocessConfig(short_side=short_side))(image_bgr)
    fields = spec.fields(estimator.runner.run({spec.input.tensor: tensor}))
    return np.ascontiguousarray(tensor[0, ..., ::-1]), fields


def crop(image: Image, aspect_wh: SizeWH) -> Image:
    """Cut the left and right of an image off, so that it has an aspect ratio."""
    width = min(image.shape[1], image.shape[0] * aspect_wh[0] // aspect_wh[1])
    left = (image.shape[1] - width) // 2
    return image[:, left : left + width]


def draw_people(
    fields: Fields, grouping: str, spec: ModelSpec, config: DecoderConfig, background: Image, height: int = PANEL_PX
) -> list[Image]:
    """Draw the fields, the peaks, and the people that a grouping finds."""
    people = make_decoder(spec, grouping, config)(fields)
    return make_panels(fields, people, spec, config, background, height)


def draw_direct(fields: Fields, spec: ModelSpec, background: Image) -> list[Image]:
    """Draw all people whom the cells output, and those that are left without duplicates."""
    direct, panels = replace(spec, heads=()), []
    for title, duplicate_oks in (("people of all cells", 1.0), ("without duplicates", DIRECT.duplicate_oks)):
        people = make_decoder(direct, "direct", replace(DIRECT, duplicate_oks=duplicate_oks))(output_people(fields))
        image = draw(background, people, spec.skeleton, OverlayConfig(thickness=0.5))
        panels.append(add_title(cv2.resize(image, PANEL_WH, interpolation=cv2.INTER_AREA), f"{title}: {len(people)}"))
    return panels


def output_people(fields: Fields) -> Fields:
    """Make the output of a direct network from fields of centres: one person for each cell."""
    centres, offsets = (np.asarray(array, np.float32) for array in (fields.centres, fields.keypoint_offsets))
    rows, cols = np.indices(centres.shape[1:], np.float32)
    cells: FloatArray = np.stack([cols, rows])
    keypoints = offsets.reshape(-1, 2, *cells.shape[1:]) + cells
    return Fields(people=keypoints.reshape(len(offsets), -1), person_scores=centres.reshape(1, -1))


def write(grouping: str, panels: list[Image], columns: int) -> None:
    """Write the image of a grouping."""
    path = DOCS / f"decoding_{grouping}.jpg"
    cv2.imwrite(str(path), arrange(panels, columns), [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    main()
