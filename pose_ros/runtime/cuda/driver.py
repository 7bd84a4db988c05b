"""Find the NVIDIA GPUs of this machine, using the driver only.

TensorRT ends the process if one of its objects is created without a working driver. So the driver is checked first.
The check uses ctypes: without a driver it raises an exception, and it needs no other package.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from pose_ros.runtime.runner import Unavailable

DRIVER = "libcuda.so.1"
COMPUTE_CAPABILITY = (75, 76)
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""
MULTIPROCESSORS = 16
"""CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT."""
EXPOSE = "in Docker, run with --gpus all, and on a Jetson with --runtime nvidia"
FIXES = {
    3: "CUDA does not survive a fork: start worker processes with the method spawn",
    34: "libcuda.so.1 is the toolkit's stub: remove its folder from LD_LIBRARY_PATH",
    100: f"check that nvidia-smi lists a GPU and that CUDA_VISIBLE_DEVICES does not hide it; {EXPOSE}",
    802: "the GPUs are still starting, or need the service nvidia-fabricmanager",
    803: "restart the machine: the driver was updated while in use, or does not match libcuda.so.1",
    804: "use a CUDA version or a Docker image that this driver supports, or update the driver",
}
"""Fix for each error of the driver, by CUDA error code."""


@dataclass(frozen=True)
class Gpu:
    """Description of one NVIDIA GPU, from the driver.

    Attributes:
        index: Index among the GPUs that CUDA_VISIBLE_DEVICES shows.
        name: Name such as "Orin" or "NVIDIA GeForce RTX 4070".
        compute_capability: Major and minor number of the architecture.
        memory_bytes: Total memory. On a Jetson it is shared with the CPU.
        cuda_version: Newest CUDA version that the driver supports, major and minor.
        multiprocessors: Number of enabled multiprocessors. Some power modes of a Jetson disable some.
    """

    index: int
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    cuda_version: tuple[int, int]
    multiprocessors: int = 0

    @property
    def architecture(self) -> str:
        """``compute_capability`` as text, such as "8.7"."""
        return "{}.{}".format(*self.compute_capability)

    @property
    def model(self) -> str:
        """GPU model as text, used in the key of an engine.

        Multiprocessors and memory are included, because all Orin boards share one name and compute capability. Clock
        rates are not: an engine is correct at any clock rate, even if it is not the fastest.
        """
        return f"{self.name}, {self.multiprocessors} multiprocessors, {round(self.memory_bytes / 2**30)} GiB"


def find_gpu(index: int = 0, library: str = DRIVER) -> Gpu:
    """Find a GPU through the driver. This creates no context and allocates no memory.

    Args:
        index: Index of the GPU.
        library: Name or path of the driver's library.

    Raises:
        Unavailable: If the driver is missing or broken, or has no such GPU. The message says how to fix it.
    """
    driver = _Driver(library)
    driver.call("cuInit", 0)
    count = driver.number("cuDeviceGetCount")
    if not 0 <= index < count:
        raise Unavailable("cuda", f"expected GPU {index}, got {count} in total", "set gpu, the first is 0")
    device = driver.number("cuDeviceGet", index)
    major, minor = (driver.number("cuDeviceGetAttribute", number, device) for number in COMPUTE_CAPABILITY)
    multiprocessors = driver.number("cuDeviceGetAttribute", MULTIPROCESSORS, device)
    version = driver.number("cuDriverGetVersion")
    cuda_version = version // 1000, version % 1000 // 10
    return Gpu(index, driver.name(device), (major, minor), driver.memory_bytes(device), cuda_version, multiprocessors)


class _Driver:
    """Library of the driver. A failed call raises Unavailable."""

    def __init__(self, library: str) -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise Unavailable(
                "cuda",
                f"expected an NVIDIA driver, got none ({error})",
                f"install the NVIDIA driver; on a Jetson it is part of JetPack; {EXPOSE}",
            ) from error

    def call(self, name: str, *arguments: Any) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise Unavailable("cuda", f"expected {name} in the driver, got: {error}", "update the driver") from error
        code = function(*arguments)
        if code:
            fix = FIXES.get(code, "check that nvidia-smi works; restart the machine or update the driver")
            raise Unavailable("cuda", f"expected success of {name}, got {self._error_name(code)}", fix)

    def number(self, name: str, *arguments: int) -> int:
        number = ctypes.c_int()
        self.call(name, ctypes.byref(number), *arguments)
        return number.value

    def name(self, device: int) -> str:
        text = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", text, len(text), device)
        return text.value.decode(errors="replace")

    def memory_bytes(self, device: int) -> int:
        size = ctypes.c_size_t()
        self.call("cuDeviceTotalMem_v2", ctypes.byref(size), device)
        return size.value

    def _error_name(self, code: int) -> str:
        text = ctypes.c_char_p()
        known = hasattr(self._library, "cuGetErrorName") and not self._library.cuGetErrorName(code, ctypes.byref(text))
        return f"{text.value.decode()} ({code})" if known and text.value else f"error {code}"
