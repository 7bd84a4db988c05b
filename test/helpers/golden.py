"""Read golden cases and compare people with them. The cases are outputs of published decoders.

The README in the folder of the cases describes their format.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from shared_folder import GOLDEN as FOLDER

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, ModelSpec, sigmoid
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

NECK_SIGMA = 0.079


def cases(*families: str) -> list[dict[str, Any]]:
    """Return the cases of some families. Empty if the folder is missing."""
    index = FOLDER / "index.json"
    if not index.is_file():
        return []
    return [case for case in json.loads(index.read_text())["cases"] if case["family"] in families]


def arrays(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Load all arrays of a case."""
    with np.load(FOLDER / case["file"]) as data:
        return dict(data)


def skeleton(case: dict[str, Any]) -> Skeleton:
    """Return the skeleton of a case. Its limbs, if any, are in the order of their fields."""
    limbs = sorted(case["skeleton"]["limbs"] or (), key=lambda limb: limb["paf_x"])
    assert [limb["paf_x"] for limb in limbs] == list(range(0, 2 * len(limbs), 2))
    return Skeleton(
        case["skeleton"]["name"],
        tuple(case["skeleton"]["keypoints"]),
        tuple((limb["a"], limb["b"]) for limb in limbs),
    )


def decode_paf(case: dict[str, Any], heat: np.ndarray, paf: np.ndarray, **config: Any) -> People:
    """Run the PAF decoder. Cell (row, col) is at x = col * stride, y = row * stride."""
    spec = ModelSpec(case["id"], skeleton(case), stride=case["stride"])
    return make_decoder(spec, "paf", DecoderConfig(**config))(Fields(heatmaps=heat, pafs=paf))


def decode_tags(case: dict[str, Any], heat: np.ndarray, tags: np.ndarray, **config: Any) -> People:
    """Run the tag decoder. Cell (row, col) is at x = col * stride, y = row * stride."""
    spec = ModelSpec(case["id"], skeleton(case), stride=case["stride"])
    return make_decoder(spec, "tag", DecoderConfig(**config))(Fields(heatmaps=heat, tags=tags))


def personlab_fields(data: dict[str, np.ndarray]) -> Fields:
    """Convert the published offsets, a block of y and a block of x, to pairs of x and y, as in Fields."""

    def pair_xy(array: np.ndarray, blocks: int) -> np.ndarray:
        in_blocks = array.reshape(blocks, 2, -1, *array.shape[1:])
        return np.ascontiguousarray(in_blocks[:, ::-1].swapaxes(1, 2)).reshape(array.shape)

    return Fields(
        sigmoid(data["heat_logit"]), short_offsets=pair_xy(data["short"], 1), mid_offsets=pair_xy(data["mid"], 2)
    )


def personlab_spec(case: dict[str, Any]) -> ModelSpec:
    """Return the model of a case. Cell (row, col) is at x = col * stride, y = row * stride."""
    names = case["skeleton"]["keypoints"]
    edges = tuple((names.index(edge["parent"]), names.index(edge["child"])) for edge in case["skeleton"]["edges"])
    return ModelSpec(case["id"], Skeleton(case["skeleton"]["name"], tuple(names), edges), stride=case["stride"])


def personlab_config(case: dict[str, Any]) -> dict[str, Any]:
    """Return the decoder settings of libcoral that the case contains."""
    libcoral = case.get("decoders", {}).get("libcoral", {}).get("parameters", {})
    config = {
        "score_threshold": libcoral.get("score_threshold"),
        "min_person_score": libcoral.get("score_threshold"),
        "nms_radius": libcoral.get("nms_radius_px"),
        "refinement_steps": libcoral.get("mid_short_offset_refinement_steps", libcoral.get("steps")),
        "max_people": libcoral.get("max_detections"),
    }
    return {name: value for name, value in config.items() if value is not None}


def decode_personlab(case: dict[str, Any], fields: Fields, **config: Any) -> People:
    """Run the PersonLab decoder."""
    return make_decoder(personlab_spec(case), "personlab", DecoderConfig(**config))(fields)


def as_array(people: People) -> np.ndarray:
    """Return people as an array (N, K, 3) of x, y, score."""
    return np.concatenate([people.keypoints, people.scores[..., None]], axis=2)


def oks(reference: np.ndarray, found: np.ndarray, sigmas: np.ndarray) -> float:
    """Similarity of two people (K, 3), 0 to 1. A keypoint of the reference that is missing in the other counts 0."""
    used = reference[:, 2] > 0
    size = np.ptp(reference[used, :2], axis=0)
    area = 0.53 * max(size[0] * size[1], 0.1 * size.max() ** 2, 64)
    squared = ((reference[used, :2] - found[used, :2]) ** 2).sum(axis=1)
    similar = np.exp(-squared / (2 * area * (2 * sigmas[used]) ** 2))
    return float(np.where(found[used, 2] > 0, similar, 0).mean())


@dataclass
class Agreement:
    """Agreement of people with a reference, summed over cases.

    Attributes:
        found: Matched people, with an OKS of at least 0.5.
        found_75: Matched people, with an OKS of at least 0.75.
        reference: People of the reference.
        people: Compared people, with at least 3 keypoints.
        keypoints: Keypoints of the matched reference people.
        keypoints_found: Those that the matched people also have.
        distances: Distances of these keypoints, cells.
    """

    found: int = 0
    found_75: int = 0
    reference: int = 0
    people: int = 0
    keypoints: int = 0
    keypoints_found: int = 0
    distances: list[float] | None = None

    def add(self, reference: np.ndarray, people: np.ndarray, sigmas: np.ndarray, stride: float) -> None:
        """Match the people of one case greedily, highest similarity first."""
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
        """Recall, recall at OKS 0.75, precision, keypoint recall, and median and 95th percentile of the distances."""
        return {
            "recall": self.found / max(self.reference, 1),
            "recall_75": self.found_75 / max(self.reference, 1),
            "precision": self.found / max(self.people, 1),
            "keypoint_recall": self.keypoints_found / max(self.keypoints, 1),
            "median": float(np.median(self.distances or [0])),
            "p95": float(np.percentile(self.distances or [0], 95)),
        }
