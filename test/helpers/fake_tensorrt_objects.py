"""Base classes of the fake TensorRT."""

from __future__ import annotations

import threading
from enum import IntEnum
from typing import Any


class Missing:
    """Member that a version of TensorRT lacks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError(self.name)

    def __set__(self, instance: object, value: object) -> None:
        raise AttributeError(self.name)


class ILogger:
    """Base class of loggers."""

    Severity = IntEnum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4})


class Object:
    """Base class of TensorRT objects. Creation, release and the threads that use it are recorded."""

    __slots__ = ("__weakref__",)
    trt: Any

    def __init__(self) -> None:
        self.trt.machine.note(f"+{type(self).__name__}")

    def __del__(self) -> None:
        self.trt.machine.note(f"-{type(self).__name__}")

    def __getattribute__(self, name: str) -> Any:
        object.__getattribute__(self, "trt").machine.threads.add(threading.get_ident())
        return object.__getattribute__(self, name)


class IHostMemory(Object):
    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data
