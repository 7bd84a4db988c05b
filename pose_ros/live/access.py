"""Check which requests the live page may answer.

Any web site can make a browser connect to a port of this machine. A site can also point its own domain name to the
address of this machine. It then has the same origin as the page (DNS rebinding). So the Host header of a request must
be a name that other sites cannot point to this machine. In addition, only the page itself may open a WebSocket.

References:
    RFC 6455, 10.2 (the Origin header); RFC 9110, 7.2 (the Host header).
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit


def names_this_machine(host: str, served_at: str) -> bool:
    """Whether a Host header names this machine: IP address, localhost, host name, or the address that is served.

    Args:
        host: Host header, with or without a port.
        served_at: Name or address that the server listens on.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    host_name = socket.gethostname().lower()
    return bool(name) and (
        _is_ip_address(name) or name in {"localhost", host_name, f"{host_name}.local", served_at.lower()}
    )


def is_same_origin(origin: str, host: str) -> bool:
    """Whether the Origin header belongs to a page from the same Host."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _is_ip_address(name: str) -> bool:
    """Whether a name is an IP address, which needs no name lookup."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
