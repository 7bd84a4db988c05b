"""Load public checkpoints into networks of this package, one file per publisher.

A checkpoint is read without executing code from it. Its publisher is identified by its keys. It is loaded completely or
not at all.
"""

from __future__ import annotations

from pose_ros.checkpoint.loading import load_checkpoint
from pose_ros.checkpoint.own import save_checkpoint

__all__ = ["load_checkpoint", "save_checkpoint"]
