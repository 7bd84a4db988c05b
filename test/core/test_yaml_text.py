"""Test the only reader of YAML: what it reads, and texts that cost more than they show."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pose_ros.config import EstimatorConfig
from pose_ros.config_file import read_config
from pose_ros.fields import METADATA_KEY
from pose_ros.models.model_file import read_sidecar, read_spec
from pose_ros.yaml_text import MAX_TEXT, parse_yaml

PACKAGE = Path(__file__).parents[2] / "pose_ros"


def nest(levels: int, width: int, form: str = "[{}]") -> str:
    """Make a text whose aliases name aliases: width ** levels values."""
    lines = ["a0: &a0 " + form.format(", ".join("0" * width))]
    lines += [f"a{n}: &a{n} " + form.format(", ".join([f"*a{n - 1}"] * width)) for n in range(1, levels)]
    return "\n".join(lines)


HOSTILE = {
    "aliases of aliases": (nest(9, 9), "10000 values"),
    "aliases as merged keys": (nest(9, 9, "{{<<: [{}]}}").replace("[0, 0", "[{k: 0}, {j: 0}"), "values|YAML"),
    "one alias, many times": ("a: &a [" + "0," * 1000 + "]\nb: [" + "*a," * 1000 + "]", "10000 values"),
    "an alias of itself": ("&a [*a]", "within its own anchor"),
    "many values": ("[" + "[]," * 12_000 + "]", "10000 values"),
    "deep": ("[" * 10_000, "50 levels"),
    "deep mappings": ("{a: " * 10_000, "50 levels"),
    "a number of base 60": ("a: 1" + ":59" * 100_000, "a number of"),
    "many digits": ("a: " + "9" * 100_000, "a number of"),
    "long": (" " * (MAX_TEXT + 1), f"at most {MAX_TEXT} characters"),
    "no date": ("a: 2001-99-99", "expected YAML"),
    "an empty number": ("a: !!int ''", "expected YAML"),
    "no truth": ("a: !!bool perhaps", "expected YAML"),
    "a Python object": ("a: !!python/object/apply:os.system [ls]", "expected YAML"),
    "control characters": ("a: \x01", "expected YAML"),
}


def read_description(text: str, folder: Path) -> Any:
    (folder / "a.yaml").write_text(text)
    return read_sidecar(folder / "a.yaml")


def read_settings(text: str, folder: Path) -> Any:
    (folder / "a.yaml").write_text(text)
    return read_config(EstimatorConfig, folder / "a.yaml")


def read_metadata(text: str, folder: Path) -> Any:
    return read_spec(folder / "a.onnx", {METADATA_KEY: text})


@pytest.mark.parametrize("read", [read_description, read_settings, read_metadata])
@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_texts_are_refused(read: Callable[[str, Path], Any], text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read(text, tmp_path)
    assert len(str(error.value)) < 1000 and "\n" not in str(error.value)


def test_a_few_aliases_are_read() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a", "text") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": {"x": 1},
    }


def test_json_is_read() -> None:
    data = {"a": [1, 2.5, None, True, "ä"], "b": {"c": "d"}}
    assert parse_yaml(json.dumps(data), "text") == data


def test_no_other_module_parses_yaml() -> None:
    others = {
        file.name for file in PACKAGE.rglob("*.py") for call in ("safe_load", "yaml.load(") if call in file.read_text()
    }
    assert others == {"yaml_text.py"}
