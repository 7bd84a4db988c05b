"""Model files: where the default one lies, and the description that each carries.

The description stands in the ONNX metadata, or in a YAML file of the same name beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from pose_ros.config_file import read_yaml_text
from pose_ros.fields import METADATA_KEY, ModelSpec

DEFAULT_MODEL = Path(__file__).with_name("default.onnx")


def read_spec(model: Path, metadata: Mapping[str, str], sidecar: str | Path | None = None) -> ModelSpec:
    """The description of a model.

    Args:
        model: The ONNX file.
        metadata: Its metadata.
        sidecar: A YAML file that overrides what the model says of itself.

    Raises:
        FileNotFoundError: If the sidecar does not exist.
        ValueError: If there is no description, or it is not a valid one.
    """
    if sidecar is not None:
        return read_sidecar(Path(sidecar))
    if METADATA_KEY in metadata:
        return _parsed(metadata[METADATA_KEY], str(model))
    beside = model.with_suffix(".yaml")
    if beside.is_file():
        return read_sidecar(beside)
    raise ValueError(
        f"model {model}: expected a description in its metadata or in {beside.name}, got neither; "
        "docs/models.md says how to write one"
    )


def read_sidecar(path: Path) -> ModelSpec:
    """Read a description from a YAML file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a valid description.
    """
    return _parsed(read_yaml_text(path, "model description"), str(path))


def write_spec(model: Path, spec: ModelSpec, target: Path) -> None:
    """Copy an ONNX file and store the description in the copy's metadata. Needs the package ``onnx``."""
    import onnx

    network = onnx.load(str(model))
    entries = {entry.key: entry.value for entry in network.metadata_props}
    onnx.helper.set_model_props(network, {**entries, METADATA_KEY: json.dumps(spec.to_dict())})
    onnx.save(network, str(target))


def _parsed(text: str, source: str) -> ModelSpec:
    try:
        data = yaml.safe_load(text)  # JSON is YAML
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: expected YAML or JSON, got: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{source}: expected the entries of a model description, got {type(data).__name__}")
    try:
        return ModelSpec.from_dict(data)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
