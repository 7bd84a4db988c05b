"""Test CenterNet and its parts: deformable convolution compared with its definition, backbones, fields."""

from __future__ import annotations

import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pose_ros.config import DecoderConfig  # noqa: E402
from pose_ros.decoder import make_decoder  # noqa: E402
from pose_ros.fields import Fields  # noqa: E402
from pose_ros.network import zoo  # noqa: E402
from pose_ros.network.centernet_hourglass import CenterNetHourglassModule  # noqa: E402
from pose_ros.network.deformable import DeformableConv2d, affine_offsets, deformable_conv2d  # noqa: E402
from pose_ros.network.dla import AggregationNeck, Tree  # noqa: E402
from pose_ros.skeleton import TRT_POSE_18  # noqa: E402


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def sample_plane(plane: np.ndarray, y: float, x: float) -> float:
    """Sample bilinearly, 0 outside."""
    top, left, value = int(np.floor(y)), int(np.floor(x)), 0.0
    for row in (top, top + 1):
        for col in (left, left + 1):
            if 0 <= row < plane.shape[0] and 0 <= col < plane.shape[1]:
                value += plane[row, col] * (1 - abs(y - row)) * (1 - abs(x - col))
    return value


def convolve_by_definition(features, offsets, weight, bias, mask, stride, padding, dilation) -> np.ndarray:
    """Compute the formula of the paper, number by number, for one image."""
    rows, columns = weight.shape[2:]
    result = np.tile(bias[:, None, None], (1, *offsets.shape[1:])).astype(np.float64)
    for row, col in np.ndindex(*offsets.shape[1:]):
        for point in range(rows * columns):
            y = row * stride - padding + point // columns * dilation + offsets[2 * point, row, col]
            x = col * stride - padding + point % columns * dilation + offsets[2 * point + 1, row, col]
            values = np.array([sample_plane(plane, y, x) for plane in features]) * mask[point, row, col]
            result[:, row, col] += weight[:, :, point // columns, point % columns] @ values
    return result


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "shape_hw", "out_hw", "reach"),
    [
        ((3, 3), 1, 1, 1, (5, 7), (5, 7), 1.0),
        ((3, 3), 1, 1, 1, (5, 7), (5, 7), 20.0),
        ((3, 3), 2, 1, 1, (6, 5), (3, 3), 2.0),
        ((3, 3), 1, 2, 2, (6, 5), (6, 5), 2.0),
        ((1, 1), 1, 0, 1, (4, 4), (4, 4), 2.0),
        ((1, 3), 1, 0, 1, (4, 6), (4, 4), 2.0),
        ((3, 3), 1, 1, 1, (1, 6), (1, 6), 1.0),
        ((3, 3), 1, 1, 1, (6, 1), (6, 1), 1.0),
    ],
    ids=["plain", "far outside", "stride", "dilation", "1 x 1", "not square", "one row", "one column"],
)
def test_deformable_convolution_matches_its_definition(
    kernel, stride, padding, dilation, shape_hw, out_hw, reach
) -> None:
    points = kernel[0] * kernel[1]
    features, weight = torch.randn(2, 3, *shape_hw), torch.randn(4, 3, *kernel)
    offsets, mask = reach * torch.randn(2, 2 * points, *out_hw), torch.rand(2, points, *out_hw)
    bias = torch.randn(4)
    result = deformable_conv2d(features, offsets, weight, bias, mask, stride, padding, dilation)
    for image in range(2):
        arrays = [value.numpy() for value in (features[image], offsets[image], weight, bias, mask[image])]
        expected = convolve_by_definition(*arrays, stride, padding, dilation)
        np.testing.assert_allclose(result[image], expected, atol=1e-4)


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_without_offsets_it_is_a_plain_convolution(stride, dilation) -> None:
    features, weight = torch.randn(1, 3, 6, 8), torch.randn(4, 3, 3, 3)
    expected = torch.nn.functional.conv2d(features, weight, None, stride, dilation, dilation)
    result = deformable_conv2d(
        features, torch.zeros(1, 18, *expected.shape[2:]), weight, None, None, stride, dilation, dilation
    )
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_a_new_layer_is_half_of_a_plain_convolution() -> None:
    layer, features = DeformableConv2d(3, 4), torch.randn(1, 3, 5, 6)
    plain = torch.nn.functional.conv2d(features, layer.weight, None, padding=1)
    torch.testing.assert_close(layer(features) - layer.bias[:, None, None], plain / 2, atol=1e-5, rtol=1e-5)


def test_offsets_mask_and_features_have_gradients() -> None:
    layer, features = DeformableConv2d(3, 4), torch.randn(1, 3, 5, 6, requires_grad=True)
    torch.nn.init.normal_(layer.conv_offset_mask.weight)
    layer(features).square().sum().backward()
    gradients = [features.grad, layer.weight.grad, layer.bias.grad, layer.conv_offset_mask.weight.grad]
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_affine_offsets_rotate_scale_and_shift_the_kernel() -> None:
    matrices, translations = torch.randn(2, 4, 3, 5), torch.randn(2, 2, 3, 5)
    offsets = affine_offsets(matrices, translations)
    for point in range(9):
        y, x = point // 3 - 1, point % 3 - 1
        moved_y = matrices[:, 0] * y + matrices[:, 1] * x + translations[:, 0]
        moved_x = matrices[:, 2] * y + matrices[:, 3] * x + translations[:, 1]
        torch.testing.assert_close(offsets[:, 2 * point], moved_y - y)
        torch.testing.assert_close(offsets[:, 2 * point + 1], moved_x - x)


def test_deformable_convolution_exports_for_any_size() -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    layer, file = DeformableConv2d(3, 4), io.BytesIO()
    torch.nn.init.normal_(layer.conv_offset_mask.weight)
    any_size = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        *(layer, (torch.randn(1, 3, 4, 5),), file),
        input_names=["x"],
        output_names=["y"],
        opset_version=17,
        dynamic_axes={"x": any_size, "y": any_size},
        dynamo=False,
    )
    features = torch.randn(2, 3, 7, 6)
    (result,) = runtime.InferenceSession(file.getvalue()).run(None, {"x": features.numpy()})
    np.testing.assert_allclose(result, layer(features).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "multiple", "stages", "parameters"),
    [
        ("centernet_dla34", 32, 1, 20_070_618),
        ("centernet_hourglass", 128, 2, 194_811_124),
        ("centernet_resnet18", 32, 1, None),
        ("centernet_resnet50", 32, 1, None),
    ],
)
def test_fields_and_their_channels(name, multiple, stages, parameters) -> None:
    with torch.device("meta"):
        network = zoo.build(name, TRT_POSE_18)
        outputs = network(torch.zeros(2, 3, multiple, 2 * multiple))
        count = sum(parameter.numel() for parameter in zoo.build(name).parameters())
    channels = {
        "centres": 1,
        "sizes": 2,
        "keypoint_offsets": 36,
        "centre_offsets": 2,
        "heatmaps": 18,
        "heatmap_offsets": 2,
    }
    expected = {field: (2, size, multiple // 4, multiple // 2) for field, size in channels.items()}
    assert [{field: output.shape for field, output in stage.items()} for stage in outputs] == stages * [expected]
    assert {head.field for head in network.spec.heads} == set(channels)
    assert network.spec.input.multiple == multiple and parameters in (None, count)


@pytest.mark.parametrize("name", ["centernet_dla34", "centernet_resnet18"])
def test_logits_become_confidences_and_fields_can_be_decoded(name) -> None:
    network, images = zoo.build(name).eval(), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        (outputs,), fields = network(images), network.fields(images)
    for field, output in outputs.items():
        expected = output.sigmoid() if field in ("centres", "heatmaps") else output
        torch.testing.assert_close(fields[field], expected)
    decoder = make_decoder(network.spec, "centernet", DecoderConfig(centre_threshold=0.01, min_person_score=0.01))
    people = decoder(Fields(**{name: field[0].numpy() for name, field in fields.items()}))
    assert len(people) and np.isfinite(people.keypoints).all()


def test_confidences_start_low_before_training() -> None:
    with torch.no_grad():
        centres = zoo.build("centernet_resnet18").eval().fields(torch.zeros(1, 3, 64, 64))["centres"]
    assert float(centres.mean()) == pytest.approx(0.1, abs=0.03)


def test_the_root_of_a_tree_reads_all_its_blocks() -> None:
    tree = Tree(2, 4, 6, stride=2, keeps_input=True)
    blocks = [tree.tree1.tree1, tree.tree1.tree2, tree.tree2.tree1, tree.tree2.tree2]
    assert [block.conv1.stride for block in blocks] == [(2, 2), (1, 1), (1, 1), (1, 1)]
    assert tree.tree1.root.conv.in_channels == 2 * 6
    assert tree.tree2.root.conv.in_channels == 2 * 6 + 4 + 6  # its blocks, the input, the first half
    assert tree(torch.randn(1, 4, 8, 8)).shape == (1, 6, 4, 4)


def test_every_level_contributes_to_the_finest() -> None:
    channels = (3, 4, 5, 6)
    neck = AggregationNeck(channels).eval()
    levels = [torch.randn(1, c, 16 >> i, 16 >> i, requires_grad=True) for i, c in enumerate(channels)]
    merged = neck(levels)
    merged.sum().backward()
    assert merged.shape == levels[0].shape
    assert all(level.grad.abs().sum() > 0 for level in levels)


def test_upsampling_starts_as_bilinear() -> None:
    upsampling = AggregationNeck((3, 4, 5, 6)).last.upsamplings[1]  # 4 times finer
    level = torch.arange(5.0).expand(1, 3, 5, 5)
    inner = upsampling(level)[0, 0, 8, 2:-2]
    torch.testing.assert_close(inner, torch.arange(2, 18) / 4 - 0.375)


def test_an_hourglass_keeps_the_grid_and_has_the_right_blocks() -> None:
    hourglass = CenterNetHourglassModule((4, 4, 6))
    assert hourglass(torch.randn(1, 4, 8, 16)).shape == (1, 4, 8, 16)
    assert len(hourglass.inner.inner) == 4
    assert [type(block.downsample).__name__ for block in hourglass.down] == ["Sequential", "Identity"]
