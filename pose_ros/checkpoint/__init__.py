"""Public checkpoints made into networks of this package: one file per publisher.

A checkpoint is read without executing anything in it, its publisher is told from its keys, and it is loaded whole or
not at all.
"""

from __future__ import annotations

from pose_ros.checkpoint.loading import load_checkpoint
from pose_ros.checkpoint.own import save_checkpoint

__all__ = ["load_checkpoint", "save_checkpoint"]
