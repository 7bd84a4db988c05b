"""Test targets, loss and decoders together: fitted fields decode to the right people."""

import numpy as np
import pytest
import scene

torch = pytest.importorskip("torch")

from pose_ros.config import DecoderConfig  # noqa: E402
from pose_ros.datasets.sample import Sample  # noqa: E402
from pose_ros.decoder import make_decoder  # noqa: E402
from pose_ros.fields import Fields, HeadSpec, ModelSpec  # noqa: E402
from pose_ros.skeleton import OPENPOSE_18  # noqa: E402
from pose_ros.training.losses.config import LossConfig  # noqa: E402
from pose_ros.training.losses.fields import FieldsLoss  # noqa: E402
from pose_ros.training.targets.config import TargetConfig  # noqa: E402
from pose_ros.training.targets.make import make_targets  # noqa: E402

HEADS = {"heatmaps": 18, "pafs": 38, "tags": 18}
SPEC = ModelSpec("free", OPENPOSE_18, 8, heads=tuple(HeadSpec(name, name) for name in HEADS))


def test_both_groupings_detect_people_in_fitted_fields() -> None:
    xy = scene.crowd(2, (192, 256))
    boxes = np.concatenate([xy.min(axis=1), xy.max(axis=1)], axis=1)
    sample = Sample(np.zeros((192, 256, 3), np.uint8), xy, np.ones(xy.shape[:2], np.uint8), boxes)
    targets = {k: torch.from_numpy(v)[None] for k, v in make_targets(sample, SPEC, TargetConfig()).items()}
    random = torch.Generator().manual_seed(0)
    outputs = {name: torch.randn(1, size, 24, 32, generator=random).requires_grad_() for name, size in HEADS.items()}
    optimiser, loss = torch.optim.Adam(outputs.values(), lr=0.1), FieldsLoss(LossConfig())
    totals = []
    for _ in range(120):
        optimiser.zero_grad()
        total, _ = loss([outputs], targets)
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert totals[-1] < 0.1 * totals[0]
    fields = Fields(**{name: output[0].detach().numpy() for name, output in outputs.items()})
    for grouping in ("paf", "tag"):
        people = make_decoder(SPEC, grouping, DecoderConfig())(fields)
        distances = np.linalg.norm(people.keypoints[:, None] - xy, axis=3).max(axis=2)  # (detected, true)
        assert len(people) == 2 and sorted(distances.argmin(axis=0)) == [0, 1], grouping
        assert distances.min(axis=0).max() < 4, grouping
