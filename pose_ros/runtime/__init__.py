"""What runs a network: one runner per library, chosen by name or by what works here."""

from __future__ import annotations

from pose_ros.runtime.choice import load_runner

__all__ = ["load_runner"]
