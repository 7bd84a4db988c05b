"""Keep the libraries that run networks from reporting their use to their makers.

The usual builds of ONNX Runtime (from 1.29) and OpenVINO send events over the network, and write an identifier of the
user into the home folder. Both do so at their import or at the first network, so that later is too late.
"""

from __future__ import annotations

import os
import sys
from typing import Any, cast


def disable_telemetry() -> None:
    """Disable the event senders of ONNX Runtime and OpenVINO in this process and in its child processes.

    Call it before the import of either library. A library that is already imported is not changed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # OpenVINO imports its sender as a package, and replaces it with an empty one if the import fails.
    cast("dict[str, Any]", sys.modules).setdefault("openvino_telemetry", None)
