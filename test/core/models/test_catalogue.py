"""Test the catalogue of public models: entries are complete and correct, and faults are reported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pose_ros.config import RuntimeConfig
from pose_ros.files import user_cache
from pose_ros.models.catalogue import Entry, entries, find
from pose_ros.models.download import digest
from pose_ros.models.model_file import DEFAULT_MODEL, read_spec
from pose_ros.runtime import load_runner
from pose_ros.skeleton import SKELETONS

ENTRIES = pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
MINIMAL: dict[str, Any] = {
    "name": "mine",
    "network": "hrnet_w32",
    "grouping": "single",
    "skeleton": "coco_17",
    "input": "192 × 256 px",
    "paper": "none",
    "publisher": "me",
    "code_licence": "MIT",
    "weights_licence": "MIT",
    "commercial": "yes",
    "file": "mine.pth",
}


def write_catalogue(content: Any, folder: Path) -> Path:
    path = folder / "catalogue.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_default_model_is_first_and_matches_its_entry() -> None:
    default = entries()[0]
    assert default.name == "default" and default.is_ours and default.path == DEFAULT_MODEL
    assert default.checksum == f"sha256:{digest(DEFAULT_MODEL)}"
    assert default.size_mb == pytest.approx(DEFAULT_MODEL.stat().st_size / 1e6, abs=0.05)
    with load_runner(DEFAULT_MODEL, RuntimeConfig(warm_up=False)) as runner:
        spec = read_spec(DEFAULT_MODEL, runner.metadata)
    assert (spec.grouping, spec.skeleton.name) == (default.grouping, default.skeleton)
    assert spec.licence == default.weights_licence
    assert f"**{default.results[0].ap}**" in DEFAULT_MODEL.with_suffix(".md").read_text()


@ENTRIES
def test_every_entry_has_a_publisher_and_a_licence(entry: Entry) -> None:
    assert entry.skeleton in SKELETONS
    assert entry.is_ours or entry.publisher.startswith("https://github.com/")
    assert re.fullmatch(r"(\d{4}\.\d{4,5})?", entry.arxiv)
    assert all(0 < result.ap < 100 and "COCO" in result.data for result in entry.results)
    assert "non-profit" not in entry.weights_licence or entry.commercial == "no"


@ENTRIES
def test_every_entry_fits_its_network(entry: Entry) -> None:
    torch = pytest.importorskip("torch")
    from pose_ros.network import zoo

    with torch.device("meta"):
        network = zoo.build(entry.network)
    assert network.spec.grouping == entry.grouping
    assert network.spec.skeleton.name == entry.skeleton
    bytes_each = 2 if entry.file in ("model.json", "default.onnx") else 4  # stored in half precision
    weights_mb = bytes_each * sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert entry.size_mb == 0 or entry.file.endswith(".tflite") or 0.9 < entry.size_mb / weights_mb < 1.15


def test_available_files_have_the_checksum_of_their_entry(shared: Path) -> None:
    other_names = {"graph_opt.pb": "mobilenet_v2_small_graph_opt.pb"}
    checked = 0
    for entry in entries()[1:]:
        for path in (shared / "models").rglob(other_names.get(entry.file, entry.file)):
            assert entry.checksum == f"sha256:{digest(path)}", entry.name
            assert entry.size_mb == pytest.approx(path.stat().st_size / 1e6, abs=0.05)
            checked += 1
    assert checked == 4


def test_find_returns_the_entry_or_suggests_similar_names() -> None:
    assert find("openpose_coco").network == "openpose_coco"
    with pytest.raises(ValueError, match=r"expected a name such as higherhrnet_w\d\d, .*got 'higher_hrnet_w32'"):
        find("higher_hrnet_w32")
    with pytest.raises(ValueError, match=r"such as default, trt_pose.*got '!'"):
        find("!")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "mine.colour: expected a setting such as url, got 'colour'"),
        ({"paper": None}, "mine.paper: expected text, got NoneType None; put it in quotes"),
        ({"arxiv": 1908.1}, "mine.arxiv: expected text, got float 1908.1; put it in quotes"),
        ({"commercial": True}, "mine.commercial: expected text, got bool True; put it in quotes"),
        ({"commercial": "maybe"}, "mine.commercial: expected one of yes, no, unclear, got 'maybe'"),
        ({"grouping": "tags"}, "mine.grouping: expected one of paf, tag, .*got 'tags'"),
        ({"name": "My model"}, "My model.name: expected lower-case letters"),
        ({"file": "../mine.pth"}, "mine.file: expected a file name without folders"),
        ({"url": "ftp://example.org/mine.pth"}, "mine.url: expected https"),
        ({"checksum": "sha256:12"}, "mine.checksum: expected sha256:"),
        ({"checksum": "sha256:" + "G" * 64}, "mine.checksum: expected sha256:"),
        ({"checksum": "sha1:" + "0" * 40}, "mine.checksum: expected sha256:"),
        ({"size_mb": "5 MB"}, "mine.size_mb: expected a number, got str '5 MB'"),
        ({"results": [{"ap": 50.0}]}, r"mine.results\[0\]: expected also data, got ap"),
        ({"results": 50}, "mine.results: expected a list, got int 50"),
    ],
    ids=lambda value: "-".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_faulty_entries_are_reported(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write_catalogue([MINIMAL | change], tmp_path)
    with pytest.raises(ValueError, match=f"^catalogue {path}: {message}" if message[0] == "m" else message):
        entries(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "expected YAML"),
        ("name: x", "expected a list of entries, got dict"),
        ("[5]", "entry 1: expected names and values, got int 5"),
        ("[{name: x}]", "x: expected also network, grouping, .*got name"),
        (yaml.safe_dump([MINIMAL, MINIMAL]), "expected each name once"),
    ],
    ids=["not YAML", "not a list", "a number", "only a name", "duplicate name"],
)
def test_faulty_files_are_reported(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"catalogue {path}: {message}"):
        entries(path)


def test_optional_values_of_an_entry_have_defaults(tmp_path: Path) -> None:
    (entry,) = entries(write_catalogue([MINIMAL | {"page": "https://example.org"}], tmp_path))
    assert entry.checksum == "not pinned" and entry.results == () and not entry.is_ours


@pytest.mark.parametrize(
    ("home", "folder"),
    [("/somewhere", "/somewhere/pose_ros/models"), ("relative", None), ("", None)],
    ids=["set", "relative, so ignored", "not set"],
)
def test_the_cache_folder_follows_xdg_cache_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str, folder: str | None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache("models") == Path(folder or tmp_path / ".cache/pose_ros/models")
