"""cv_bridge, where it is installed and works.

One built for NumPy 1 does not merely fail to import under NumPy 2: it may crash the process. So it is tried once, in a
child process.
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
    """A CvBridge; None where there is none, or it fails the trial. The first call may take a second."""
    if importlib.util.find_spec("cv_bridge") is None:
        return None
    command = [sys.executable, "-c", _TRIAL]
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=_TRIAL_TIMEOUT_S)
        from cv_bridge import CvBridge

        return CvBridge()
    except (subprocess.SubprocessError, ImportError, OSError):
        return None


def convert_by_cv_bridge(message: Any) -> ByteArray | None:
    """The picture in an image message as (H, W, 3) BGR; None where cv_bridge has no answer."""
    bridge = find_cv_bridge()
    if bridge is None:
        return None
    try:
        picture = np.asarray(bridge.imgmsg_to_cv2(message, "bgr8"))
    except Exception:  # it raises its own, OpenCV's and NumPy's, and our table may still know the answer
        return None
    fits = picture.dtype == np.uint8 and picture.shape == (message.height, message.width, 3)
    return picture if fits else None
