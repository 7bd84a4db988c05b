"""The version of this package, wherever it was installed."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from xml.etree import ElementTree


def version() -> str:
    """As pip knows it, or as it stands in the package.xml that colcon installed."""
    try:
        return installed_version("pose_ros")
    except PackageNotFoundError:
        pass
    shares = [Path(prefix) / "share/pose_ros" for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(":")]
    for folder in [*shares, Path(__file__).parents[2]]:
        manifest = folder / "package.xml"
        if manifest.is_file():
            return ElementTree.parse(manifest).findtext("version") or "unknown"
    return "unknown"
