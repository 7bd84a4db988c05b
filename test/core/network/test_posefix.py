"""Test PoseFix: its size, its outputs, and that it learns to repair a pose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_training import make_config  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from pose_ros.checkpoint.backbone import fill_backbone  # noqa: E402
from pose_ros.datasets.sample import LABELLED, Sample  # noqa: E402
from pose_ros.decoder import make_decoder  # noqa: E402
from pose_ros.network import zoo  # noqa: E402
from pose_ros.network.model import crop_spec, with_heads  # noqa: E402
from pose_ros.network.movenet import movenet_thunder  # noqa: E402
from pose_ros.network.posefix import PoseConvolution, PoseFix, window_means, with_pose  # noqa: E402
from pose_ros.network.posefix_movenet import Fusion, PoseFixOnMoveNet  # noqa: E402
from pose_ros.network.resnet import ResNet  # noqa: E402
from pose_ros.skeleton import CROWDPOSE_14, Skeleton  # noqa: E402
from pose_ros.training.contact_sheet import predict_fields  # noqa: E402
from pose_ros.training.run_inputs import FixedStream, RunInputs  # noqa: E402
from pose_ros.training.trainer import Trainer  # noqa: E402

PAIR = Skeleton("pair", ("left_wrist", "right_wrist"), ((0, 1),))
SIZE = 64


def tiny() -> PoseFix:
    """Make a PoseFix of four convolutions, for crops of SIZE px."""
    torch.manual_seed(0)
    spec = with_pose(crop_spec("tiny", PAIR, (SIZE, SIZE)), 4.0)
    convolutions = [nn.Conv2d(3 if i == 0 else 16, 16, 3, 2, 1) for i in range(4)]
    convolutions[0] = PoseConvolution(convolutions[0], len(PAIR))
    layers = [layer for convolution in convolutions for layer in (convolution, nn.BatchNorm2d(16), nn.ReLU())]
    neck = nn.Sequential(*(nn.ConvTranspose2d(16, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU()))
    neck.extend([nn.ConvTranspose2d(16, 16, 4, 2, 1), nn.ReLU()])
    return PoseFix(spec, nn.Sequential(*layers), neck, nn.Conv2d(16, len(PAIR), 1))


class LateFusion(PoseFix):
    """Network of a few weights whose known pose joins at stride 4."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        spec = with_pose(crop_spec("late", PAIR, (SIZE, SIZE)), 4.0)
        backbone = nn.Sequential(nn.Conv2d(3, 12, 4, 4), nn.ReLU())
        super().__init__(spec, backbone, nn.Identity(), nn.Conv2d(12, len(PAIR), 1))
        self.fusion = Fusion(12, len(PAIR))

    forward = PoseFixOnMoveNet.forward


NETWORKS = [pytest.param(tiny, id="early"), pytest.param(LateFusion, id="late")]


@pytest.mark.parametrize(
    ("name", "of_images", "size_hw"),
    [
        ("posefix_resnet50", "simple_baseline_resnet50", (256, 192)),
        ("posefix_resnet101", "simple_baseline_resnet101", (256, 192)),
        ("posefix_resnet152", "simple_baseline_resnet152", (256, 192)),
        ("posefix_movenet_thunder", None, (192, 192)),
    ],
)
def test_the_network_is_simple_baselines_with_a_pose_in_its_first_convolution(name, of_images, size_hw) -> None:
    height, width = size_hw
    with torch.device("meta"):
        network = zoo.build(name)
        (logits,) = network(torch.zeros(2, 3 + 17, height, width))
        fields = network.fields(torch.zeros(2, 3 + 17, height, width))
        baseline = zoo.build(of_images) if of_images else None
    grid = height // 4, width // 4
    assert logits["heatmaps"].shape == fields["heatmaps"].shape == (2, 17, *grid)
    assert fields["heatmap_offsets"].shape == (2, 34, *grid)
    spec = network.spec
    assert (spec.name, spec.stride, spec.grouping) == (name, 4, "single")
    assert (spec.input.size_wh, spec.input.channels) == ((width, height), 20)
    if baseline is not None:  # the paper adds only the heatmaps of 17 keypoints to the first 7 x 7 convolution
        assert count(network) == count(baseline) + 17 * 64 * 7 * 7
    else:
        assert count(network) == 6_226_414


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_another_skeleton_has_as_many_pose_channels() -> None:
    with torch.device("meta"):
        network = zoo.build("posefix_resnet50", CROWDPOSE_14)
    assert network.spec.input.pose_channels == network(torch.zeros(1, 17, 256, 192, device="meta"))[0][
        "heatmaps"
    ].shape[1] == 14  # fmt: skip


def test_the_first_convolution_is_the_sum_of_two() -> None:
    torch.manual_seed(0)
    of_colours = nn.Conv2d(3, 5, 7, 2, 3, bias=False)
    joined = PoseConvolution(of_colours, 4)
    joined.load_state_dict(of_colours.state_dict(), strict=False)
    images = torch.randn(2, 7, 32, 24)
    expected = of_colours(images[:, :3]) + functional.conv2d(images[:, 3:], joined.pose_weight, None, 2, 3)
    torch.testing.assert_close(joined(images), expected)


def test_weights_of_a_network_without_pose_fit_the_backbone() -> None:
    torch.manual_seed(0)
    network, other = zoo.build("posefix_resnet50"), ResNet(50)
    before = network.backbone.conv1.pose_weight.clone()
    assert fill_backbone(network, other.state_dict(), "resnet50.pth") == len(other.state_dict())
    assert torch.equal(network.backbone.conv1.weight, other.conv1.weight)
    assert torch.equal(network.backbone.conv1.pose_weight, before)


@pytest.mark.parametrize("make", NETWORKS)
def test_the_gradient_reaches_every_weight(make: Callable[[], PoseFix]) -> None:
    network = make()
    images = torch.rand(2, 5, SIZE, SIZE)
    network(images)[0]["heatmaps"].square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_movenet_fits_the_frozen_part_and_the_known_pose_selects_between_people() -> None:
    torch.manual_seed(0)
    network, source = PoseFixOnMoveNet(size_wh=(64, 64)).eval(), movenet_thunder().eval()
    own = network.state_dict()
    fitting = {key: value for key, value in source.state_dict().items() if key in own}
    frozen = {key for key in own if not key.startswith("fusion.")}
    assert set(fitting) == frozen and all(own[key].shape == value.shape for key, value in fitting.items())
    network.load_state_dict(fitting, strict=False)
    torch.nn.init.zeros_(network.fusion.correction.weight)
    torch.nn.init.zeros_(network.fusion.correction.bias)
    images = torch.rand(1, 20, 64, 64)
    with torch.no_grad():
        found = source(images[:, :3])[0]["heatmaps"].sigmoid()
        (logits,) = network(images)
    pixels = images[0, 3:, 3:5, 7:9]  # the cell of row 1 and column 2 lies between these
    expected = 8 * found[0, :, 1, 2] + 4 * pixels.mean(dim=(1, 2))
    torch.testing.assert_close(logits["heatmaps"][0, :, 1, 2], expected)


def test_windows_give_the_place_of_a_distribution() -> None:
    """A keypoint between cells has the same place and score at each of the four cells around it."""
    maps = torch.zeros(1, 1, 12, 10)
    x, y = 6.25, 3.5
    for row, col in ((3, 6), (3, 7), (4, 6), (4, 7)):
        maps[0, 0, row, col] = (1 - abs(x - col)) * (1 - abs(y - row))
    fields = window_means(maps, 2)
    for row, col in ((3, 6), (3, 7), (4, 6), (4, 7)):
        assert fields["heatmaps"][0, 0, row, col] == pytest.approx(1)
        torch.testing.assert_close(fields["heatmap_offsets"][0, :, row, col], torch.tensor([x - col, y - row]))
    assert fields["heatmaps"].max() <= 1 + 1e-6 and torch.isfinite(fields["heatmap_offsets"]).all()
    spec = with_heads(crop_spec("one", Skeleton("one", ("nose",), ())), tuple(fields))
    people = make_decoder(spec)(spec.fields({name: field.numpy() for name, field in fields.items()}))
    np.testing.assert_allclose(people.keypoints[0, 0], (4 * x, 4 * y), atol=1e-4)


def make_sample(seed: int) -> Sample:
    """Draw a red left wrist and a blue right wrist, and a pose in which they are exchanged."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 120, (SIZE, SIZE, 3)).astype(np.uint8)
    xy = np.array([[[rng.uniform(10, 26), rng.uniform(10, 54)], [rng.uniform(38, 54), rng.uniform(10, 54)]]])
    for (x, y), channel in zip(xy[0].round().astype(int), (2, 0), strict=True):
        image[y - 3 : y + 4, x - 3 : x + 4] = 0
        image[y - 3 : y + 4, x - 3 : x + 4, channel] = 255
    xy = xy.round().astype(np.float32)
    pose = np.column_stack([xy[0, ::-1], np.ones(2)]).astype(np.float32)
    box = np.array([[4, 4, 60, 60]], np.float32)
    return Sample(image, xy, np.full((1, 2), LABELLED, np.uint8), box, pose=pose)


@pytest.mark.parametrize("make", NETWORKS)
def test_it_learns_to_exchange_the_wrists_of_four_samples(tmp_path: Path, make: Callable[[], PoseFix]) -> None:
    samples, network = [make_sample(seed) for seed in range(4)], make()
    settings = make_config(
        tmp_path,
        150,
        size_wh=[SIZE, SIZE],
        targets={"heatmap_form": "bilinear"},
        loss={"heatmap_loss": "softmax"},
        optimiser={"rate": 1e-2, "backbone_rate": 1e-2, "ema": 0.9},
        checkpoint={"steps": 0, "minutes": 0},
        log_steps=50,
    )
    before = torch.get_num_threads()
    Trainer(settings, RunInputs(network, FixedStream(samples), 4)).run()
    torch.set_num_threads(before)
    decode = make_decoder(network.spec)
    for sample, fields in zip(samples, predict_fields(network, samples), strict=True):
        np.testing.assert_allclose(decode(fields).keypoints[0], sample.keypoints[0], atol=2.0)
    if (tmp_path / "model.onnx").is_file():  # written if onnx is installed
        assert_repairs(tmp_path / "model.onnx", samples)


def assert_repairs(model: Path, samples: list[Sample]) -> None:
    """Check that the exported model repairs the poses in ONNX Runtime, in a batch and one by one."""
    from pose_ros.estimator import PoseEstimator

    estimator = PoseEstimator.load(model, runtime="onnx")
    assert estimator.spec.input.pose_channels == 2
    images, poses = [sample.image_bgr for sample in samples], [sample.pose for sample in samples]
    together = estimator.process_batch(images, ["bgr"] * 4, poses)
    for sample, image, pose, estimate in zip(samples, images, poses, together, strict=True):
        np.testing.assert_allclose(estimate.people.keypoints[0], sample.keypoints[0], atol=2.0)
        alone = estimator.process_batch([image], ["bgr"], [pose])[0]
        np.testing.assert_allclose(alone.people.keypoints, estimate.people.keypoints, atol=1e-3)
    with pytest.raises(ValueError, match=r"expected a known pose with each image, got none; .* refinement.model"):
        estimator.estimate(images[0])
