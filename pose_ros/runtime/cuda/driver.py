"""The NVIDIA GPUs of this machine, asked of the driver alone.

TensorRT ends the process if any of its objects is made without a working driver, so this question comes first. It is
asked through ctypes: a machine without a driver gets an exception, and nothing has to be installed to ask.
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
EXPOSE = "in Docker, run with --gpus all, on a Jetson with --runtime nvidia"
FIXES = {
    3: "CUDA does not survive a fork: start worker processes with the method spawn",
    34: "libcuda.so.1 is the toolkit's stub: take its folder out of LD_LIBRARY_PATH",
    100: f"check that nvidia-smi lists a GPU and that CUDA_VISIBLE_DEVICES does not hide it; {EXPOSE}",
    802: "the GPUs are still starting, or need the service nvidia-fabricmanager",
    803: "restart the machine: its driver was updated while in use, or differs from the libcuda.so.1 found",
    804: "take a CUDA, or a Docker image, that this driver supports, or update the driver",
}
"""What helps against an error of the driver, by CUDA's number of it."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU, as the driver describes it.

    Attributes:
        index: Its number among those that CUDA_VISIBLE_DEVICES shows.
        name: Such as "Orin" or "NVIDIA GeForce RTX 4070".
        compute_capability: Major and minor number of its architecture.
        memory_bytes: All of its memory; on a Jetson it is shared with the CPU.
        cuda_version: Newest CUDA that the driver supports, major and minor.
        multiprocessors: That may work; some power modes of a Jetson switch some off.
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
        """What an engine depends on: all of NVIDIA's Orin boards have one name and one compute capability.

        Clocks are not part of it: an engine is right at any, if not the fastest.
        """
        return f"{self.name}, {self.multiprocessors} multiprocessors, {round(self.memory_bytes / 2**30)} GiB"


def find_gpu(index: int = 0, library: str = DRIVER) -> Gpu:
    """Ask the driver for a GPU. Makes no context and allocates nothing on it.

    Args:
        index: Which of several.
        library: The driver's library, by name or path.

    Raises:
        Unavailable: If there is no driver, it does not work, or it has no such GPU. It tells what to do.
    """
    driver = _Driver(library)
    driver.call("cuInit", 0)
    count = driver.number("cuDeviceGetCount")
    if not 0 <= index < count:
        raise Unavailable("cuda", f"expected GPU {index}, got {count} in all", "choose another (gpu); the first is 0")
    device = driver.number("cuDeviceGet", index)
    major, minor = (driver.number("cuDeviceGetAttribute", number, device) for number in COMPUTE_CAPABILITY)
    multiprocessors = driver.number("cuDeviceGetAttribute", MULTIPROCESSORS, device)
    version = driver.number("cuDriverGetVersion")
    cuda_version = version // 1000, version % 1000 // 10
    return Gpu(index, driver.name(device), (major, minor), driver.memory_bytes(device), cuda_version, multiprocessors)


class _Driver:
    """The driver's library; what it refuses is Unavailable."""

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
