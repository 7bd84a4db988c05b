"""Test the live page without ROS: requests, updates, and the page in a browser."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="needs aiohttp")

import aiohttp
from chromium import Browser

from pose_ros.live import page as live_page
from pose_ros.live.board import Board, CameraBoard, PoseSample
from pose_ros.live.page import LivePage

TIMEOUT_S = 120
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
ODD = 'a b & "c" <img src=x onerror="document.title=1"><script>document.title=1</script>'


class Clock:
    """Clock with a time that the test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def jpeg(grey: int = 128) -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), grey, np.uint8))[1].tobytes()


# Requests and updates -----------------------------------------------------------------------------------------------

Use = Callable[[LivePage, str, Any], Awaitable[None]]


def serve_page(use: Use, heartbeat_s: float = 20.0) -> None:
    """Serve a page while ``use(page, address, session)`` runs in the same event loop."""

    async def run() -> None:
        page = LivePage(Board(["/pose_estimator/poses"]), heartbeat_s)
        session = aiohttp.ClientSession(trust_env=False)
        async with page.serve(port=0) as address, session:
            await use(page, address, session)

    asyncio.run(asyncio.wait_for(run(), TIMEOUT_S))


async def connect(session: Any, address: str) -> Any:
    return await session.ws_connect(f"{address}/live", origin=address)


async def ask(connection: Any) -> tuple[dict[str, Any], list[bytes]]:
    """Request an update. Return its statistics, which must be strict JSON, and its images."""
    await connection.send_str("news?")
    update = json.loads(await connection.receive_str(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return update, [await connection.receive_bytes() for _ in update["pictures"]]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("path", "kind", "holds"),
    [("/", "text/html", b"<title>"), ("/page.js", "text/javascript", b"WebSocket"), ("/page.css", "text/css", b"dark")],
)
def test_the_files_of_the_page(path: str, kind: str, holds: bytes) -> None:
    async def use(_: LivePage, address: str, session: Any) -> None:
        async with session.get(address + path) as answer:
            assert answer.status == 200 and answer.content_type == kind and holds in await answer.read()
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy

    serve_page(use)


@pytest.mark.parametrize(
    "path", ["/live_page.py", "/../live_page.py", "/%2e%2e/live_page.py", "/page/", "/favicon.ico"]
)
def test_other_paths_are_not_found(path: str) -> None:
    async def use(_: LivePage, address: str, session: Any) -> None:
        from yarl import URL

        async with session.get(URL(address + path, encoded=True)) as answer:
            assert answer.status == 404

    serve_page(use)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        pytest.param("/", {"Host": "evil.example"}, 403, id="rebound name"),
        pytest.param("/live", {"Host": "evil.example:80", "Origin": "http://evil.example:80"}, 403, id="rebound page"),
        pytest.param("/live", {"Origin": "http://evil.example"}, 403, id="another site"),
        pytest.param("/live", {"Origin": "null"}, 403, id="file or frame"),
        pytest.param("/live", {}, 403, id="no page"),
        pytest.param("/live", {"Host": "localhost:80", "Origin": "http://localhost:80"}, 101, id="own page by name"),
    ],
)
def test_requests_of_other_sites_are_rejected(path: str, headers: dict[str, str], status: int) -> None:
    async def use(_: LivePage, address: str, session: Any) -> None:
        async with session.get(address + path, headers=UPGRADE | headers) as answer:
            assert answer.status == status

    serve_page(use)


def test_an_update_contains_only_new_data() -> None:
    async def use(page: LivePage, address: str, session: Any) -> None:
        clock = Clock()
        page.board.clock = clock
        connection = await connect(session, address)
        update, images = await ask(connection)
        assert (update["topics"], update["cameras"], images) == (["/pose_estimator/poses"], [], [])
        camera = page.board.camera("front")
        camera.add(PoseSample(2, latency_ms=math.nan, size_wh=(64, 48), model="toy"))
        camera.set_image(jpeg())
        clock.now_s += 1
        update, images = await ask(connection)
        assert update["cameras"][0]["rows"] == [[1000, 1, 0, 2, None, 0.0]]
        assert (update["cameras"][0]["people"], update["pictures"], images) == (2, ["front"], [jpeg()])
        update, images = await ask(connection)
        assert (update["cameras"][0]["rows"], images) == ([], [])
        other = await connect(session, address)  # for a second page all data are new
        update, images = await ask(other)
        assert len(update["cameras"][0]["rows"]) == 1 and images == [jpeg()]

    serve_page(use)


def test_a_slow_page_gets_only_the_newest_image_and_delays_no_other_page() -> None:
    async def use(page: LivePage, address: str, session: Any) -> None:
        camera = page.board.camera("front")
        slow, fast = await connect(session, address), await connect(session, address)
        for grey in range(100, 110):
            camera.set_image(jpeg(grey))
            assert (await ask(fast))[1] == [jpeg(grey)]
        assert (await ask(slow))[1] == [jpeg(109)]

    serve_page(use)


def test_an_image_is_wanted_after_a_request() -> None:
    async def use(page: LivePage, address: str, session: Any) -> None:
        camera = page.board.camera("front")
        assert not camera.is_wanted and not page.is_watched
        connection = await connect(session, address)
        asking = asyncio.ensure_future(ask(connection))
        await until(lambda: asyncio.sleep(0, camera.is_wanted))
        assert page.is_watched
        page.call(camera.set_image, jpeg())
        assert (await asking)[1] == [jpeg()]
        assert not camera.is_wanted

    serve_page(use)


def test_the_number_of_pages_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "MAX_PAGES", 3)

    async def use(_: LivePage, address: str, session: Any) -> None:
        pages = [await connect(session, address) for _ in range(3)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(session, address)
        assert refused.value.status == 503
        await pages[0].close()
        await until(lambda: is_admitted(session, address))

    serve_page(use)


async def is_admitted(session: Any, address: str) -> bool:
    try:
        await (await connect(session, address)).close()
    except aiohttp.WSServerHandshakeError:
        return False
    return True


async def open_stuck_page(address: str, is_asking: bool) -> asyncio.StreamWriter:
    """Open a page that reads no data."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    headers = {"Host": address.removeprefix("http://"), "Origin": address, **UPGRADE}
    lines = ["GET /live HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()
    if is_asking:
        writer.write(b"\x81\x80\0\0\0\0")  # an empty text message
    return writer


@pytest.mark.parametrize("is_asking", [False, True], ids=["no request", "unread update"])
def test_a_stuck_connection_is_closed(is_asking: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "MAX_PAGES", 1)

    async def use(page: LivePage, address: str, session: Any) -> None:
        page.board.camera("front").set_image(bytes(50_000_000))  # more than the socket buffers hold
        writer = await open_stuck_page(address, is_asking)
        assert not await is_admitted(session, address)
        await until(lambda: is_admitted(session, address))
        writer.close()

    serve_page(use, heartbeat_s=0.4)


@pytest.mark.parametrize("message", ["news?" * 1000, b"\0" * 1000], ids=["text", "bytes"])
def test_a_page_with_large_messages_is_disconnected(message: Any) -> None:
    async def use(_: LivePage, address: str, session: Any) -> None:
        connection = await connect(session, address)
        await (connection.send_str if isinstance(message, str) else connection.send_bytes)(message)
        assert (await connection.receive()).type == aiohttp.WSMsgType.CLOSE
        assert connection.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        assert (await ask(await connect(session, address)))[0]["cameras"] == []

    serve_page(use)


def test_many_idle_connections_do_not_block_a_page() -> None:
    async def use(_: LivePage, address: str, session: Any) -> None:
        port = int(address.rpartition(":")[2])
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        idle[0][1].write(b"GET / HTTP/1.1\r\nHost:")
        idle[1][1].write(b"\x16\x03\x01\0\xff\0 no HTTP\r\n\r\n")
        assert (await ask(await connect(session, address)))[0]["cameras"] == []
        for _, writer in idle:
            writer.close()

    serve_page(use)


def test_open_pages_do_not_delay_the_shutdown() -> None:
    async def run() -> LivePage:
        page = LivePage(Board())
        page.board.camera("front").set_image(bytes(50_000_000))
        async with aiohttp.ClientSession(trust_env=False) as session:
            async with page.serve(port=0) as address:
                stuck = await open_stuck_page(address, is_asking=True)
                connection = await connect(session, address)
                await until(lambda: asyncio.sleep(0, page.is_watched))
            assert (await connection.receive()).type == aiohttp.WSMsgType.CLOSE
            stuck.close()
        return page

    page = asyncio.run(asyncio.wait_for(run(), TIMEOUT_S))
    page.call(page.board.camera, "late")  # its loop is closed
    assert list(page.board.cameras) == ["front"]


def test_a_port_in_use_is_reported() -> None:
    async def use(_: LivePage, address: str, __: Any) -> None:
        port = int(address.rpartition(":")[2])
        with pytest.raises(OSError, match=f"got 127.0.0.1 port {port}: .*in use"):
            async with LivePage(Board()).serve(port=port):
                pytest.fail("the port is in use")

    serve_page(use)


# Page in a browser --------------------------------------------------------------------------------------------------


def shows(text: str) -> str:
    """Return the expression that is true if the page shows a text."""
    return f"document.body.innerText.includes({json.dumps(text)})"


def test_a_browser_shows_special_characters_as_text_and_survives_broken_images(tmp_path: Path) -> None:
    def drive(page: LivePage, address: str, good: CameraBoard, odd: CameraBoard) -> None:
        browser.open(address)
        browser.until("document.querySelectorAll('article').length === 2", "both cameras are shown")
        page.call(odd.add, PoseSample(2, latency_ms=math.nan, model=ODD, size_wh=(1, 1)))
        page.call(odd.set_image, b"\xff\xd8\xff no image")
        page.call(setattr, good, "note", ODD)
        browser.until(shows(f"px · {ODD}"), "the model name is shown unchanged")
        browser.until(shows("cannot be decoded"), "the broken image is reported")
        page.call(odd.set_image, jpeg(200))
        pixel = "document.querySelectorAll('canvas')[1].getContext('2d').getImageData(9, 9, 1, 1).data[0]"
        browser.until(f"Math.abs({pixel} - 200) < 4", "the next image is drawn")
        browser.until("!" + shows("cannot be decoded"), "the report disappears")
        assert browser.js("document.title") == "2 people – pose_ros"
        assert browser.js("document.querySelectorAll('.name')[1].textContent") == ODD
        assert browser.js("document.querySelectorAll('article img, article script').length") == 0
        assert browser.errors() == []

    async def run() -> None:
        page = LivePage(Board())
        good, odd = page.board.camera("front"), page.board.camera(ODD)
        good.publishers = odd.publishers = 1
        async with page.serve(port=0) as address:
            await asyncio.to_thread(drive, page, address, good, odd)

    with Browser(tmp_path) as browser:
        asyncio.run(asyncio.wait_for(run(), 6 * TIMEOUT_S))


def test_a_page_reports_a_lost_server_and_finds_the_next_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with LivePage(Board(["/a/poses"])).serve(port=0) as address:
            port = int(address.rpartition(":")[2])
            await asyncio.to_thread(browser.open, address)
            await asyncio.to_thread(browser.until, shows("waiting for /a/poses"), "the page waits for a camera")
        await asyncio.to_thread(browser.until, shows("no connection"), "the lost server is reported")
        async with LivePage(Board(["/b/poses"])).serve(port=port):
            await asyncio.to_thread(browser.until, shows("waiting for /b/poses"), "the page shows the new server")

    with Browser(tmp_path) as browser:
        asyncio.run(asyncio.wait_for(run(), 6 * TIMEOUT_S))
