"""A web page that shows a board of cameras while it changes.

A page asks for news over a WebSocket. The answer is one text message, JSON with the numbers and the names of the
cameras whose pictures follow, and one binary message for each of those. The page draws them, and asks again. So at
most one answer is under way: a slow page sees fewer pictures and no old ones, a hidden page asks for nothing.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, web

from pose_ros.live.access import is_same_origin, names_this_machine
from pose_ros.live.board import HISTORY_S, Board, CameraBoard

PAGE = Path(__file__).with_name("static")
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
MOST_PAGES = 64
PERIOD_S = 0.25
"""A page that asks has an answer after that long, also without a new picture."""
WATCHED_S = 10.0
"""A page that has not asked for so long is not watched."""

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
"""What a page has seen of each camera: its last second, its last picture."""


class LivePage:
    """Serves a board. It, and the board, belong to the event loop that serves; other threads use ``call``.

    Attributes:
        board: What is shown.
    """

    def __init__(self, board: Board, heartbeat_s: float = 20.0) -> None:
        """Prepare the page; in its event loop.

        Args:
            board: What is shown.
            heartbeat_s: How often a browser is asked whether it is still there, and how long it may take to receive an
                answer; one that does not react is cut off.
        """
        self.board = board
        self._heartbeat_s = heartbeat_s
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._sockets: set[web.WebSocketResponse] = set()
        self._asked_s = -math.inf
        self._host = ""

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks at it. Any thread may ask."""
        return self.board.clock() - self._asked_s < WATCHED_S

    @asynccontextmanager
    async def served(self, host: str = "127.0.0.1", port: int = 8080) -> AsyncIterator[str]:
        """Serve until the block ends; the value is the address of the page.

        Args:
            host: Name or address to listen at; 0.0.0.0 is every network of this machine.
            port: TCP port; 0 takes a free one.

        Raises:
            OSError: If there is no such address, or the port is taken.
        """
        self._host = host
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=_CLOSE_S)
        await runner.setup()
        try:
            await _listen(runner, host, port)
            yield _address(host, runner.addresses[0][1])
        finally:
            await runner.cleanup()

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Have the loop call a function that changes the board. For other threads; after the end it does nothing."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._change, function, arguments)

    def _change(self, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        function(*arguments)
        self._news.set()
        self._news = asyncio.Event()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._for_this_machine])
        application.router.add_get("/live", self._live)
        for path in FILES:
            application.router.add_get(path, _file)
        application.on_response_prepare.append(_add_headers)
        application.on_shutdown.append(self._say_goodbye)
        return application

    @web.middleware
    async def _for_this_machine(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not names_this_machine(request.headers.get("Host", ""), self._host):
            raise web.HTTPForbidden(text="Host: expected a name of this machine, got another; open it by its number\n")
        return await handler(request)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if not is_same_origin(request.headers.get("Origin", ""), request.headers.get("Host", "")):
            raise web.HTTPForbidden(text="Origin: expected a page of this server, got another\n")
        if len(self._sockets) >= MOST_PAGES:
            raise web.HTTPServiceUnavailable(text=f"expected at most {MOST_PAGES} open pages, got one more\n")
        connection = web.WebSocketResponse(heartbeat=self._heartbeat_s, max_msg_size=64, timeout=_CLOSE_S)
        self._sockets.add(connection)
        try:
            await connection.prepare(request)
            await self._converse(connection)
        except (ConnectionError, asyncio.TimeoutError):  # the browser has gone, or takes nothing any more
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._sockets.discard(connection)
        return connection

    async def _converse(self, connection: web.WebSocketResponse) -> None:
        """Answer every message, whatever it says, with the news since the last."""
        seen: _SentCounts = {}
        async for _ in connection:
            self._asked_s = self.board.clock()
            await self._until_news(seen)
            await asyncio.wait_for(_send(connection, *self._news_for(seen)), self._heartbeat_s)

    async def _until_news(self, seen: _SentCounts) -> None:
        """Wait for a picture that this page has not seen, or the end of the period."""
        end_s = self._loop.time() + PERIOD_S
        while (left_s := end_s - self._loop.time()) > 0:
            if any(_is_new(camera, seen) for camera in self.board.cameras.values()):
                return
            for camera in self.board.cameras.values():
                camera.is_wanted = True
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), left_s)

    def _news_for(self, seen: _SentCounts) -> tuple[str, list[bytes]]:
        """What a page has not seen: the numbers as JSON, and pictures."""
        shown = list(self.board.cameras.values())
        new = [camera for camera in shown if _is_new(camera, seen)]
        for camera in seen.keys() - set(shown):
            del seen[camera]
        cameras = []
        for camera in shown:
            second, _ = seen.get(camera, (-1, 0))
            rows = camera.rows_after(second)
            seen[camera] = (rows[-1][0] if rows else second, camera.pictures)
            cameras.append({**camera.describe(), "rows": rows})
        news: dict[str, Any] = {
            "topics": self.board.topics,
            "second": int(self.board.clock()),
            "history_s": HISTORY_S,
            "cameras": cameras,
            "pictures": [camera.name for camera in new],
        }
        return json.dumps(news, allow_nan=False), [camera.picture for camera in new]

    async def _say_goodbye(self, _: web.Application) -> None:
        closing = [s.close(code=WSCloseCode.GOING_AWAY, message=b"the server ends") for s in self._sockets]
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), _CLOSE_S)


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        number = error.errno or 0  # negative where it is the look-up of a name that has failed
        why = os.strerror(number).lower() if number > 0 else str(error.strerror)
        raise OSError(f"address: expected a free one of this machine, got {host} port {port}: {why}") from error


async def _send(connection: web.WebSocketResponse, text: str, pictures: list[bytes]) -> None:
    await connection.send_str(text)
    for picture in pictures:
        await connection.send_bytes(picture)


async def _file(request: web.Request) -> web.Response:
    name, content_type = FILES[request.path]
    return web.Response(body=(PAGE / name).read_bytes(), content_type=content_type, charset="utf-8")


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _is_new(camera: CameraBoard, seen: _SentCounts) -> bool:
    return bool(camera.picture) and camera.pictures > seen.get(camera, (0, 0))[1]


def _address(host: str, port: int) -> str:
    name = socket.gethostname() if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"
