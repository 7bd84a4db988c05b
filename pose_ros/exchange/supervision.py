"""Convert people into the objects of the package supervision."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from pose_ros.people import NOT_TRACKED, People


def to_supervision(people: People) -> tuple[Any, Any]:
    """Return people as keypoints and as detections of supervision (``pip install supervision``).

    Args:
        people: The people, in pixels of the image.

    Returns:
        ``KeyPoints`` with x and y, confidence of each keypoint (0 = absent, at (0, 0)), and ``Detections`` with boxes,
        confidence, masks if there are any, and the ids of tracked people in ``tracker_id``. Both have class 0.

    Raises:
        ImportError: If supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise ImportError(f"supervision: expected the package, got: {error}; pip install supervision") from error
    classes = np.zeros(len(people), int)
    confidence: dict[str, Any] = {_confidence_name(supervision.KeyPoints): people.scores}
    keypoints = supervision.KeyPoints(xy=people.keypoints, class_id=classes, **confidence)
    is_tracked = len(people) > 0 and bool((people.ids != NOT_TRACKED).all())
    detections = supervision.Detections(
        xyxy=people.boxes(),
        mask=people.masks,
        confidence=people.person_scores,
        class_id=classes,
        tracker_id=people.ids.astype(int) if is_tracked else None,
    )
    return keypoints, detections


def _confidence_name(kind: type[Any]) -> str:
    """Return the name of the keypoints' confidence, which supervision 0.29 has changed."""
    new = "keypoint_confidence"
    return new if new in inspect.signature(kind).parameters else "confidence"
