"""Test the import of MoveNet's TensorFlow.js graphs, compared with the publisher's runtime, and the reader of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import checkpoint_keys as keys  # noqa: E402

from pose_ros.checkpoint import load_checkpoint, loading, movenet  # noqa: E402
from pose_ros.checkpoint.formats.tfjs import read_tfjs  # noqa: E402
from pose_ros.checkpoint.reading import read_file  # noqa: E402
from pose_ros.decoder import make_decoder  # noqa: E402
from pose_ros.fields import Fields  # noqa: E402

FOLDER = keys.FOLDER.parent / "models" / "movenet"
MULTIPOSE, THUNDER = FOLDER / "movenet-multipose.json", FOLDER / "movenet-thunder.json"
needs_graphs = pytest.mark.skipif(not MULTIPOSE.is_file(), reason=f"MoveNet's graphs are missing ({FOLDER})")
HEADS = {
    "center": "centres",
    "size": "sizes",
    "center_offset": "centre_offsets",
    "heatmap": "heatmaps",
    "regress": "keypoint_offsets",
    "keypoint_offset": "heatmap_offsets",
}


def find_head(reference: Any, head: str) -> np.ndarray:
    """Return a head of the publisher's output (H, W, C). Vectors become x before y, logits probabilities."""
    values = reference[head].astype(np.float32)
    if head in ("center", "heatmap"):
        return 1 / (1 + np.exp(-values))
    return values.reshape(*values.shape[:2], -1, 2)[..., ::-1].reshape(values.shape)


@needs_graphs
@pytest.mark.parametrize("size", ["160x224", "256x384"])
def test_all_heads_equal_those_of_the_publisher(size: str) -> None:
    reference = np.load(FOLDER / f"reference_{size}.npz")
    image = torch.from_numpy(reference["image_rgb"].astype(np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        fields = load_checkpoint(MULTIPOSE).fields(image / 127.5 - 1)
    for head, field in HEADS.items():
        expected = find_head(reference, head)
        np.testing.assert_allclose(fields[field][0].permute(1, 2, 0).numpy(), expected, atol=1e-3, err_msg=head)


@needs_graphs
def test_the_best_people_equal_those_of_the_publisher() -> None:
    reference = np.load(FOLDER / "reference_256x384.npz")
    network = load_checkpoint(MULTIPOSE)
    image = torch.from_numpy(reference["image_rgb"].astype(np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        fields = network.fields(image / 127.5 - 1)
    spec = replace(network.spec, snapping="weighted")
    people = make_decoder(spec)(Fields(**{name: value[0].numpy() for name, value in fields.items()}))
    expected = reference["people"][0, :51].reshape(17, 3)
    height, width = reference["image_rgb"].shape[:2]
    np.testing.assert_allclose(people.scores[0], expected[:, 2], atol=1e-3)
    np.testing.assert_allclose((people.keypoints[0] + 0.5) / (width, height), expected[:, 1::-1], atol=1e-3)


@needs_graphs
def test_thunder_has_one_person_and_a_fixed_size() -> None:
    network = load_checkpoint(THUNDER)
    assert (network.spec.name, network.spec.grouping) == ("movenet_thunder", "single")
    assert network.spec.input.size_wh == (256, 256) and network.spec.licence == "Apache-2.0"


@needs_graphs
@pytest.mark.parametrize("fault", ["missing", "mis-shaped"])
def test_faulty_weights_are_reported(fault: str) -> None:
    state = read_file(MULTIPOSE)
    (key,) = [key for key in state if "block_3_depthwise" in key and key.endswith("weights")]
    faulty = {name: value for name, value in state.items() if name != key or fault != "missing"}
    if fault == "mis-shaped":
        faulty[key] = torch.zeros(3, 3, 1, 1)
    with pytest.raises(ValueError, match=rf"1 {fault}, first backbone\.features\.4\.conv\.1\.0\.weight"):
        loading.load_state(faulty, "graph")


def test_checkpoints_of_other_publishers_are_not_identified() -> None:
    for path in sorted(keys.FOLDER.glob("*.txt")):
        assert movenet.PUBLISHER.network(keys.published_shapes(path.stem)) is None, path.stem


def write_model(folder: Path, change: Any = None, shard: bytes | None = None) -> Path:
    """Write a TensorFlow.js model of two weights. ``change`` edits the content of its JSON file."""
    weights = [
        {"name": "a/b", "shape": [2, 2], "dtype": "float32"},
        {"name": "c", "shape": [3], "dtype": "float32", "quantization": {"dtype": "uint8", "min": -1.0, "scale": 0.5}},
    ]
    content = {"format": "graph-model", "weightsManifest": [{"paths": ["shard.bin"], "weights": weights}]}
    if change is not None:
        content = change(content) or content
    numbers = np.arange(4, dtype="<f4").tobytes() + bytes([0, 2, 4])
    (folder / "shard.bin").write_bytes(numbers if shard is None else shard)
    (folder / "model.json").write_text(json.dumps(content), encoding="utf-8")
    return folder / "model.json"


def test_weights_are_read_and_dequantised(tmp_path: Path) -> None:
    weights = read_tfjs(write_model(tmp_path))
    assert weights["a/b"].tolist() == [[0, 1], [2, 3]] and weights["c"].tolist() == [-1, 0, 1]
    assert all(array.flags.writeable for array in weights.values())


def set_paths(*paths: Any) -> Any:
    return lambda content: content["weightsManifest"][0].update(paths=list(paths))


def set_weight(**entries: Any) -> Any:
    return lambda content: content["weightsManifest"][0]["weights"][0].update(entries)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: {"format": "graph-model"}, "no 'weightsManifest'"),
        (lambda content: {"weightsManifest": 3}, "not a list of groups"),
        (lambda content: {"weightsManifest": [3]}, "not a list of groups"),
        (set_paths("../shard.bin"), "not in the same folder"),
        (set_paths("/etc/passwd"), "not in the same folder"),
        (set_paths(7), "not in the same folder"),
        (set_paths("other.bin"), "no weight file other.bin"),
        (set_paths("shard.bin", "shard.bin"), "shard.bin twice"),
        (set_weight(shape=[1 << 40, 1 << 40]), "too large for the file"),
        (set_weight(shape=[-1]), r"of shape \(-1,\), where a size is negative"),
        (set_weight(shape=[2.5]), r"of shape \[2.5\]"),
        (set_weight(shape=[True]), r"of shape \[True\]"),
        (set_weight(shape=4), "of shape 4"),
        (set_weight(dtype="string"), "type 'string'"),
        (set_weight(name="c"), "two weights named c"),
        (set_weight(shape=[1]), "where 7 are used"),
    ],
)
def test_faulty_models_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"expected a TensorFlow\.js model, got: .*{message}"):
        read_tfjs(write_model(tmp_path, change))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'"aaa', b"\xff\xfe{}", bytes(40)])
def test_files_that_are_no_model_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a TensorFlow\.js model"):
        read_tfjs(tmp_path / "m.json")


@pytest.mark.parametrize("length", range(19))
def test_truncated_weight_files_are_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(ValueError, match=r"too large for the file|used"):
        read_tfjs(write_model(tmp_path, shard=bytes(length)))


@pytest.mark.parametrize("value", [None, "2", True, [1] * 1000, {}, float("inf"), 10**400, -1e39])
@pytest.mark.parametrize("key", ["scale", "min"])
def test_a_quantisation_that_is_no_number_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    def change(content: dict[str, Any]) -> None:
        content["weightsManifest"][0]["weights"][1]["quantization"][key] = value

    with pytest.raises(ValueError, match=rf"quantization with {key} .*no float32 number|int too large"):
        read_tfjs(write_model(tmp_path, change))


@pytest.mark.parametrize(
    "group",
    [{"paths": "shard.bin", "weights": []}, {"paths": ["shard.bin"], "weights": {}}, {"paths": [], "weights": [3]}],
)
def test_a_group_of_the_wrong_form_is_refused(tmp_path: Path, group: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"that are not a list|without name, shape and dtype"):
        read_tfjs(write_model(tmp_path, lambda content: {"weightsManifest": [group]}))


@needs_graphs
def test_conflicting_and_unknown_weights_are_refused() -> None:
    state = read_file(MULTIPOSE)
    (key,) = [key for key in state if key.endswith("/Conv1/Conv2D_weights")]
    with pytest.raises(ValueError, match=r"expected one weight for backbone\.features\.0\.0\.weight, got two"):
        loading.load_state(state | {"StatefulPartitionedCall/other/Conv1/Conv2D_weights": state[key]}, "graph")
    with pytest.raises(ValueError, match="1 unexpected, first StatefulPartitionedCall/more_weights"):
        loading.load_state(state | {"StatefulPartitionedCall/more_weights": torch.zeros(1)}, "graph")
