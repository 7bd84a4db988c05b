"""Keep the lines that image codecs print off the terminal.

libpng, libjpeg and FFmpeg print through the C variable ``stderr``, and OpenCV through its log. Both are changed while
a codec runs. What other threads print meanwhile appears afterwards.

Source:
    GNU C Library manual, 12.2: ``stderr`` is a variable that programs may set.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

_CODEC_LINE = re.compile(
    rb"libpng |Corrupt JPEG data|Premature end of JPEG|Invalid (SOS|JPEG|progressive|component|crop|arithmetic)|"
    rb"Inconsistent progression|Unknown (Adobe|JFIF)|Application transferred|Unsupported (marker|JPEG)|Warning: |"
    rb"_?(TIFF|JPEG|OJPEG|LZW|ZIP|Fax|Pack|PixarLog|Predictor)\w*[:, ]|\[[\w,.]+ @ 0x|\[ ?(WARN|ERROR|INFO):\d"
)
"""Start of a line of a codec, or of OpenCV."""


class _Stderr:
    """The C variable ``stderr``, with a stream in memory for use while codecs run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._libc = libc = ctypes.CDLL(None)
        self._variable = ctypes.c_void_p.in_dll(libc, "stderr")
        self._terminal = self._variable.value
        self._text, self._size = ctypes.c_void_p(), ctypes.c_size_t()
        libc.open_memstream.restype = ctypes.c_void_p
        self._memory = libc.open_memstream(ctypes.byref(self._text), ctypes.byref(self._size))
        os.register_at_fork(after_in_child=self._restore)

    def hide(self) -> None:
        with self._lock:
            self._users += 1
            self._variable.value = self._memory

    def show(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._variable.value = self._terminal
            text = self._take_text()
        others = b"".join(line for line in text.splitlines(True) if not _CODEC_LINE.match(line))
        if others:
            self._libc.fwrite(others, ctypes.c_size_t(1), ctypes.c_size_t(len(others)), ctypes.c_void_p(self._terminal))

    def _take_text(self) -> bytes:
        memory = ctypes.c_void_p(self._memory)
        self._libc.flockfile(memory)
        try:
            self._libc.fflush(memory)
            text = ctypes.string_at(self._text, self._size.value)
            self._libc.fseek(memory, ctypes.c_long(0), ctypes.c_int(os.SEEK_SET))
        finally:
            self._libc.funlockfile(memory)
        return text

    def _restore(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._variable.value = self._terminal


class _Log:
    """The log of OpenCV."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._level = 0
        self._logging: Any = getattr(getattr(cv2, "utils", None), "logging", None)
        if not hasattr(self._logging, "setLogLevel"):  # before OpenCV 5
            self._logging = cv2 if hasattr(cv2, "setLogLevel") else None

    def hide(self) -> None:
        with self._lock:
            if self._users == 0 and self._logging is not None:
                self._level = self._logging.getLogLevel()
                self._logging.setLogLevel(0)
            self._users += 1

    def show(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._logging is not None:
                self._logging.setLogLevel(self._level)


_OUTPUTS: list[_Log | _Stderr] = [_Log()]
if platform.libc_ver()[0] == "glibc":
    _OUTPUTS.append(_Stderr())


@contextmanager
def hide_codec_lines() -> Iterator[None]:
    """Hide what codecs print, in all threads."""
    for output in _OUTPUTS:
        output.hide()
    try:
        yield
    finally:
        for output in _OUTPUTS:
            output.show()
