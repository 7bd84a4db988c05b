"""Test engine keys and model checksums: any difference changes the digest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.model_checksum import model_sha256
from pose_ros.runtime.tensorrt.key import EngineKey

FIELDS = ("model_sha256", "tensorrt", "gpu", "compute_capability", "precision", "shapes", "options")
KEYS = st.builds(EngineKey, *[st.text(st.characters())] * len(FIELDS))


@given(KEYS)
def test_a_key_is_restored_from_its_fields_in_any_order(key: EngineKey) -> None:
    data = dict(reversed(key.to_dict().items()))
    assert EngineKey.from_dict(data) == key
    assert EngineKey.from_dict(data).digest == key.digest


@given(KEYS, st.sampled_from(FIELDS), st.text(min_size=1))
def test_any_field_changes_the_digest(key: EngineKey, name: str, more: str) -> None:
    other = replace(key, **{name: getattr(key, name) + more})
    assert other.digest != key.digest
    (difference,) = other.differences(key)
    assert difference.startswith(name) and difference.isprintable()


@given(st.lists(st.text(max_size=3), min_size=7, max_size=7), st.lists(st.text(max_size=3), min_size=7, max_size=7))
def test_equal_digests_mean_equal_keys(first: list[str], second: list[str]) -> None:
    assert (EngineKey(*first).digest == EngineKey(*second).digest) == (first == second)


@given(st.text(min_size=1), st.integers(0, 5), st.data())
def test_text_moved_to_the_next_field_changes_the_digest(text: str, index: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text) - 1))
    moved, whole = [""] * 7, [""] * 7
    whole[index], moved[index : index + 2] = text, [text[:cut], text[cut:]]
    assert EngineKey(*moved).digest != EngineKey(*whole).digest


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        pytest.param([], TypeError, "expected a dict of its fields, got list", id="no dict"),
        pytest.param({}, ValueError, "got none", id="empty"),
        pytest.param({**dict.fromkeys(FIELDS, ""), "more": ""}, ValueError, "expected model_sha256, ", id="one more"),
        pytest.param({**dict.fromkeys(FIELDS, ""), "gpu": 3}, TypeError, "EngineKey.gpu: expected text", id="number"),
    ],
)
def test_wrong_fields_are_refused(data: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        EngineKey.from_dict(data)


def test_a_model_in_one_file_has_the_checksum_of_the_file() -> None:
    assert model_sha256(DEFAULT_MODEL) == hashlib.sha256(DEFAULT_MODEL.read_bytes()).hexdigest()


@pytest.mark.parametrize("nested", [False, True], ids=["initializer", "in a subgraph"])
def test_external_weights_change_the_checksum(nested: bool, tmp_path: Path) -> None:
    model = write_model_with_external_weights(tmp_path, nested)
    before = model_sha256(model)
    assert before != hashlib.sha256(model.read_bytes()).hexdigest()
    weights = tmp_path / "weights.bin"
    original = weights.read_bytes()
    weights.write_bytes(b"\1" + original[1:])
    changed = model_sha256(model)
    weights.unlink()
    missing = model_sha256(model)
    weights.write_bytes(original)
    assert len({before, changed, missing}) == 3 and model_sha256(model) == before


def write_model_with_external_weights(folder: Path, nested: bool) -> Path:
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    output = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [512])
    weights = numpy_helper.from_array(np.zeros(512, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [output], [weights])
    if nested:
        choice = helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])
        graph = helper.make_graph(
            [helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)], "g", [choice], [output]
        )
    model = helper.make_model(graph)
    for tensor in onnx.external_data_helper._get_all_tensors(model):
        onnx.external_data_helper.set_external_data(tensor, "weights.bin")
        tensor.ClearField("raw_data")
    (folder / "weights.bin").write_bytes(bytes(2048))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"
