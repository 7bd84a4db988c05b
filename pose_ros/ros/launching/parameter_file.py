"""Check the parameter file of a launch argument."""

from __future__ import annotations

import difflib
from pathlib import Path

from launch.logging import get_logger


def check_parameter_file(argument: str, path: str) -> None:
    """Warn if a parameter file does not exist, with the nearest file in its folder. launch_ros then leaves it out."""
    file = Path(path)
    if not path or file.is_file():
        return
    others = sorted(entry.name for entry in file.parent.glob("*.y*ml")) if file.parent.is_dir() else []
    near = difflib.get_close_matches(file.name, others, n=1)
    hint = f"; did you mean {file.parent / near[0]}?" if near else ""
    get_logger("pose_ros").warning(
        f"{argument}: expected a YAML file, got {path}, which does not exist; the node uses its defaults{hint}"
    )
