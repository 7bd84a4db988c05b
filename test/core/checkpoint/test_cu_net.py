"""Test the importer of CU-Net. The publisher's network is written here a second time, with the publisher's keys."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from checkpoint_keys import random_state  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from pose_ros.checkpoint import cu_net  # noqa: E402
from pose_ros.checkpoint.loading import load_state, publishers  # noqa: E402
from pose_ros.skeleton import MPII_16  # noqa: E402

CHANNELS, GROWTH, LEVELS = 128, 32, 4
BLOCKS = {
    **{f"hg.down_blocks.{level}": (CHANNELS, ("ahead", "skip")) for level in range(LEVELS)},
    "hg.neck_block": (CHANNELS, ("ahead",)),
    **{f"hg.up_blocks.{level}": (2 * CHANNELS, ("ahead",)) for level in range(LEVELS)},
}
"""Input channels of each block without coupling, and its adapters."""


def cu_net_shapes(units: int, order: int) -> dict[str, tuple[int, ...]]:
    """Return keys and shapes of the publisher's checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {"features.conv0.weight": (CHANNELS, 3, 7, 7)}

    def add_norm(key: str, channels: int) -> None:
        parts = ("weight", "bias", "running_mean", "running_var")
        shapes.update({f"{key}.{part}": (channels,) for part in parts}, **{f"{key}.num_batches_tracked": ()})

    def add_layer(norm: str, conv: str, cin: int, cout: int, size: int = 1) -> None:
        add_norm(norm, cin)
        shapes[f"{conv}.weight"] = (cout, cin, size, size)

    add_norm("features.norm0", CHANNELS)
    for unit in range(units):
        coupled = min(unit, order)
        for block, (cin, adapters) in BLOCKS.items():
            layer, width = f"{block}.layers.{unit}", cin + coupled * GROWTH
            add_layer(f"{layer}.norm1", f"{layer}.conv1", width, 4 * GROWTH)
            add_layer(f"{layer}.norm2", f"{layer}.conv2", 4 * GROWTH, GROWTH, size=3)
            for adapter in adapters:
                key = f"{block}.adapters_{adapter}.{unit}.adapter"
                add_layer(f"{key}_norm", f"{key}_conv", width + GROWTH, CHANNELS)
        add_layer(f"linears.{unit}.norm", f"linears.{unit}.conv", CHANNELS, len(MPII_16))
        if unit:
            key = f"intermedia.adapters.{unit - 1}.adapter"
            add_layer(f"{key}_norm", f"{key}_conv", (1 + coupled) * CHANNELS, CHANNELS)
    return shapes


def run_cu_net(weights: dict[str, Tensor], images: Tensor, units: int, order: int) -> Tensor:
    """Compute the heatmaps of the last U-Net."""

    def norm(key: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            weights[f"{key}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, var, weight, bias).relu()

    def layer(norm_key: str, conv_key: str, x: Tensor) -> Tensor:
        weight = weights[f"{conv_key}.weight"]
        return functional.conv2d(norm(norm_key, x), weight, padding=weight.shape[-1] // 2)

    def adapter(key: str, x: Tensor) -> Tensor:
        return layer(f"{key}.adapter_norm", f"{key}.adapter_conv", x)

    def block(key: str, x: Tensor, unit: int) -> Tensor:
        x = torch.cat([x, *memory[key][-order:]], dim=1)
        inner = layer(f"{key}.layers.{unit}.norm1", f"{key}.layers.{unit}.conv1", x)
        memory[key].append(layer(f"{key}.layers.{unit}.norm2", f"{key}.layers.{unit}.conv2", inner))
        return torch.cat([x, memory[key][-1]], dim=1)

    memory: dict[str, list[Tensor]] = {key: [] for key in BLOCKS}
    x = functional.conv2d(images, weights["features.conv0.weight"], stride=2, padding=3)
    x = functional.max_pool2d(norm("features.norm0", x), 2)
    starts: list[Tensor] = []
    for unit in range(units):
        if unit:
            x = adapter(f"intermedia.adapters.{unit - 1}", torch.cat([x, *starts[-order:]], dim=1))
        starts.append(x)
        skips = []
        for level in range(LEVELS):
            x = block(f"hg.down_blocks.{level}", x, unit)
            skips.append(adapter(f"hg.down_blocks.{level}.adapters_skip.{unit}", x))
            x = functional.max_pool2d(adapter(f"hg.down_blocks.{level}.adapters_ahead.{unit}", x), 2)
        x = adapter(f"hg.neck_block.adapters_ahead.{unit}", block("hg.neck_block", x, unit))
        for level in reversed(range(LEVELS)):
            x = torch.cat([x.repeat_interleave(2, 2).repeat_interleave(2, 3), skips[level]], dim=1)
            x = adapter(f"hg.up_blocks.{level}.adapters_ahead.{unit}", block(f"hg.up_blocks.{level}", x, unit))
    return layer(f"linears.{units - 1}.norm", f"linears.{units - 1}.conv", x)


@pytest.mark.parametrize(("units", "order", "name"), [(2, 1, "cu_net_2"), (4, 2, "cu_net_4_order_2")])
def test_the_network_computes_the_same_as_the_publishers(units: int, order: int, name: str) -> None:
    weights = random_state(cu_net_shapes(units, order))
    network = load_state(weights, "cu-net.pth.tar")
    assert (network.spec.name, network.order, network.spec.skeleton) == (name, order, MPII_16)
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, fields = run_cu_net(weights, images, units, order), network.fields(images)
    assert expected.std() > 0.01
    torch.testing.assert_close(fields["heatmaps"], expected, atol=1e-4, rtol=1e-4)


def test_only_its_publisher_identifies_a_checkpoint() -> None:
    shapes = cu_net_shapes(2, 1)
    assert [publisher.name for publisher in publishers() if publisher.network(shapes)] == ["CU-Net"]


@pytest.mark.parametrize(
    ("removed", "reported"),
    [
        ("features.conv0.weight", "stem.0.weight"),
        ("hg.down_blocks.3.layers.1.norm2.bias", "units.1.blocks.3.layers.1.0.bias"),
        ("hg.down_blocks.1.adapters_skip.0.adapter_conv.weight", "units.0.skips.1.2.weight"),
        ("hg.neck_block.adapters_ahead.1.adapter_norm.weight", "units.1.outputs.4.0.weight"),
        ("hg.up_blocks.0.layers.0.conv1.weight", "units.0.blocks.8.layers.0.2.weight"),
        ("intermedia.adapters.0.adapter_conv.weight", "inputs.0.2.weight"),
        ("linears.0.norm.running_var", "predictions.0.0.running_var"),
    ],
)
def test_a_missing_entry_is_reported(removed: str, reported: str) -> None:
    state = random_state({key: shape for key, shape in cu_net_shapes(2, 1).items() if key != removed})
    with pytest.raises(ValueError, match=rf"CU-Net.*1 missing, first {reported}$"):
        load_state(state, "cu-net.pth.tar")


def test_keypoints_of_faces_are_rejected() -> None:
    shapes = {**cu_net_shapes(2, 1), "linears.0.conv.weight": (68, CHANNELS, 1, 1)}
    with pytest.raises(ValueError, match="expected the 16 keypoints of mpii_16, got 68"):
        cu_net.PUBLISHER.network(shapes)
