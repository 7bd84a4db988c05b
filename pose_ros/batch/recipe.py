"""Say how each input of a batch is processed, and identify results of other settings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pose_ros.batch.result_files import MakeMcap
from pose_ros.config import EstimatorConfig, OverlayConfig
from pose_ros.media.image_messages import Converter, no_converter
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.model_checksum import model_sha256, sha256_of_json
from pose_ros.runtime.triton_address import find_address

SUFFIXES = {
    "json": ".people.jsonl",
    "coco": ".coco.json",
    "csv": ".people.csv",
    "mcap": ".people.mcap",
    "video": ".drawn.mp4",
}
"""Suffix of each kind of output. It is added to the whole name of the input, so that two inputs never share a file."""
_SPEED_ONLY = ("threads", "gpu", "warm_up", "cache", "workspace_mb", "cuda_graph", "while_building", "optimisation")
"""Settings of the runtime that may differ between two machines of a batch."""
_BY_CONTENT = ("refinement.model", "regions.ignore")
"""Settings that name a file. They count by its content."""


@dataclass(frozen=True)
class Recipe:
    """How each input is processed. Workers in other processes get a copy.

    Attributes:
        out: Folder of the outputs.
        kinds: Kinds of outputs, keys of ``SUFFIXES``.
        model: Model file, or address of a model on a Triton server. None = default model of this package.
        spec: Description of the model. None = in the model.
        runtime: Runtime of the network.
        grouping: Grouping. None = preferred grouping of the model.
        config: Settings of all stages.
        overlay: Style of annotated videos and images.
        topic: Image topic of bags. None = the only one.
        depth_topic: Depth topic of bags. None = the one of the image topic. ``"off"`` = none.
        strict: Whether an image that cannot be read fails its input.
        piece_s: Length of the pieces into which long videos and bags are cut, s. 0 = never cut.
        version: Version of this package.
        convert: Converter of images with an unsupported encoding. A function of a module.
        make_mcap: Opens an MCAP output. A function of a module.
    """

    out: Path
    kinds: tuple[str, ...] = ("json",)
    model: Path | str | None = None
    spec: Path | None = None
    runtime: str = "auto"
    grouping: str | None = None
    config: EstimatorConfig = field(default_factory=EstimatorConfig)
    overlay: OverlayConfig = field(default_factory=OverlayConfig)
    topic: str | None = None
    depth_topic: str | None = None
    strict: bool = False
    piece_s: float = 120.0
    version: str = ""
    convert: Converter = no_converter
    make_mcap: MakeMcap | None = None

    def settings(self) -> dict[str, str]:
        """Return what the results depend on, by name, as text. Files count by their content.

        Raises:
            OSError: If the model or its description cannot be read.
        """
        config = asdict(self.config)
        for name in _SPEED_ONLY:
            del config["runtime"][name]
        second, ignored = self.config.refinement.model, self.config.regions.ignore
        values: dict[str, Any] = {
            "model": _identify_model(self.model or DEFAULT_MODEL),
            "refinement": _identify_model(second) if second else "",
            "ignored": hashlib.sha256(Path(ignored).read_bytes()).hexdigest()[:16] if ignored else "",
            "description": hashlib.sha256(self.spec.read_bytes()).hexdigest()[:16] if self.spec else "",
            "version": self.version,
            "runtime": self.runtime,
            "grouping": self.grouping,
            "topic": self.topic,
            "depth_topic": self.depth_topic,
            "strict": self.strict,
            "outputs": sorted(self.kinds),
            **({"overlay": asdict(self.overlay)} if "video" in self.kinds else {}),
            **config,
        }
        return dict(sorted(_flatten(values)))

    def target(self, name: str, kind: str) -> Path:
        """Return the file of an output.

        Args:
            name: Name of the input.
            kind: Kind of the output, a key of ``SUFFIXES``.
        """
        return self.out / f"{name}{SUFFIXES[kind]}"


def _identify_model(model: Path | str) -> str:
    """Return the checksum of a model file, or the address of a model on a server."""
    return find_address(model) or model_sha256(model)[:16]


def fingerprint(settings: dict[str, str]) -> str:
    """Return a short text that differs for other settings."""
    return sha256_of_json(settings)[:12]


def _flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        elif f"{prefix}{name}" not in _BY_CONTENT:
            yield f"{prefix}{name}", str(value)
