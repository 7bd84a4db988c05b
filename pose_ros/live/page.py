"""Serve a live web page of the cameras on a board.

The page requests an update over a WebSocket. The answer is one text message, followed by binary messages. The text is
JSON with the statistics and the names of the cameras with a new image. Each binary message is one of these images. The
page draws the update and requests the next one. So at most one update is in progress: a slow page gets fewer images
but no old ones, and a hidden page requests nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

from aiohttp import WSCloseCode, web

from pose_ros.live.access import is_same_origin, names_this_machine
from pose_ros.live.board import HISTORY_S, Board, CameraBoard
from pose_ros.live.connections import Connections, RareReports, ReportLine
from pose_ros.texts import printable

PAGE = Path(__file__).with_name("static")
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
MAX_PAGES = 64
PERIOD_S = 0.25
"""Longest time until a request is answered, also without a new image, seconds."""
WATCHED_S = 10.0
"""A page without a request for this time is not watched, seconds."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CLOSE_S = 1.0
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_SentCounts = dict[CameraBoard, tuple[int, int]]
"""Last second and last image count of each camera that a page received."""


class LivePage:
    """Server of a live page. The page and its board belong to the event loop of the server. Other threads use ``call``.

    Attributes:
        board: Cameras to show.
    """

    def __init__(self, board: Board, heartbeat_s: float = 20.0, report: ReportLine = lambda text: None) -> None:
        """Prepare the page. Call this in its event loop.

        Args:
            board: Cameras to show.
            heartbeat_s: Interval of the WebSocket pings, and longest time to receive an update, seconds. A browser that
                does not respond is disconnected.
            report: Called with one line of text for problems of the server, rarely.
        """
        self.board = board
        self._connections = Connections(report)
        self._logger = _make_logger(report)
        self._heartbeat_s = heartbeat_s
        self._loop = asyncio.get_running_loop()
        self._update_event = asyncio.Event()
        self._sockets: set[web.WebSocketResponse] = set()
        self._request_s = -math.inf
        self._host = ""

    @property
    def is_watched(self) -> bool:
        """Whether a browser shows the page. Any thread may read it."""
        return self.board.clock() - self._request_s < WATCHED_S

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 8080) -> AsyncIterator[str]:
        """Serve the page until the ``with`` block ends. The value of the block is the address of the page.

        Args:
            host: Name or address to listen on. 0.0.0.0 = all networks of this machine.
            port: TCP port. 0 = any free port.

        Raises:
            OSError: If the address does not exist, or the port is in use.
        """
        self._host = host
        runner = web.AppRunner(
            self._make_application(), access_log=None, shutdown_timeout=_CLOSE_S, logger=self._logger
        )
        await runner.setup()
        make_protocol = cast(web.Server, runner.server)  # present after the set-up
        try:
            async with self._connections.listen(make_protocol, host, port) as used_port:
                yield _address(host, used_port)
        finally:
            await runner.cleanup()

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function that changes the board in the event loop. For other threads. No effect after the end."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._run_change, function, arguments)

    def _run_change(self, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        function(*arguments)
        self._update_event.set()
        self._update_event = asyncio.Event()

    def _make_application(self) -> web.Application:
        application = web.Application(middlewares=[self._check_host])
        application.router.add_get("/live", self._handle_live)
        for path, (name, content_type) in FILES.items():
            application.router.add_get(path, _file_handler((PAGE / name).read_bytes(), content_type))
        application.on_response_prepare.append(_add_headers)
        application.on_shutdown.append(self._close_sockets)
        return application

    @web.middleware
    async def _check_host(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not names_this_machine(request.headers.get("Host", ""), self._host):
            raise web.HTTPForbidden(text="Host: expected a name of this machine, got another one; use its IP address\n")
        return await handler(request)

    async def _handle_live(self, request: web.Request) -> web.StreamResponse:
        if not is_same_origin(request.headers.get("Origin", ""), request.headers.get("Host", "")):
            raise web.HTTPForbidden(text="Origin: expected a page of this server, got another one\n")
        if len(self._sockets) >= MAX_PAGES:
            raise web.HTTPServiceUnavailable(
                text=f"pages: expected at most {MAX_PAGES} open pages, got one more; close one\n"
            )
        self._connections.mark_as_page(request.transport)
        connection = web.WebSocketResponse(heartbeat=self._heartbeat_s, max_msg_size=64, timeout=_CLOSE_S)
        self._sockets.add(connection)
        try:
            await connection.prepare(request)
            await self._answer_messages(connection)
        except (ConnectionError, asyncio.TimeoutError):  # the browser is gone or does not respond
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._sockets.discard(connection)
        return connection

    async def _answer_messages(self, connection: web.WebSocketResponse) -> None:
        """Answer every message, whatever its content, with the changes since the last answer."""
        seen: _SentCounts = {}
        async for _ in connection:
            self._request_s = self.board.clock()
            await self._wait_for_update(seen)
            await asyncio.wait_for(_send(connection, *self._make_update(seen)), self._heartbeat_s)

    async def _wait_for_update(self, seen: _SentCounts) -> None:
        """Wait for an image that this page has not received, or for the end of the period."""
        end_s = self._loop.time() + PERIOD_S
        while (left_s := end_s - self._loop.time()) > 0:
            if any(_is_new(camera, seen) for camera in self.board.cameras.values()):
                return
            for camera in self.board.cameras.values():
                camera.is_wanted = True
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._update_event.wait(), left_s)

    def _make_update(self, seen: _SentCounts) -> tuple[str, list[bytes]]:
        """Make the next update of a page: the statistics as JSON, and the new images."""
        current = list(self.board.cameras.values())
        new = [camera for camera in current if _is_new(camera, seen)]
        for camera in seen.keys() - set(current):
            del seen[camera]
        cameras = []
        for camera in current:
            second, _ = seen.get(camera, (-1, 0))
            rows = camera.rows_after(second)
            seen[camera] = (rows[-1][0] if rows else second, camera.image_count)
            cameras.append({**camera.describe(), "rows": rows})
        update: dict[str, Any] = {
            "topics": self.board.topics,
            "second": int(self.board.clock()),
            "history_s": HISTORY_S,
            "cameras": cameras,
            "pictures": [camera.name for camera in new],
        }
        return json.dumps(update, allow_nan=False), [camera.image for camera in new]

    async def _close_sockets(self, _: web.Application) -> None:
        closing = [s.close(code=WSCloseCode.GOING_AWAY, message=b"the server stops") for s in self._sockets]
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), _CLOSE_S)


def _file_handler(content: bytes, content_type: str) -> _Handler:
    async def send_file(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=content_type, charset="utf-8")

    return send_file


async def _send(connection: web.WebSocketResponse, text: str, images: list[bytes]) -> None:
    await connection.send_str(text)
    for image in images:
        await connection.send_bytes(image)


def _make_logger(report: ReportLine) -> logging.Logger:
    """Make a logger for aiohttp. It reports an error in one line, rarely: any client can cause one."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            rarely(printable(f"{record.getMessage()}: {error}" if error else record.getMessage()))

    rarely, logger = RareReports(report), logging.Logger("pose_ros.live", logging.WARNING)
    logger.addHandler(Handler())
    return logger


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    if not isinstance(response, web.WebSocketResponse):
        response.headers["Connection"] = "close"
        response.force_close()


def _is_new(camera: CameraBoard, seen: _SentCounts) -> bool:
    return bool(camera.image) and camera.image_count > seen.get(camera, (0, 0))[1]


def _address(host: str, port: int) -> str:
    name = socket.gethostname() if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"
