"""Find the folder of photos, public models and golden cases beside the checkout.

The environment variable ``POSE_ROS_SHARED`` selects another folder. ``POSE_ROS_GOLDEN`` selects other golden cases.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("POSE_ROS_SHARED", ROOT.parent / "shared"))
GOLDEN = Path(os.environ.get("POSE_ROS_GOLDEN", SHARED / "golden"))
