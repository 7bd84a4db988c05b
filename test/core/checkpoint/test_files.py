"""Test files of weights: damaged, malicious, unusual or intact. No code in them is executed."""

from __future__ import annotations

import io
import itertools
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from wire import entry, varint  # noqa: E402

from pose_ros.checkpoint import load_checkpoint, loading, openpose, own, save_checkpoint  # noqa: E402
from pose_ros.checkpoint.backbone import fill_backbone  # noqa: E402
from pose_ros.checkpoint.loading import fill  # noqa: E402
from pose_ros.checkpoint.publisher import Publisher  # noqa: E402
from pose_ros.checkpoint.reading import read_file, state_of  # noqa: E402
from pose_ros.network import zoo  # noqa: E402
from pose_ros.protobuf import Kind, Schema, parse  # noqa: E402
from pose_ros.skeleton import COCO_17, Skeleton  # noqa: E402

NAME = "pose_ros_mobilenet_v2"
HAND = Skeleton("hand", ("wrist", "thumb", "finger"), ((0, 1), (0, 2)))


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return zoo.build(NAME, HAND).eval()


@pytest.fixture(scope="module")
def intact_file(network: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Content of a file of ``save_checkpoint``."""
    path = tmp_path_factory.mktemp("intact") / "a.pth"
    save_checkpoint(network, NAME, path, epoch=3)
    return path.read_bytes()


def save(content: Any, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def make_zip(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# Checkpoints of this package ---------------------------------------------------------------------------------------


def test_a_saved_checkpoint_is_restored(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(network, NAME, path, epoch=3, optimizer={"lr": 0.1, "steps": [1, 2]})
    restored = load_checkpoint(path)
    assert not restored.training
    assert restored.spec == network.spec and restored.spec.skeleton.keypoint_names == HAND.keypoint_names
    image = torch.rand(1, 3, 64, 64)
    for name, field in network.fields(image).items():
        torch.testing.assert_close(restored.fields(image)[name], field)
    assert read_file(path)["optimizer"] == {"lr": 0.1, "steps": [1, 2]}
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


def test_interrupted_writing_keeps_the_old_file(
    network: Any, intact_file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(intact_file)

    def write_half(content: object, file: io.BufferedWriter) -> None:
        file.write(b"PK half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(own.torch, "save", write_half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(network, NAME, path)
    assert path.read_bytes() == intact_file
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "pose_ros checkpoint 9"}, "expected 'pose_ros checkpoint 1', got 'pose_ros checkpoint 9'; update"),
        ({"network": "pose_ros_mobilenet_v3"}, "expected a name such as pose_ros_mobilenet_v"),
        ({"spec": {"name": "x"}}, "got a fault in .*skeleton"),
        ({"spec": None}, "got a fault in"),
        ({"state_dict": {}}, "expected names and tensors .a state dict., got nothing"),
        ({"state_dict": [1]}, "got list"),
    ],
    ids=["later version", "unknown network", "spec without skeleton", "no spec", "no weights", "not weights"],
)
def test_faulty_checkpoints_of_this_package(
    intact_file: bytes, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    content = torch.load(io.BytesIO(intact_file), weights_only=True)
    path = save(content | change, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=message):
        load_checkpoint(path)


# Damaged files and other formats -----------------------------------------------------------------------------------

OTHER_FORMATS = {
    "empty": (b"", "truncated, or another format"),
    "text": (b"hello world\n" * 9, "truncated, or another format"),
    "web page": (b"\n<!DOCTYPE html><html><title>Virus scan warning</title>", "got a web page"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(100), "truncated, or another format"),
    "other zip": (make_zip({"readme.txt": b"hello"}), "truncated, or another format"),
    "zip bomb": (make_zip({"a/data.pkl": bytes(1 << 24)}, zipfile.ZIP_DEFLATED), "unpacks to 16777216 bytes"),
}


@pytest.mark.parametrize("suffix", ["pth", "pth.tar", "npz", "caffemodel", "tflite", "pb"])
@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_files_of_another_format(tmp_path: Path, kind: str, suffix: str) -> None:
    content, message = OTHER_FORMATS[kind]
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message if suffix == "pth" else "expected") as error:
        load_checkpoint(path)
    assert str(error.value).startswith(f"checkpoint {path}: expected") and "\n" not in str(error.value)
    assert "execute code" not in str(error.value)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="which is a folder"):
        load_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("old_format", [False, True], ids=["zip", "older"])
def test_truncated_files(intact_file: bytes, tmp_path: Path, old_format: bool) -> None:
    content = torch.load(io.BytesIO(intact_file), weights_only=True)
    path = save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not old_format)
    data = path.read_bytes()
    for length in [*range(0, 40), *range(40, len(data), len(data) // 40), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=f"^checkpoint {path}: "):
            load_checkpoint(path)


def test_flipped_bits_never_crash(intact_file: bytes, tmp_path: Path) -> None:
    """The result is a network or a ValueError."""
    random = np.random.default_rng(0)
    path, loaded, size = tmp_path / "a.pth", 0, len(intact_file)
    for _ in range(40):
        damaged = bytearray(intact_file)
        for position in [*random.integers(0, size, 2), *random.integers(0, 2000, 2), -random.integers(1, 3000)]:
            damaged[position] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            loaded += load_checkpoint(path) is not None
        except ValueError as error:
            assert str(path) in str(error)
    assert loaded < 40


# Files that would execute code --------------------------------------------------------------------------------------


class Attack:
    """Object that is pickled as a function call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class UnknownClass:
    """Class that no reader knows."""


def make_attacks(proof: Path) -> dict[str, Any]:
    """Make objects that write the file ``proof`` if they are executed, or that need a class."""
    return {
        "os.system": Attack(os.system, f"touch {proof}"),
        "eval": Attack(eval, f"open({str(proof)!r}, 'w')"),
        "exec": Attack(exec, f"open({str(proof)!r}, 'w')"),
        "open": Attack(open, str(proof), "w"),
        "getattr": Attack(getattr, Path(proof), "touch"),
        "a class of __main__": UnknownClass(),
        "a path": Path("a"),
    }


ATTACKS = sorted(make_attacks(Path("proof")))


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("form", ["zip", "older", "bare pickle", "tar", "npz", "next to weights"])
def test_no_code_is_executed(tmp_path: Path, form: str, name: str) -> None:
    proof = tmp_path / "proof"
    attack = make_attacks(proof)[name]
    path = tmp_path / ("weights.npz" if form == "npz" else "weights.pth")
    write_attack(attack, form, path)
    with pytest.raises(ValueError, match=f"^checkpoint {path}: expected"):
        load_checkpoint(path)
    assert not proof.exists()


def write_attack(attack: Any, form: str, path: Path) -> None:
    if form == "npz":
        np.savez(path, weights=np.array([attack], object))
    elif form == "bare pickle":
        path.write_bytes(pickle.dumps(attack, protocol=2))
    elif form == "tar":
        with tarfile.open(path, "w") as archive:
            for name in ("sys_info", "storages", "tensors", "pickle"):
                info = tarfile.TarInfo(name)
                content = pickle.dumps(attack, protocol=2)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    elif form == "next to weights":
        torch.save({"state_dict": {"a": torch.zeros(1)}, "more": attack}, path)
    else:
        torch.save({"state_dict": attack}, path, _use_new_zipfile_serialization=form == "zip")


@pytest.mark.parametrize("form", ["tar", "tar followed by a zip", "TorchScript"])
def test_formats_that_older_torch_executes_are_never_passed_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load was called"))
    path = tmp_path / "weights.pth"
    if form == "TorchScript":
        path.touch()
    else:
        write_attack(make_attacks(tmp_path / "proof")["open"], "tar", path)
    if form != "tar":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("weights/constants.pkl" if form == "TorchScript" else "a", b"")
    with pytest.raises(ValueError, match="a file that would execute code when read, which is not allowed"):
        load_checkpoint(path)


def test_the_attack_works_without_protection(tmp_path: Path) -> None:
    """Check that the tests above can fail."""
    proof = tmp_path / "proof"
    write_attack(make_attacks(proof)["open"], "zip", tmp_path / "a.pth")
    torch.load(tmp_path / "a.pth", weights_only=False)
    assert proof.exists()


def test_the_error_names_the_rejected_function(tmp_path: Path) -> None:
    write_attack(make_attacks(tmp_path / "proof")["os.system"], "zip", tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"would execute code when read.*posix\.system.*ask its publisher"):
        load_checkpoint(tmp_path / "a.pth")


# Unusual content ---------------------------------------------------------------------------------------------------


def make_endless() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["state_dict"] = content
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: [1, 2], "got list"),
        (lambda: {}, "got nothing"),
        (lambda: {"epoch": 3, "loss": 0.5}, "got entries epoch, loss"),
        (lambda: {"state_dict": {"a": torch.zeros(1), "b": "text"}}, "got entries a, b"),
        (make_endless, "got entries state_dict"),
        (lambda: {"module.a": torch.zeros(1), "a": torch.zeros(1)}, "each name once"),
        (lambda: {"a": torch.zeros(1, dtype=torch.half).expand(1 << 40)}, "plain numbers in a"),
        (lambda: {"a": torch.zeros(2, dtype=torch.complex64)}, "got torch.complex64"),
        (lambda: {"a": torch.eye(3).to_sparse()}, "torch.sparse_coo"),
        (lambda: {"a": torch.zeros(2, device="meta")}, "plain numbers in a"),
    ],
    ids=[
        "a list",
        "empty",
        "no tensors",
        "text among tensors",
        "wrapped in itself",
        "duplicate name",
        "one number repeated a trillion times",
        "complex",
        "sparse",
        "without numbers",
    ],
)
def test_content_that_is_not_a_state_dict(tmp_path: Path, content: Callable[[], Any], message: str) -> None:
    path = save(content(), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=f"^checkpoint {path}: .*{message}"):
        load_checkpoint(path)


@pytest.mark.parametrize("wrap", ["state_dict", "model_state_dict", "model", "weights", None])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrappers_and_prefixes_are_removed(tmp_path: Path, wrap: str | None, prefix: str) -> None:
    weights = {f"{prefix}conv.weight": torch.ones(2, 2), f"{prefix}conv.bias": torch.zeros(2)}
    content = {wrap: weights, "epoch": 7, "optimizer": {"state": {}}} if wrap else weights
    path = save(content, tmp_path / "a.pth")
    assert list(state_of(read_file(path), path)) == ["conv.weight", "conv.bias"]


def test_data_parallel_weights_fit(network: Any, tmp_path: Path) -> None:
    parallel = torch.nn.DataParallel(network)
    path = save({"state_dict": parallel.state_dict()}, tmp_path / "a.pth")
    restored = zoo.build(NAME, HAND)
    fill(restored, state_of(read_file(path), path), "file")
    torch.testing.assert_close(dict(restored.state_dict()), dict(network.state_dict()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path: Path, dtype: Any) -> None:
    path = save({"a": torch.full((3,), 0.5, dtype=dtype), "n": torch.tensor(4)}, tmp_path / "a.pth")
    state = state_of(read_file(path), path)
    assert state["a"].dtype is torch.float32 and state["a"].tolist() == [0.5] * 3
    assert state["n"].dtype is torch.int64


def test_npz_files_are_read_as_state_dicts(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **{"conv.weight": np.zeros((64, 64), np.float16)})
    state = state_of(read_file(tmp_path / "a.npz"), tmp_path / "a.npz")
    assert state["conv.weight"].shape == (64, 64) and state["conv.weight"].dtype is torch.float32


def test_an_npz_file_with_too_large_a_shape(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    (tmp_path / "a.npz").write_bytes(make_zip({"a.npy": array}))
    with pytest.raises(ValueError, match="expected a NumPy archive of plain numbers"):
        load_checkpoint(tmp_path / "a.npz")


# Only a backbone ---------------------------------------------------------------------------------------------------


def backbone_arrays(network: Any) -> dict[str, np.ndarray]:
    """Return a network's backbone as an archive of convolutions, in the order in which they run."""
    names = [key.removesuffix(".weight") for key in network.backbone.state_dict() if key.endswith(".weight")]
    return {
        f"{index:02d}_conv.{part}": network.backbone.state_dict()[f"{name}.{part}"].numpy()
        for index, name in enumerate(names)
        for part in ("weight", "bias")
    }


def test_a_backbone_is_loaded_in_order(tmp_path: Path) -> None:
    source, target = (zoo.build("pose_ros_mobilenet_v1_075") for _ in range(2))
    file = tmp_path / "backbone.npz"
    np.savez(file, **backbone_arrays(source), **{"99_classes.weight": np.zeros((10, 384), np.float32)})
    heads = {key: value.clone() for key, value in target.stages.state_dict().items()}
    assert fill_backbone(target, read_file(file), "backbone.npz") == len(target.backbone.state_dict())
    torch.testing.assert_close(dict(target.backbone.state_dict()), dict(source.backbone.state_dict()))
    torch.testing.assert_close(dict(target.stages.state_dict()), heads)


@pytest.mark.parametrize(
    ("key", "value"),
    [("03_conv.bias", None), ("03_conv.weight", None), ("05_conv.weight", np.zeros((1, 2, 3, 4), np.float32))],
    ids=["no bias", "one fewer", "another shape"],
)
def test_a_backbone_that_does_not_fit_changes_nothing(tmp_path: Path, key: str, value: np.ndarray | None) -> None:
    network = zoo.build("pose_ros_mobilenet_v1_075")
    arrays = {name: array for name, array in (backbone_arrays(network) | {key: value}).items() if array is not None}
    np.savez(tmp_path / "backbone.npz", **arrays)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"backbone\.npz: expected layers\.\d+\.\S+ \(.*\) of the backbone, got "):
        fill_backbone(network, read_file(tmp_path / "backbone.npz"), "backbone.npz")
    torch.testing.assert_close(dict(network.state_dict()), before)


# Identification of the network -------------------------------------------------------------------------------------


def test_an_unknown_publisher(tmp_path: Path) -> None:
    path = save({"encoder.layer.weight": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"expected the keys of .*trt_pose.*, got encoder.layer.weight.*--network"):
        load_checkpoint(path)


def test_the_caller_can_name_the_network(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = zoo.build(NAME)
    path = save(network.state_dict(), tmp_path / "a.pth")
    restored = load_checkpoint(path, network=NAME)
    torch.testing.assert_close(dict(restored.state_dict()), dict(network.state_dict()))
    with pytest.raises(ValueError, match=r"missing, first .*unexpected, first"):
        load_checkpoint(path, network="pose_ros_mobilenet_v1_075")
    with pytest.raises(ValueError, match="expected a name such as pose_ros_mobilenet_v2"):
        load_checkpoint(path, network="pose_ros_mobilenet_v9")


@pytest.mark.parametrize("step", ["network", "build", "convert"])
def test_an_importer_with_unexpected_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    steps = {"network": lambda shapes: zoo.networks()[NAME], "convert": lambda state: state}
    broken = {"build": {"network": lambda shapes: lambda: shapes["conv.weight"][3]}}
    publisher = Publisher("example", **steps | broken.get(step, {step: lambda content: content["conv.weight"][3]}))
    monkeypatch.setattr(loading, "publishers", lambda: [publisher])
    path = save({"conv.weight": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=f"^checkpoint {path}: expected the weights of example, got: "):
        load_checkpoint(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["weight", "running_var"])
def test_weights_that_are_not_finite(kind: str, value: float) -> None:
    model = zoo.build(NAME, COCO_17)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    key = next(key for key in before if key.endswith(kind))
    state = {name: torch.ones_like(tensor) for name, tensor in before.items()}
    state[key].view(-1)[0] = value
    with pytest.raises(ValueError, match=f"expected finite weights, got NaN or infinity in {key}"):
        fill(model, state, "file")
    torch.testing.assert_close(dict(model.state_dict()), before)


def test_every_fault_is_reported_and_nothing_is_changed() -> None:
    model = zoo.build(NAME, COCO_17)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state = {name: torch.ones_like(tensor) for name, tensor in before.items()}
    removed, reshaped, *_ = [key for key in state if key.endswith("weight")]
    state["extra"], state[reshaped] = torch.zeros(1), torch.zeros(7)
    del state[removed]
    message = (
        rf"1 missing, first {removed}; 1 unexpected, first extra; "
        rf"1 mis-shaped, first {reshaped} \(expected .*got \(7,\)"
    )
    with pytest.raises(ValueError, match=message):
        fill(model, state, "file")
    torch.testing.assert_close(dict(model.state_dict()), before)


# Caffe and Protocol Buffers ----------------------------------------------------------------------------------------


def blob(array: np.ndarray[Any, Any], form: str) -> bytes:
    numbers = entry(8 if form == "double" else 5, array.astype("<f8" if form == "double" else "<f4").tobytes())
    if form == "unpacked":
        numbers = b"".join(varint(5 << 3 | 5) + struct.pack("<f", number) for number in array.ravel())
    if form == "legacy":
        sides = (1,) * (4 - array.ndim) + array.shape
        return b"".join(entry(number, side) for number, side in enumerate(sides, 1)) + numbers
    return entry(7, entry(1, b"".join(varint(side) for side in array.shape))) + numbers


def caffemodel(layers: dict[str, list[np.ndarray[Any, Any]]], form: str = "shape") -> bytes:
    old = form == "legacy"
    name, blobs, layer = (4, 6, 2) if old else (1, 7, 100)
    messages = [
        entry(name, key.encode())
        + entry(5 if old else 2, 4 if old else b"Convolution")
        + b"".join(entry(blobs, blob(array, form)) for array in arrays)
        for key, arrays in layers.items()
    ]
    return entry(1, b"net") + b"".join(entry(layer, message) for message in messages)


LAYERS = {
    "conv1": [np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.array([1.5, -2], np.float32)],
    "relu1": [],
    "prelu": [np.array([0.25, 0.5], np.float32)],
}


@pytest.mark.parametrize("form", ["shape", "legacy", "double", "unpacked"])
def test_caffe_models_are_read(tmp_path: Path, form: str) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel(LAYERS, form))
    state = state_of(read_file(path), path)
    assert list(state) == ["conv1.weight", "conv1.bias", "prelu.weight"]
    assert state["conv1.bias"].tolist() == [1.5, -2] and state["conv1.weight"].dtype is torch.float32
    np.testing.assert_array_equal(state["conv1.weight"], LAYERS["conv1"][0])


def body_25_layers() -> dict[str, list[np.ndarray[Any, Any]]]:
    """Make the layers of BODY_25 with the publisher's names and small weights."""
    names = [f"conv{a}_{b}{c}" for a in range(1, 5) for b in range(1, 5) for c in ("", "_CPM")]
    names += [f"prelu4_{b}{c}" for b in range(1, 5) for c in ("", "_CPM")]
    for stage, branch, kind in itertools.product(range(4), (1, 2), ("conv", "prelu")):
        names += [f"M{kind}{block}_stage{stage}_L{branch}_{index}" for block in range(1, 6) for index in range(3)]
        names += [f"M{kind}{number}_stage{stage}_L{branch}" for number in (6, 7)]
    published = openpose.PUBLISHER.convert({f"{name}.{array}": name for name in names for array in ("weight", "bias")})
    with torch.device("meta"):
        shapes = zoo.build("openpose_body25").state_dict()
    layers: dict[str, list[np.ndarray[Any, Any]]] = {}
    for key, value in shapes.items():
        layers.setdefault(published[key], []).append(np.full(value.shape, 0.01, np.float32))
    return layers


def test_an_openpose_file_is_loaded(tmp_path: Path) -> None:
    """Layers without weights and unknown entries are skipped."""
    layers = {**body_25_layers(), "concat_stage7": []}
    layers["conv1_1"][0][:] = np.arange(3).reshape(3, 1, 1)
    path = tmp_path / "pose_iter_584000.caffemodel"
    path.write_bytes(caffemodel(layers) + entry(77, b"something new"))
    model = load_checkpoint(path)
    assert model.spec.skeleton.name == "body_25"
    np.testing.assert_array_equal(model.state_dict()["backbone.conv1_1.weight"], layers["conv1_1"][0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            entry(100, entry(1, b"a") + entry(7, entry(7, entry(1, varint(1 << 62) * 2)))),
            "layer a of shape .4611686018427387904, .*too large",
        ),
        (
            entry(100, entry(1, b"a") + entry(7, entry(7, entry(1, varint(-4))) + entry(5, bytes(16)))),
            "layer a of shape .-4,., where a size is negative",
        ),
        (entry(100, entry(1, b"a") + entry(7, entry(5, bytes(15)))), "whole numbers of 4 bytes, got 15"),
        (entry(100, entry(1, b"\xff\xfe")), "expected text"),
        (entry(100, 7), "the file has another format"),
        (varint(100 << 3 | 2) + varint(1 << 50) + b"a", "the file is truncated"),
        (varint(100 << 3 | 3), "expected a wire type"),
        (b"\xff" * 30, "got no end"),
        (entry(1, b"net"), "with weights, got none"),
    ],
    ids=[
        "huge shape",
        "negative shape",
        "half of a number",
        "name that is not text",
        "number instead of a layer",
        "length beyond the end",
        "group",
        "endless integer",
        "no layers",
    ],
)
def test_faulty_caffe_models(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^checkpoint {path}: expected a Caffe model.*({message})"):
        load_checkpoint(path)


def test_truncated_caffe_models(tmp_path: Path) -> None:
    path, data = tmp_path / "net.caffemodel", caffemodel({"conv1": LAYERS["conv1"]})
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=f"^checkpoint {path}: expected a Caffe model"):
            load_checkpoint(path)


NESTED: Schema = {
    1: ("deeper", {2: ("number", Kind.INTEGER)}),
    2: ("number", Kind.INTEGER),
    3: ("numbers", Kind.FLOAT),
}


def test_messages_are_parsed_by_their_schema() -> None:
    data = entry(2, -5) + entry(9, b"unknown") + entry(1, entry(2, 1 << 40) + entry(1, b"beyond the schema"))
    data += entry(2, varint(3) + varint(300)) + entry(3, np.array([1, 2], "<f4").tobytes())
    message = parse(data, NESTED)
    assert message["number"] == [-5, 3, 300] and message["deeper"] == [{"number": [1 << 40]}]
    assert [list(piece) for piece in message["numbers"]] == [[1, 2]]
    assert parse(b"", NESTED) == {} and parse(b"", NESTED)["number"] == []


def test_nested_messages_are_parsed_only_as_deep_as_the_schema() -> None:
    data = b""
    for _ in range(5000):
        data = entry(1, data)
    assert parse(data, NESTED)["deeper"] == [{}]


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_rejected(data: bytes) -> None:
    try:
        parse(data, {1: ("a", NESTED), 2: ("b", Kind.TEXT), 3: ("c", Kind.DOUBLE), 4: ("d", Kind.INTEGER)})
    except ValueError as error:
        assert str(error).startswith("protobuf")
