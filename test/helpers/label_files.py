"""Write small label files of a standing person, in the formats of data sets."""

import json

import cv2
import numpy as np

from pose_ros.skeleton import COCO_17

COCO_CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoint_names)}


def write_image(folder, name="a.jpg", size_wh=(120, 100)):
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
    cv2.imwrite(str(folder / name), pixels)
    return folder / name


def standing_person(skeleton=COCO_17, x=60.0, y=10.0, height=80.0):
    return skeleton.standing * height + (x, y)


def make_annotation(number=1, xy=None, visible=2, **more):
    xy = standing_person() if xy is None else xy
    triples = np.column_stack([xy, np.broadcast_to(visible, len(xy))])
    low, size = xy.min(axis=0), np.ptp(xy, axis=0)
    box = [float(value) for value in (*low, *size)]
    entry = {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": box}
    return {**entry, "keypoints": triples.ravel().tolist(), "num_keypoints": int((triples[:, 2] > 0).sum()), **more}


def write_coco(folder, annotations, entry=None, category=COCO_CATEGORY, name="labels.json", categories=()):
    write_image(folder)
    entries = [{"id": 1, "file_name": "a.jpg", "width": 120, "height": 100, **(entry or {})}]
    content = {"images": entries, "annotations": annotations, "categories": list(categories) or [category]}
    (folder / name).write_text(json.dumps(content))
    return folder / name


def write_yolo(folder, line=None, **content):
    write_image(folder / "images" / "train", "a.jpg", (200, 100))
    write_image(folder / "images" / "train", "b.jpg", (200, 100))
    (folder / "labels" / "train").mkdir(parents=True)
    xy = standing_person() / (200, 100)
    keypoints = " ".join(f"{x:.6f} {y:.6f} 2" for x, y in xy)
    (folder / "labels" / "train" / "a.txt").write_text(line or f"0 0.3 0.5 0.2 0.8 {keypoints}\n")
    content_yaml = {"path": ".", "train": "images/train", "kpt_shape": [17, 3], "names": {0: "person"}, **content}
    (folder / "data.yaml").write_text(json.dumps(content_yaml))
    return folder / "data.yaml"
