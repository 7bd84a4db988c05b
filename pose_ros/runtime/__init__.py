"""Run networks: one runner per library, chosen by name or automatically."""

from __future__ import annotations

from pose_ros.runtime.choice import load_runner

__all__ = ["load_runner"]
