"""Reading and judging golden cases: outputs of published decoders, in the form that their README describes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, ModelSpec, sigmoid
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("POSE_ROS_GOLDEN", ROOT.parent / "shared" / "golden"))
NECK_SIGMA = 0.079


def cases(*families: str) -> list[dict[str, Any]]:
    """The cases of some families; none where the folder is not at hand."""
    index = FOLDER / "index.json"
    if not index.is_file():
        return []
    return [case for case in json.loads(index.read_text())["cases"] if case["family"] in families]


def arrays(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """All arrays of a case."""
    with np.load(FOLDER / case["file"]) as data:
        return dict(data)


def skeleton(case: dict[str, Any]) -> Skeleton:
    """The case's skeleton, its limbs in the order of their fields, if it has any."""
    limbs = sorted(case["skeleton"]["limbs"] or (), key=lambda limb: limb["paf_x"])
    assert [limb["paf_x"] for limb in limbs] == list(range(0, 2 * len(limbs), 2))
    return Skeleton(
        case["skeleton"]["name"],
        tuple(case["skeleton"]["keypoints"]),
        tuple((limb["a"], limb["b"]) for limb in limbs),
    )


def decode_paf(case: dict[str, Any], heat: np.ndarray, paf: np.ndarray, **config: Any) -> People:
    """Run the PAF decoder with cell (i, j) at (j stride, i stride)."""
    spec = ModelSpec(case["id"], skeleton(case), stride=case["stride"])
    return make_decoder(spec, "paf", DecoderConfig(**config))(Fields(heatmaps=heat, pafs=paf))


def decode_tags(case: dict[str, Any], heat: np.ndarray, tags: np.ndarray, **config: Any) -> People:
    """Run the tag decoder with cell (i, j) at (j stride, i stride)."""
    spec = ModelSpec(case["id"], skeleton(case), stride=case["stride"])
    return make_decoder(spec, "tag", DecoderConfig(**config))(Fields(heatmaps=heat, tags=tags))


def personlab_fields(data: dict[str, np.ndarray]) -> Fields:
    """Their blocks of y and of x, in the order of Fields: x and y side by side."""

    def paired(array: np.ndarray, blocks: int) -> np.ndarray:
        in_blocks = array.reshape(blocks, 2, -1, *array.shape[1:])
        return np.ascontiguousarray(in_blocks[:, ::-1].swapaxes(1, 2)).reshape(array.shape)

    return Fields(
        sigmoid(data["heat_logit"]), short_offsets=paired(data["short"], 1), mid_offsets=paired(data["mid"], 2)
    )


def personlab_spec(case: dict[str, Any]) -> ModelSpec:
    """The case's model, with cell (i, j) at (j stride, i stride)."""
    names = case["skeleton"]["keypoints"]
    edges = tuple((names.index(edge["parent"]), names.index(edge["child"])) for edge in case["skeleton"]["edges"])
    return ModelSpec(case["id"], Skeleton(case["skeleton"]["name"], tuple(names), edges), stride=case["stride"])


def personlab_config(case: dict[str, Any]) -> dict[str, Any]:
    """The settings that libcoral ran with, as far as the case tells them."""
    theirs = case.get("decoders", {}).get("libcoral", {}).get("parameters", {})
    ours = {
        "score_threshold": theirs.get("score_threshold"),
        "min_person_score": theirs.get("score_threshold"),
        "nms_radius": theirs.get("nms_radius_px"),
        "refinement_steps": theirs.get("mid_short_offset_refinement_steps", theirs.get("steps")),
        "max_people": theirs.get("max_detections"),
    }
    return {name: value for name, value in ours.items() if value is not None}


def decode_personlab(case: dict[str, Any], fields: Fields, **config: Any) -> People:
    """Run the PersonLab decoder."""
    return make_decoder(personlab_spec(case), "personlab", DecoderConfig(**config))(fields)


def as_array(people: People) -> np.ndarray:
    """(N, K, 3) x, y, score."""
    return np.concatenate([people.keypoints, people.scores[..., None]], axis=2)


def oks(reference: np.ndarray, found: np.ndarray, sigmas: np.ndarray) -> float:
    """Similarity of two people (K, 3); a keypoint of the reference that is not found counts 0."""
    used = reference[:, 2] > 0
    size = np.ptp(reference[used, :2], axis=0)
    area = 0.53 * max(size[0] * size[1], 0.1 * size.max() ** 2, 64)
    squared = ((reference[used, :2] - found[used, :2]) ** 2).sum(axis=1)
    similar = np.exp(-squared / (2 * area * (2 * sigmas[used]) ** 2))
    return float(np.where(found[used, 2] > 0, similar, 0).mean())


@dataclass
class Agreement:
    """How well people agree with a reference, summed over cases. Distances are in cells."""

    found: int = 0
    found_75: int = 0
    reference: int = 0
    people: int = 0
    keypoints: int = 0
    keypoints_found: int = 0
    distances: list[float] | None = None

    def add(self, reference: np.ndarray, people: np.ndarray, sigmas: np.ndarray, stride: float) -> None:
        """Match one case greedily, best first."""
        people = people[(people[..., 2] > 0).sum(axis=1) >= 3]
        self.reference, self.people = self.reference + len(reference), self.people + len(people)
        self.distances = self.distances if self.distances is not None else []
        similar = np.array([[oks(r, p, sigmas) for p in people] for r in reference]).reshape(
            len(reference), len(people)
        )
        while similar.size and similar.max() >= 0.5:
            i, j = np.unravel_index(similar.argmax(), similar.shape)
            self.found, self.found_75 = self.found + 1, self.found_75 + (similar[i, j] >= 0.75)
            both = (reference[i, :, 2] > 0) & (people[j, :, 2] > 0)
            self.keypoints += int((reference[i, :, 2] > 0).sum())
            self.keypoints_found += int(both.sum())
            self.distances += (np.linalg.norm(reference[i, both, :2] - people[j, both, :2], axis=1) / stride).tolist()
            similar[i], similar[:, j] = -1, -1

    @property
    def figures(self) -> dict[str, float]:
        """Recall, recall at OKS .75, precision, keypoint recall; median and 95th percentile of the distance."""
        return {
            "recall": self.found / max(self.reference, 1),
            "recall_75": self.found_75 / max(self.reference, 1),
            "precision": self.found / max(self.people, 1),
            "keypoint_recall": self.keypoints_found / max(self.keypoints, 1),
            "median": float(np.median(self.distances or [0])),
            "p95": float(np.percentile(self.distances or [0], 95)),
        }
