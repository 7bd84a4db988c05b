"""Accept the connections of a server, within limits.

A connection either becomes a page (a WebSocket), or is closed after ``REQUEST_S``. So clients that send nothing, send
slowly or read slowly occupy no connection for long. If there are too many, the oldest one that is no page is closed.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from pose_ros.texts import printable

REQUEST_S = 10.0
"""Longest life of a connection that is no page, seconds."""
MAX_CONNECTIONS = 128
MAX_CLIENT_CONNECTIONS = 40
"""Most connections of one client. All addresses of an IPv6 network of 64 bits are one client."""
BACKLOG = 128
RETRY_S = 0.5
"""Pause after an accept that failed, seconds. The client is usually served after it."""
REPORT_PERIOD_S = 60.0
_CLIENT_IS_GONE = (errno.ECONNABORTED, errno.EPROTO, errno.ECONNRESET)

ReportLine = Callable[[str], None]


class RareReports:
    """Passes on at most one report per ``REPORT_PERIOD_S``, with the number of those left out."""

    def __init__(self, report: ReportLine) -> None:
        self._report = report
        self._next_s, self._left_out = 0.0, 0

    def __call__(self, text: str) -> None:
        """ReportLine a line of text, or count it."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            self._left_out += 1
            return
        more = f" ({self._left_out} more reports since the last one)" if self._left_out else ""
        self._next_s, self._left_out = now_s + REPORT_PERIOD_S, 0
        self._report(f"{text}{more}")


class _Connection:
    """An open connection.

    Attributes:
        client: Address of the client, or its IPv6 network.
        transport: Its transport.
        is_page: Whether it is a page. A page has no time limit here.
    """

    def __init__(self, client: str, transport: asyncio.Transport) -> None:
        self.client, self.transport, self.is_page = client, transport, False


class Connections:
    """Open connections of a server. All methods run in its event loop."""

    def __init__(self, report: ReportLine) -> None:
        """Prepare a server.

        Args:
            report: Called with one line of text for problems, rarely.
        """
        self._report = RareReports(report)
        self._open: dict[asyncio.BaseTransport, _Connection] = {}  # the oldest first

    @asynccontextmanager
    async def listen(self, make_protocol: Callable[[], Any], host: str, port: int) -> AsyncIterator[int]:
        """Accept connections until the block ends. The value of the block is the port.

        Args:
            make_protocol: Makes the protocol of a connection.
            host: Name or address to listen on. 0.0.0.0 = all networks of this machine.
            port: TCP port. 0 = any free port.

        Raises:
            OSError: If the address does not exist, or the port is in use.
        """
        try:
            listeners = await _open_listeners(host, port)
        except OSError as error:
            number = error.errno or 0  # negative if a name lookup failed
            why = os.strerror(number).lower() if number > 0 else str(error.strerror)
            raise OSError(f"address: expected a free address of this machine, got {host} port {port}: {why}") from error
        tasks = [asyncio.ensure_future(self._accept_all(each, make_protocol)) for each in listeners]
        try:
            yield listeners[0].getsockname()[1]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for listener in listeners:
                listener.close()

    def mark_as_page(self, transport: asyncio.BaseTransport | None) -> None:
        """Keep a connection open without a time limit."""
        if transport in self._open:
            self._open[transport].is_page = True

    async def _accept_all(self, listener: socket.socket, make_protocol: Callable[[], Any]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno not in _CLIENT_IS_GONE:  # no file descriptor is free
                    self._report(f"cannot accept connections now: {error.strerror}; {len(self._open)} are open")
                    self._close_oldest(list(self._open.values()))
                    await asyncio.sleep(RETRY_S)
                continue
            if not self._make_room(_client(address)):
                accepted.close()
                continue
            try:
                transport, _ = await loop.connect_accepted_socket(make_protocol, accepted)
            except OSError:  # the client is gone
                accepted.close()
                continue
            self._open[transport] = _Connection(_client(address), transport)
            loop.call_later(REQUEST_S, self._expire, transport)

    def _make_room(self, client: str) -> bool:
        """Close the oldest connection that is no page if there are too many. Return False if all are pages."""
        self._open = {transport: each for transport, each in self._open.items() if not _is_closed(transport)}
        ours = [each for each in self._open.values() if each.client == client]
        if len(ours) >= MAX_CLIENT_CONNECTIONS:
            self._report(f"{printable(client)}: closing connections, because more than {len(ours)} are open")
            return self._close_oldest(ours)
        if len(self._open) >= MAX_CONNECTIONS:
            self._report(f"closing connections, because more than {len(self._open)} are open")
            return self._close_oldest(list(self._open.values()))
        return True

    def _close_oldest(self, connections: list[_Connection]) -> bool:
        oldest = next((each for each in connections if not each.is_page), None)
        if oldest is not None:
            self._close(oldest)
        return oldest is not None

    def _expire(self, transport: asyncio.BaseTransport) -> None:
        connection = self._open.get(transport)
        if connection is not None and not connection.is_page:
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        del self._open[connection.transport]
        connection.transport.abort()


async def _open_listeners(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of a host, on the same port."""
    loop, listeners = asyncio.get_running_loop(), []
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            same_port = port or listeners[0].getsockname()[1]
            listener.bind((address[0], same_port, *address[2:]))
            listener.listen(BACKLOG)
            listener.setblocking(False)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _is_closed(transport: asyncio.BaseTransport) -> bool:
    """Whether a connection is closed. A closing one may still wait for a slow reader."""
    return bool(transport.is_closing() and transport.get_extra_info("socket").fileno() < 0)


def _client(address: Any) -> str:
    """Return the address of a client without its port. IPv6 addresses of one network are one client."""
    with suppress(ValueError, IndexError):
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))
    return "unknown"
