"""What all objects of the fake TensorRT have in common."""

from __future__ import annotations

import threading
from enum import IntEnum
from typing import Any


class Missing:
    """A member that a version has not."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError(self.name)

    def __set__(self, instance: object, value: object) -> None:
        raise AttributeError(self.name)


class ILogger:
    """What hears TensorRT."""

    Severity = IntEnum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4})


class Object:
    """Something of TensorRT: its making, its end and the threads that touch it are recorded."""

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
