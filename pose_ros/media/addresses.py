"""Recognise the addresses of streams and cameras, and hide their passwords. An address is never a path."""

from __future__ import annotations

import re

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt", "tcp")
"""Protocols of live streams. Their frames cannot be read later."""
FILE_SCHEMES = ("http", "https")
"""Protocols of files and of live streams."""
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_DEVICE = re.compile(r"/dev/video\d+")
_WRITTEN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/+)(.*)", re.DOTALL)
"""An address, also as a path, which has lost the second slash."""
_USER = re.compile(r"^([^/?#]*|[^/?#\[]*:.*)@", re.DOTALL)
"""User and password. A password may have a slash or a question mark, although it should be escaped."""
_HIDDEN = "***"


def is_address(text: str) -> bool:
    """Whether a text is an address such as ``rtsp://camera/stream``, also of an unknown protocol."""
    return _ADDRESS.match(text) is not None


def is_device(text: str) -> bool:
    """Whether a text is a camera: a number, or ``/dev/video0``."""
    return text.isdecimal() or _DEVICE.fullmatch(text) is not None


def check_address(address: str) -> str:
    """Return the protocol of an address, in lower case.

    Raises:
        ValueError: If it is not one of ``LIVE_SCHEMES`` and ``FILE_SCHEMES``.
    """
    found = _ADDRESS.match(address)
    scheme = found[1].lower() if found else ""
    if scheme not in (*LIVE_SCHEMES, *FILE_SCHEMES):
        expected = ", ".join(f"{name}://" for name in (*LIVE_SCHEMES, *FILE_SCHEMES))
        raise ValueError(f"source: expected a file, or an address with {expected}, got {hide_secrets(address)}")
    return scheme


def hide_secrets(address: str) -> str:
    """Return an address without user, password and query, for logs and errors. Other texts are unchanged."""
    found = _WRITTEN.match(address)
    if found is None:
        return address
    rest = _USER.sub(f"{_HIDDEN}@", found[2])
    place, mark, _ = rest.partition("?")
    return f"{found[1]}{place}{mark}{_HIDDEN if mark else ''}"
