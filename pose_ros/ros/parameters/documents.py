"""The files that list the parameters, written from their declarations.

``python -m pose_ros.ros.parameters.documents ROOT`` writes them into the checkout at ROOT. A test keeps them up to
date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pose_ros.ros.parameters.declare import Parameter, parameters

_YAML_HEAD = """\
# Every parameter of the node pose_estimator, at its default. Copy this file, keep what you change, and pass it with
# `params_file:=mine.yaml` (launch) or `--ros-args --params-file mine.yaml` (run). In brackets: what is allowed, the
# unit, and when a change counts: live, at once; configure, when the node is configured; restart, when it is started.
# Made by `python -m pose_ros.ros.parameters.documents .` from pose_ros/config.py and
# pose_ros/ros/parameters/config.py: change those, not this.
/**:
  ros__parameters:
"""
_TABLE_HEAD = """\
# Parameters

Every parameter of the node `pose_estimator`. Give them on the command line
(`--ros-args -p decoder.score_threshold:=0.2`) or in a YAML file like `config/camera.yaml`. A value of the wrong type or
outside its range stops the node with a message that says so; a float is written with a point (`1.0`, not `1`).

When a change counts (`ros2 param set /pose_estimator decoder.score_threshold 0.2`):

- **live**: with the next image. Values that are set together count together, or are refused together.
- **configure**: when the node is configured. It can be set while the node is unconfigured or inactive, and is refused
  while it is active: `ros2 lifecycle set /pose_estimator deactivate`, set it, then `cleanup`, `configure`, `activate`.
- **restart**: when the node is started. It is read-only.

Topics can be given another quality of service under `qos_overrides`, e.g.
`qos_overrides./image.subscription.reliability: reliable` (the full name of the topic, after remapping).

| parameter | default | allowed | unit | changes | what it does |
|---|---|---|---|---|---|
"""
_TABLE_FOOT = """
This page is made by `python -m pose_ros.ros.parameters.documents .` from `pose_ros/config.py` and
`pose_ros/ros/parameters/config.py`.
"""


def camera_yaml() -> str:
    """The text of ``config/camera.yaml``."""
    lines, stage = [], ""
    for parameter in parameters():
        parents, _, name = parameter.name.rpartition(".")
        if parents != stage:
            lines.append(f"    {parents}:")
            stage = parents
        indent = "      " if stage else "    "
        lines += [f"{indent}# {parameter.help}{_limits(parameter)}", f"{indent}{name}: {_literal(parameter.default)}"]
    return _YAML_HEAD + "\n".join(lines) + "\n"


def parameters_page() -> str:
    """The text of ``docs/parameters.md``."""
    rows = [
        f"| `{p.name}` | `{_literal(p.default)}` | {p.allowed} | {p.unit} | {p.changes} | {p.help} |"
        for p in parameters()
    ]
    return _TABLE_HEAD + "\n".join(rows) + "\n" + _TABLE_FOOT


FILES = {"config/camera.yaml": camera_yaml, "docs/parameters.md": parameters_page}
"""What stands in each file, by its place in the checkout."""


def write_files(root: Path) -> None:
    """Write all of them."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text(), encoding="utf-8")


def _limits(parameter: Parameter) -> str:
    limits = " ".join(filter(None, (parameter.allowed, parameter.unit)))
    return f" [{limits}; {parameter.changes}]" if limits else f" [{parameter.changes}]"


def _literal(value: Any) -> str:
    return json.dumps(value)  # JSON's strings, numbers and booleans are YAML's


if __name__ == "__main__":
    write_files(Path(sys.argv[1]))
