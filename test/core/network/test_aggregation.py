"""Test the single-person networks that aggregate context: CFA, UniPose and CCM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tiny_training  # noqa: E402
from tiny_networks import seed_torch  # noqa: E402

from pose_ros.checkpoint.backbone import fill_backbone  # noqa: E402
from pose_ros.config import DecoderConfig  # noqa: E402
from pose_ros.datasets.sample import LABELLED, Sample  # noqa: E402
from pose_ros.decoder import make_decoder  # noqa: E402
from pose_ros.fields import Fields  # noqa: E402
from pose_ros.network import ccm, cfa, resnet, simple_baseline, unipose, zoo  # noqa: E402
from pose_ros.network.model import PoseNetwork  # noqa: E402
from pose_ros.training.config import load_config  # noqa: E402
from pose_ros.training.losses.config import LossConfig  # noqa: E402
from pose_ros.training.losses.fields import FieldsLoss  # noqa: E402
from pose_ros.training.targets.config import TargetConfig  # noqa: E402
from pose_ros.training.targets.make import make_targets  # noqa: E402

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL: dict[str, Callable[[], PoseNetwork]] = {
    "cfa": lambda: cfa.cfa(tiny_training.DOTS, depth=18, stages=2),
    "unipose": lambda: unipose.unipose(tiny_training.DOTS, depth=18),
    "ccm": lambda: ccm.ccm_resnet(tiny_training.DOTS, depth=18),
}
"""Networks of the same parts. With the fixture ``narrow``, they have few channels."""
LOSS = FieldsLoss(LossConfig(normalisation="mean", peak_weight=0))
STEPS = 60


@pytest.fixture(autouse=True)
def _seed() -> None:
    seed_torch()


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(resnet.BLOCKS, 18, (1, 1, 1, 1))
    monkeypatch.setattr(resnet, "WIDTHS", (16, 16, 24, 32))
    for module in (ccm, cfa, simple_baseline, unipose):
        monkeypatch.setattr(module, "CHANNELS", 32)


def make_batch(network: PoseNetwork) -> tuple[list[Sample], torch.Tensor, dict[str, torch.Tensor]]:
    background = network.spec.name.startswith("unipose")
    return tiny_training.make_batch(network, TargetConfig(background=background, heatmap_sigma=2 * network.spec.stride))


@pytest.mark.parametrize(
    ("name", "parameters", "stages", "channels", "stride"),
    [
        ("cfa_resnet50", 103_428_080, 3, 16, 4),
        ("cfa_resnet101", 160_404_464, 3, 16, 4),
        ("unipose_resnet50", 28_030_385, 1, 17, 8),
        ("unipose_resnet101", 47_022_513, 1, 17, 8),  # one channel is the background
        ("ccm_resnet50", 36_081_220, 4, 17, 4),
        ("ccm_hrnet_w32", 30_630_148, 4, 17, 4),
        ("ccm_hrnet_w48", 65_693_604, 4, 17, 4),
    ],
)
def test_every_stage_predicts_heatmaps(name, parameters, stages, channels, stride) -> None:
    with torch.device("meta"):
        network = zoo.build(name)
        width, height = network.spec.input.size_wh
        outputs = network(torch.zeros(2, 3, height, width))
    shape = (2, channels, height // stride, width // stride)
    assert [{field: tuple(output.shape) for field, output in stage.items()} for stage in outputs] == [
        {"heatmaps": shape}
    ] * stages
    spec = network.spec
    assert (spec.name, spec.stride, spec.origin, spec.grouping) == (name, stride, (stride - 1) / 2, "single")
    assert sum(weight.numel() for weight in network.parameters()) == parameters


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", SMALL)
def test_the_loss_has_a_gradient_for_every_weight(name: str) -> None:
    network = SMALL[name]()
    _, images, targets = make_batch(network)
    loss, _ = LOSS(network(images), targets)
    loss.backward()
    assert not [key for key, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", SMALL)
def test_four_images_are_learnt(name: str) -> None:
    network = SMALL[name]()
    samples, images, targets = make_batch(network)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(STEPS):
        optimiser.zero_grad()
        LOSS(network(images), targets)[0].backward()
        optimiser.step()
    decode = make_decoder(network.spec, "single", DecoderConfig(score_threshold=0.1))
    with torch.no_grad():
        heatmaps = network.eval().fields(images)["heatmaps"]
    for sample, maps in zip(samples, heatmaps.numpy(), strict=True):
        distances = np.linalg.norm(decode(Fields(heatmaps=maps)).keypoints[0] - sample.keypoints[0], axis=1)
        assert distances.max() < network.spec.stride, distances


@pytest.mark.parametrize("name", ["cfa", "unipose", "ccm"])
def test_the_configuration_teaches_its_network(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.yaml")
    with torch.device("meta"):
        network = zoo.build(config.network, config.skeleton)
        width, height = config.size_wh
        outputs = network.eval()(torch.zeros(1, 3, height, width))
    assert config.size_wh == network.spec.input.size_wh
    keypoints = np.float32([[width, height]]) * np.linspace(0.2, 0.8, len(network.spec.skeleton))[None, :, None]
    states = np.full(keypoints.shape[:2], LABELLED, np.uint8)
    box = np.float32([[0, 0, width, height]])
    sample = Sample(np.zeros((height, width, 3), np.uint8), keypoints.astype(np.float32), states, box)
    targets = make_targets(sample, network.spec, config.targets)
    stages = [{"heatmaps": torch.zeros(stage["heatmaps"].shape)} for stage in outputs]
    loss, _ = FieldsLoss(config.loss)(stages, {key: torch.from_numpy(value)[None] for key, value in targets.items()})
    expected = np.square(targets["heatmaps"]).mean() * len(stages)
    assert stages[0]["heatmaps"].shape[1] == len(targets["heatmaps"])
    assert float(loss) == pytest.approx(expected, rel=1e-4) and expected > 0


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", SMALL)
def test_the_backbone_starts_from_a_published_one(name: str) -> None:
    network, published = SMALL[name](), resnet.ResNet(18)
    state = {**published.state_dict(), "fc.bias": torch.zeros(1000)}
    assert fill_backbone(network, state, "resnet18.pth") == len(published.state_dict())
    torch.testing.assert_close(network.backbone.state_dict(), published.state_dict())


@pytest.mark.usefixtures("narrow")
def test_the_waterfall_passes_from_one_dilation_to_the_next() -> None:
    """A cell sees the sums of one offset of each dilation. Only the context of the whole image sees more."""
    waterfall = unipose.Waterfall(3, dilations=(9, 3, 1)).eval()
    torch.nn.init.zeros_(waterfall.join[0][0].weight[:, -unipose.CHANNELS :])
    row = torch.randn(1, 3, 1, 41, requires_grad=True)
    waterfall(row)[..., 20].sum().backward()
    seen = row.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten() - 20
    assert seen.tolist() == list(range(-13, 14))


@pytest.mark.usefixtures("narrow")
def test_the_waterfall_reads_the_context_of_the_whole_image() -> None:
    waterfall = unipose.Waterfall(3, dilations=(1,)).eval()
    row = torch.randn(1, 3, 1, 41, requires_grad=True)
    waterfall(row)[..., 20].sum().backward()
    assert row.grad.abs().sum(dim=(0, 1, 2)).all()


@pytest.mark.usefixtures("narrow")
def test_the_background_of_unipose_is_no_keypoint() -> None:
    network = SMALL["unipose"]()
    heatmaps = np.zeros((len(tiny_training.DOTS) + 1, 8, 8), np.float32)
    heatmaps[-1] = 1
    heatmaps[range(len(tiny_training.DOTS)), range(len(tiny_training.DOTS)), 3] = 0.5
    people = make_decoder(network.spec)(Fields(heatmaps=heatmaps))
    np.testing.assert_allclose(people.keypoints[0], [(27.5, 3.5 + 8 * row) for row in range(len(tiny_training.DOTS))])


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("level", [0, 1, 2], ids=["middle", "high", "prediction"])
def test_a_stage_of_cfa_reads_three_levels_and_the_prediction_of_the_previous_one(level: int) -> None:
    network = SMALL["cfa"]().eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = network(images)
        network.merges[0].convs[level].weight *= 2
        after = network(images)
    same = [torch.equal(a["heatmaps"], b["heatmaps"]) for a, b in zip(before, after, strict=True)]
    assert same == [True, False]


@pytest.mark.usefixtures("narrow")
def test_low_level_features_of_cfa_are_kept_from_stage_to_stage() -> None:
    merge = SMALL["cfa"]().merges[0]
    for weight in merge.parameters():
        torch.nn.init.zeros_(weight)
    low = torch.randn(1, 64, 4, 4)
    others = [torch.randn(1, conv.in_channels, 4, 4) for conv in merge.convs]
    assert torch.equal(merge(low, others), low)


@pytest.mark.usefixtures("narrow")
def test_cfa_returns_the_mean_of_its_last_two_stages() -> None:
    network = cfa.cfa(tiny_training.DOTS, depth=18, stages=3).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        _, second, third = (stage["heatmaps"] for stage in network(images))
        torch.testing.assert_close(network.fields(images)["heatmaps"], (second + third) / 2)


@pytest.mark.usefixtures("narrow")
def test_each_mixer_corrects_the_previous_heatmaps() -> None:
    network = SMALL["ccm"]().eval()
    for predict in network.predictions[2:]:
        torch.nn.init.zeros_(predict.weight)
        torch.nn.init.zeros_(predict.bias)
    with torch.no_grad():
        first, second, *later = (stage["heatmaps"] for stage in network(torch.randn(1, 3, 64, 64)))
    assert not torch.equal(first, second) and all(torch.equal(stage, second) for stage in later)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(("channel_context", "reach"), [(False, 4), (True, 20)], ids=["spatial", "both"])
def test_a_mixer_joins_spatial_and_channel_context(channel_context: bool, reach: int) -> None:
    mixer = ccm.ContextMixer().eval()
    if not channel_context:
        torch.nn.init.zeros_(mixer.channels[-2].weight)
    row = torch.rand(1, ccm.CHANNELS, 1, 41, requires_grad=True)
    mixer(row)[..., 20].sum().backward()
    seen = row.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten() - 20
    assert seen.tolist() == list(range(-reach, reach + 1))


@pytest.mark.usefixtures("narrow")
def test_the_file_of_cfa_agrees(tmp_path: Path) -> None:
    """The other networks are small enough for the export test of all networks."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from pose_ros.export.to_onnx import ExportOptions, export

    network = SMALL["cfa"]()
    report = export(network, tmp_path / "cfa.onnx", ExportOptions(network.spec.input.size_wh))
    assert set(report.differences) == {"heatmaps"} and report.differences["heatmaps"] < 1e-4
