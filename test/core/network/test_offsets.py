"""Test PoseNet, PersonLab and tf-pose: their fields, in the form that the decoders read."""

from __future__ import annotations

from typing import Any

import golden
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pose_ros.config import DecoderConfig  # noqa: E402
from pose_ros.decoder import make_decoder  # noqa: E402
from pose_ros.fields import Fields  # noqa: E402
from pose_ros.network import zoo  # noqa: E402
from pose_ros.network.posenet import tree  # noqa: E402
from pose_ros.network.tf_pose import ImageNorm, upsample_2x  # noqa: E402
from pose_ros.skeleton import BODY_25, COCO_17, Skeleton  # noqa: E402

PERSONLAB = {"heatmaps": 17, "short_offsets": 34, "mid_offsets": 64}
MASKS = {"long_offsets": 34, "segmentation": 1}
TF_POSE = "tf_pose_mobilenet_v2_small"


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def fields_of(network: Any, images: Any) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return {name: field.numpy() for name, field in network.eval().fields(images).items()}


@pytest.mark.parametrize(
    ("name", "channels", "parameters", "stages", "stride"),
    [
        ("posenet_mobilenet_v1_050", PERSONLAB, 577_459, 1, 16),
        ("posenet_mobilenet_v1_075", PERSONLAB, 1_258_195, 1, 16),
        ("posenet_mobilenet_v1_100", PERSONLAB, 3_313_907, 1, 16),
        ("personlab_resnet50", PERSONLAB | MASKS, None, 1, 16),
        ("personlab_resnet101", PERSONLAB | MASKS, None, 1, 16),
        ("personlab_resnet152", PERSONLAB | MASKS, None, 1, 16),
        (TF_POSE, {"heatmaps": 19, "pafs": 38}, 477_270, 6, 8),
    ],
)
def test_fields_and_their_channels(name, channels, parameters, stages, stride) -> None:
    with torch.device("meta"):
        network = zoo.build(name)
        outputs = network(torch.zeros(2, 3, 96, 160))
    expected = {field: (2, count, 96 // stride, 160 // stride) for field, count in channels.items()}
    assert [{field: output.shape for field, output in stage.items()} for stage in outputs] == stages * [expected]
    assert (network.spec.name, network.spec.stride) == (name, stride)
    assert [head.field for head in network.spec.heads] == list(channels)
    assert parameters in (None, sum(parameter.numel() for parameter in network.parameters()))


@pytest.mark.parametrize("name", ["posenet_mobilenet_v1_050", "personlab_resnet50", TF_POSE])
def test_a_custom_skeleton(name) -> None:
    with torch.device("meta"):
        network = zoo.build(name, BODY_25)
        fields = network.fields(torch.zeros(1, 3, 64, 64))
    counts = {"heatmaps": 25, "short_offsets": 50, "mid_offsets": 104, "long_offsets": 50, "segmentation": 1}
    counts |= {"heatmaps": 26, "pafs": 52} if name == TF_POSE else {}
    assert {field: output.shape[1] for field, output in fields.items()} == {field: counts[field] for field in fields}
    assert network.spec.limbs == BODY_25.limbs


@pytest.mark.parametrize("name", ["posenet_mobilenet_v1_050", "personlab_resnet50"])
def test_logits_become_confidences_and_fields_can_be_decoded(name) -> None:
    network, images = zoo.build(name).eval(), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        (outputs,) = network(images)
    fields = fields_of(network, images)
    for field, output in outputs.items():
        expected = output.sigmoid() if field in ("heatmaps", "segmentation") else output
        np.testing.assert_array_equal(fields[field], expected.numpy())
    config = DecoderConfig(score_threshold=0.01, min_person_score=0.01)
    people = make_decoder(network.spec, "personlab", config)(Fields(**{k: v[0] for k, v in fields.items()}))
    assert len(people) and np.isfinite(people.keypoints).all()


def test_the_tree_reaches_every_keypoint_once() -> None:
    edges = tree(COCO_17)
    reached = {COCO_17.index("nose")}
    for first, second in edges:  # parents come before their children
        assert first in reached and second not in reached
        reached.add(second)
    assert reached == set(range(17))


@pytest.mark.parametrize("case", golden.cases("personlab")[:1], ids=lambda case: case["id"])
def test_the_tree_equals_that_of_the_publisher(case) -> None:
    assert tree(COCO_17) == golden.personlab_spec(case).limbs


def test_the_tree_of_other_skeletons_is_their_limbs() -> None:
    pair = Skeleton("pair", ("nose", "neck"), ((1, 0),))
    assert tree(pair) == ((1, 0),)


def test_each_image_is_normalised_separately() -> None:
    network = zoo.build(TF_POSE).eval()
    images = 255 * torch.rand(3, 3, 32, 48)
    together = fields_of(network, images)
    for index in range(3):
        alone = fields_of(network, images[index : index + 1])
        for field, output in together.items():
            np.testing.assert_allclose(output[index], alone[field][0], atol=1e-5)


def test_normalisation_uses_mean_and_variance_of_the_image() -> None:
    norm, features = ImageNorm(4), 3 + 2 * torch.randn(2, 4, 5, 6)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.uniform_(-1, 1)
    mean, variance = features.mean((2, 3), keepdim=True), features.var((2, 3), unbiased=False, keepdim=True)
    expected = (features - mean) / (variance + 1e-3).sqrt()
    expected = expected * norm.weight[:, None, None] + norm.bias[:, None, None]
    for training in (True, False):
        torch.testing.assert_close(norm.train(training)(features), expected, atol=1e-5, rtol=1e-5)


def test_upsampling_keeps_the_position_of_cells() -> None:
    features = torch.tensor([[0.0, 4.0], [8.0, 2.0]])[None, None]
    rows = [[0, 2, 4, 4], [4, 3.5, 3, 3], [8, 5, 2, 2], [8, 5, 2, 2]]
    torch.testing.assert_close(upsample_2x(features)[0, 0], torch.tensor(rows))
