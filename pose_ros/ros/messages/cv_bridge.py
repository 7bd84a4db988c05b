"""Convert image messages with cv_bridge, if it is installed and works.

A cv_bridge built for NumPy 1 may crash the process under NumPy 2 when it is imported. So it is tried once in a child
process.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np

from pose_ros.arrays import ByteArray

_TRIAL_TIMEOUT_S = 20
_TRIAL = """
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
image = Image(height=2, width=1, encoding="rgba8", step=4, data=[0, 0, 255, 255, 255, 0, 0, 255])
assert CvBridge().imgmsg_to_cv2(image, "bgr8").tolist() == [[[255, 0, 0]], [[0, 0, 255]]]
"""


@functools.cache
def find_cv_bridge() -> Any | None:
    """Return a CvBridge, None if it is not installed or fails the trial. The first call may take a second."""
    if importlib.util.find_spec("cv_bridge") is None:
        return None
    command = [sys.executable, "-c", _TRIAL]
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=_TRIAL_TIMEOUT_S)
        from cv_bridge import CvBridge

        return CvBridge()
    except (subprocess.SubprocessError, ImportError, OSError):
        return None


def convert_with_cv_bridge(message: Any) -> ByteArray | None:
    """Convert an image message to (H, W, 3) BGR. Return None if cv_bridge cannot convert it."""
    bridge = find_cv_bridge()
    if bridge is None:
        return None
    try:
        image_bgr = np.asarray(bridge.imgmsg_to_cv2(message, "bgr8"))
    except Exception:  # it raises many types, and our own table may know the encoding
        return None
    is_valid = image_bgr.dtype == np.uint8 and image_bgr.shape == (message.height, message.width, 3)
    return image_bgr if is_valid else None
