"""Test DirectPose: sizes, places of the people, gradients, and an overfitted network from training to the estimator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tiny_training import DOTS, draw_dots  # noqa: E402

from pose_ros.config import DecoderConfig  # noqa: E402
from pose_ros.datasets.sample import Sample  # noqa: E402
from pose_ros.decoder import make_decoder  # noqa: E402
from pose_ros.estimator import PoseEstimator  # noqa: E402
from pose_ros.export.to_onnx import ExportOptions, export  # noqa: E402
from pose_ros.fields import Fields  # noqa: E402
from pose_ros.network import zoo  # noqa: E402
from pose_ros.network.directpose import DirectPose, KPAlign, Sizes, keypoint_groups  # noqa: E402
from pose_ros.network.mobilenet_v2 import MobileNetV2  # noqa: E402
from pose_ros.skeleton import COCO_17, OPENPOSE_18  # noqa: E402
from pose_ros.training.loader import Normaliser, stack_examples  # noqa: E402
from pose_ros.training.losses.config import LossConfig  # noqa: E402
from pose_ros.training.losses.fields import FieldsLoss  # noqa: E402
from pose_ros.training.run_inputs import FixedStream, make_examples  # noqa: E402
from pose_ros.training.targets.config import TargetConfig  # noqa: E402

SIZE, IMAGES, STEPS = 64, 4, 70
RESNET50 = 23_508_032
"""Weights of ResNet-50 without its classifier."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def conv(cin: int, cout: int, size: int = 3, groups: int = 1) -> int:
    """Return the number of weights of a convolution."""
    return size**2 * cin * cout // groups + cout


def published_weights() -> int:
    """Count the weights of GluonCV's directpose_resnet50_lpf_fpn_coco, layer by layer.

    Its blurring layers have none. 9 groups of 64 channels hold 5, 1, 2, 1, 2, 1, 2, 1 and 2 keypoints.
    """
    pyramid = sum(conv(cin, 256, 1) for cin in (512, 1024, 2048)) + 5 * conv(256, 256)
    scores = 4 * (conv(256, 256) + 2 * 256) + conv(256, 1)
    tower = conv(256, 576) + 3 * conv(576, 576, groups=9) + 4 * 2 * 576 + conv(576, 1)
    align = conv(576, 18, groups=9) + conv(576, 576, groups=9) + 2 * 576
    align += sum(conv(64, 3 * count, 1) for count in (5, 1, 2, 1, 2, 1, 2, 1, 2))
    heatmaps = conv(256, 128) + conv(128, 128) + 4 * 128 + conv(128, 17)
    return RESNET50 + pyramid + scores + tower + align + heatmaps


def test_the_weights_are_as_many_as_published() -> None:
    with torch.device("meta"):
        counts = {name: sum(weight.numel() for weight in zoo.build(name).parameters()) for name in names()}
    assert counts["directpose_resnet50"] == published_weights() == 32_885_848
    assert counts["directpose_resnet101"] == 32_885_848 + 18_992_128
    assert counts["directpose_mobilenet_v2"] < 1_000_000


def names() -> list[str]:
    return [name for name in zoo.networks() if name.startswith("directpose")]


@pytest.mark.parametrize("name", names())
def test_shapes_of_the_outputs(name: str) -> None:
    with torch.device("meta"):
        network = zoo.build(name, OPENPOSE_18)
        side = network.spec.input.multiple
        images = torch.zeros(2, 3, side, 2 * side)
        ((stage),), fields = network(images), network.fields(images)
    levels = 5 if "resnet" in name else 3
    cells = sum(2 * 4**level for level in range(levels))
    assert {field: tuple(output.shape) for field, output in stage.items()} == {
        "heatmaps": (2, 18, side // 8, side // 4),
        "person_scores": (2, 1, cells),
        "centreness": (2, 1, cells),
        "person_offsets": (2, 36, cells),
        "keypoint_scores": (2, 18, cells),
    }
    assert {field: tuple(output.shape) for field, output in fields.items()} == {
        "people": (2, 54, cells),
        "person_scores": (2, 1, cells),
    }
    assert [(head.field, head.layout) for head in network.spec.heads] == [("people", "NCP"), ("person_scores", "NCP")]


def test_keypoints_near_each_other_share_a_place() -> None:
    named = [[COCO_17.keypoint_names[k] for k in group] for group in keypoint_groups(COCO_17)]
    assert named[0] == ["nose", "left_eye", "right_eye", "left_ear", "right_ear"]
    assert ["left_elbow", "left_wrist"] in named and ["right_knee", "right_ankle"] in named
    assert ["left_shoulder"] in named and ["right_hip"] in named and len(named) == 9
    assert sorted(k for group in keypoint_groups(OPENPOSE_18) for k in group) == list(range(18))
    assert [OPENPOSE_18.index("neck")] in keypoint_groups(OPENPOSE_18)


@pytest.mark.parametrize("level", [0, 1])
def test_the_predictor_reads_where_the_locator_points(level: int) -> None:
    """A locator that always points 1 cell right and 2 up, and a predictor that returns the features as they are."""
    align = KPAlign([[0]], 4)
    align.sampler = torch.nn.Identity()
    with torch.no_grad():
        for weight in align.parameters():
            weight.zero_()
        align.locator.bias.copy_(torch.tensor([1.0, -2.0]))
        align.predictors[0].weight[:, :3, 0, 0] = torch.eye(3)
    towers = [torch.randn(1, 4, 16, 12), torch.randn(1, 4, 8, 6)]
    offsets, visibility = align(towers)[level]
    if level == 0:
        expected = towers[0][0, :3, 5 - 2, 4 + 1]
        place = [1 + expected[0], -2 + expected[1]]
    else:  # the centre of a coarse cell is the middle of four fine ones, in whose cells the residual is
        expected = towers[0][0, :3, 6:8, 10:12].mean(dim=(1, 2))
        place = [1 + expected[0] / 2, -2 + expected[1] / 2]
    torch.testing.assert_close(offsets[0, :, 5, 4], torch.stack(place))
    torch.testing.assert_close(visibility[0, 0, 5, 4], expected[2])


def test_people_lie_at_the_pixels_of_their_cells() -> None:
    """Without offsets, all keypoints of a person are at the centre of its cell."""
    network = tiny_network()
    with torch.no_grad():
        for weight in network.align.parameters():
            weight.zero_()
        network.align.predictors[0].bias[-1] = 5.0
        people = network.eval().fields(torch.zeros(1, 3, 32, 64))["people"][0].unflatten(0, (4, 3))
    xy = people[:, :2] * network.spec.stride + network.spec.origin
    assert people.shape[2] == 32 + 8 + 2
    for column, pixel in {0: (3.5, 3.5), 9: (11.5, 11.5), 32: (7.5, 7.5), 39: (55.5, 23.5), 41: (47.5, 15.5)}.items():
        torch.testing.assert_close(xy[:, :, column], torch.tensor(pixel).expand(4, 2))


def tiny_network() -> DirectPose:
    return DirectPose("tiny", DOTS, MobileNetV2(0.35), Sizes(3, 32, 8, 1, SIZE))


def make_samples() -> list[Sample]:
    """Draw two people side by side in each image."""
    shape, samples = np.array([(0, -1), (0, 0), (0.5, 1), (-0.5, 1)], np.float32), []
    for seed in range(IMAGES):
        rng = np.random.default_rng(seed)
        middles = rng.uniform(-4, 4, (2, 1, 2)) + np.array([[[16, 30]], [[46, 34]]])
        samples.append(draw_dots((middles + shape * rng.uniform(10, 16, (2, 1, 1))).astype(np.float32), SIZE, rng))
    return samples


def make_batch(network: DirectPose, samples: list[Sample]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    config = TargetConfig(heatmap_form="rounded", heatmap_sigma=0.1)
    examples = make_examples(FixedStream(samples), len(samples), network.spec, config)
    batch = stack_examples([examples[index] for index in range(len(samples))])
    return Normaliser(network.spec.input, "cpu")(batch.pop("image")), batch


def test_perfect_outputs_decode_to_the_labelled_people(monkeypatch: pytest.MonkeyPatch) -> None:
    network, samples = tiny_network(), make_samples()
    _, targets = make_batch(network, samples)
    logits = {name: 20 * (2 * targets[name] - 1) for name in ("person_scores", "keypoint_scores")}
    outputs = {**logits, "centreness": targets["centreness"].logit(1e-6), "person_offsets": targets["person_offsets"]}
    monkeypatch.setattr(network, "_predict", lambda levels: outputs)
    with torch.no_grad():
        fields = network.eval().fields(torch.zeros(IMAGES, 3, SIZE, SIZE))
    for index, sample in enumerate(samples):
        arrays = {name: field[index].numpy() for name, field in fields.items()}
        people = make_decoder(network.spec, "direct", DecoderConfig())(Fields(**arrays))
        assert len(people) == 2 and people.visible.all()
        order = people.keypoints[:, 0, 0].argsort()
        np.testing.assert_allclose(people.keypoints[order], sample.keypoints, atol=1e-3)


def test_the_loss_reaches_every_weight() -> None:
    network = tiny_network()
    images, targets = make_batch(network, make_samples())
    loss, parts = FieldsLoss(LossConfig(heatmap_loss="balanced"))(network(images), targets)
    loss.backward()
    assert set(parts) == {"heatmaps", "person_scores", "centreness", "person_offsets", "keypoint_scores"}
    without = [name for name, weight in network.named_parameters() if not weight.grad.abs().sum() > 0]
    assert without == []


def test_an_overfitted_network_is_exported_and_finds_the_people(tmp_path: Path) -> None:
    network, samples = tiny_network(), make_samples()
    images, targets = make_batch(network, samples)
    loss = FieldsLoss(LossConfig(heatmap_loss="balanced", heatmaps=4))
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss(network(images), targets)[0].backward()
        optimiser.step()
        schedule.step()
    report = export(network, tmp_path / "m.onnx", ExportOptions((SIZE, SIZE), dynamic=True))
    assert max(report.differences.values()) < 1e-3 and report.spec.grouping == "direct"
    estimator = PoseEstimator.load(tmp_path / "m.onnx", runtime="onnx")
    for sample in samples:
        people = estimator.estimate(sample.image_bgr)
        sure = people.keypoints[people.person_scores > 0.4]
        assert len(sure) == 2 and people.scores[people.person_scores > 0.4].min() > 0.5
        order = sure[:, 0, 0].argsort()
        assert np.abs(sure[order] - sample.keypoints).max() < 3
    estimator.close()


def test_scores_start_low_before_training() -> None:
    network = zoo.build("directpose_mobilenet_v2").eval()
    with torch.no_grad():
        fields = network.fields(torch.randn(1, 3, 64, 96))
    assert float(fields["person_scores"].mean()) == pytest.approx(0.005, abs=0.002)
    arrays = {name: field[0].numpy() for name, field in fields.items()}
    assert len(make_decoder(network.spec, "direct", DecoderConfig())(Fields(**arrays))) == 0
