"""Which requests a page of this machine answers.

Any web site can have a browser connect to a port of this machine. It can also give a name of its own the address of
this machine, and is then of one origin with what it finds there: DNS rebinding. So a request must call this machine by
a name that nobody else can point here, and a WebSocket must be opened by the page itself.

References:
    RFC 6455, 10.2 (the Origin header); RFC 9110, 7.2 (the Host header).
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit


def names_this_machine(host: str, served_at: str) -> bool:
    """Whether a Host header names this machine: by number, as localhost, by its own name, or as it is served.

    Args:
        host: The header, with or without a port.
        served_at: The name or address that the server was told to listen at.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    own = socket.gethostname().lower()
    return bool(name) and (_is_number(name) or name in {"localhost", own, f"{own}.local", served_at.lower()})


def is_same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header is that of a page that came from this Host."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _is_number(name: str) -> bool:
    """Whether it is an address that no name server is asked about."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
