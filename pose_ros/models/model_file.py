"""Read and write the description of a model file, and find the default model.

The description is in the ONNX metadata, or in a YAML file of the same name next to the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pose_ros.fields import METADATA_KEY, ModelSpec
from pose_ros.file_kind import check_not_placeholder
from pose_ros.models.known_layouts import Network, identify_layout
from pose_ros.yaml_text import read_yaml_text

CHECKSUM_KEY = "pose_ros.sha256"
"""Entry of a model on a server with the checksum of its file."""
REPOSITORY_HINT = "pose_ros models triton-repository writes it"
DEFAULT_MODEL = Path(__file__).with_name("default.onnx")
DEFAULT = "default"
"""Name that stands for the default model of this package, in place of a file."""


def find_model(file: Path | None) -> Path:
    """Return the file of a model. None, and the name ``default`` without such a file, mean the default model."""
    return DEFAULT_MODEL if file is None or (str(file) == DEFAULT and not file.is_file()) else file


def read_spec(
    model: str | Path,
    metadata: Mapping[str, str],
    sidecar: str | Path | None = None,
    network: Network | None = None,
) -> ModelSpec:
    """Read the description of a model.

    Args:
        model: ONNX file, or address of a model on a server, as text.
        metadata: Metadata of the file.
        sidecar: YAML file that overrides the description in the model.
        network: The loaded network. Without a description, it is identified by its inputs and outputs if it has a
            known layout.

    Raises:
        FileNotFoundError: If the sidecar does not exist.
        ValueError: If the description is missing or invalid.
    """
    if sidecar is not None:
        return read_sidecar(Path(sidecar))
    if METADATA_KEY in metadata:
        return ModelSpec.parse(metadata[METADATA_KEY], str(model))
    file = Path(model)
    neighbour = file.with_suffix(".yaml")
    if isinstance(model, str):
        missing = f"model {model}: expected a description on the server, got none; {REPOSITORY_HINT}"
    elif neighbour.is_file():
        return read_sidecar(neighbour)
    else:
        missing = f"model {model}: expected a description in its metadata or in {neighbour.name}, got neither"
    if network is None:
        raise ValueError(f"{missing}; write one as described in docs/models.md")
    try:
        return identify_layout(network, metadata, file.stem)
    except ValueError as error:
        raise ValueError(f"{missing}, and {error}") from error


def read_sidecar(path: Path) -> ModelSpec:
    """Read a description from a YAML file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the description is invalid.
    """
    return ModelSpec.parse(read_yaml_text(path, "model description"), str(path))


def write_spec(model: Path, spec: ModelSpec, target: Path) -> None:
    """Copy an ONNX file with the description in its metadata. Requires the package ``onnx``."""
    import onnx

    check_not_placeholder(model, "model", "an ONNX file")
    network = onnx.load(str(model))
    entries = {entry.key: entry.value for entry in network.metadata_props}
    onnx.helper.set_model_props(network, {**entries, METADATA_KEY: json.dumps(spec.to_dict())})
    onnx.save(network, str(target))
