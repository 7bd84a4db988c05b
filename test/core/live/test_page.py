"""The live page without ROS: whom it answers, what it sends, and how it looks in a browser."""

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

TIMEOUT_S = 20
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
ODD = 'a b & "c" <img src=x onerror="document.title=1"><script>document.title=1</script>'


class Clock:
    """Time that a test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def jpeg(grey: int = 128) -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), grey, np.uint8))[1].tobytes()


# What it sends ------------------------------------------------------------------------------------------------------

Use = Callable[[LivePage, str, Any], Awaitable[None]]


def serving(use: Use, heartbeat_s: float = 20.0) -> None:
    """Serves a page while ``use(page, address, session)`` runs, in one loop."""

    async def run() -> None:
        page = LivePage(Board(["/pose_estimator/poses"]), heartbeat_s)
        session = aiohttp.ClientSession(trust_env=False)
        async with page.served(port=0) as address, session:
            await use(page, address, session)

    asyncio.run(asyncio.wait_for(run(), TIMEOUT_S))


async def connect(session: Any, address: str) -> Any:
    return await session.ws_connect(f"{address}/live", origin=address)


async def ask(connection: Any) -> tuple[dict[str, Any], list[bytes]]:
    """The news, which are strict JSON, and their pictures."""
    await connection.send_str("news?")
    news = json.loads(await connection.receive_str(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return news, [await connection.receive_bytes() for _ in news["pictures"]]


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

    serving(use)


@pytest.mark.parametrize(
    "path", ["/live_page.py", "/../live_page.py", "/%2e%2e/live_page.py", "/page/", "/favicon.ico"]
)
def test_there_is_nothing_else(path: str) -> None:
    async def use(_: LivePage, address: str, session: Any) -> None:
        from yarl import URL

        async with session.get(URL(address + path, encoded=True)) as answer:
            assert answer.status == 404

    serving(use)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        pytest.param("/", {"Host": "evil.example"}, 403, id="rebound name"),
        pytest.param("/live", {"Host": "evil.example:80", "Origin": "http://evil.example:80"}, 403, id="rebound page"),
        pytest.param("/live", {"Origin": "http://evil.example"}, 403, id="another site"),
        pytest.param("/live", {"Origin": "null"}, 403, id="a file or a frame"),
        pytest.param("/live", {}, 403, id="no page"),
        pytest.param("/live", {"Host": "localhost:80", "Origin": "http://localhost:80"}, 101, id="own page by name"),
    ],
)
def test_strangers_are_refused(path: str, headers: dict[str, str], status: int) -> None:
    async def use(_: LivePage, address: str, session: Any) -> None:
        async with session.get(address + path, headers=UPGRADE | headers) as answer:
            assert answer.status == status

    serving(use)


def test_news_hold_what_has_not_been_seen() -> None:
    async def use(page: LivePage, address: str, session: Any) -> None:
        clock = Clock()
        page.board.clock = clock
        connection = await connect(session, address)
        news, pictures = await ask(connection)
        assert (news["topics"], news["cameras"], pictures) == (["/pose_estimator/poses"], [], [])
        camera = page.board.camera("front")
        camera.add(PoseSample(2, latency_ms=math.nan, size_wh=(64, 48), model="toy"))
        camera.show(jpeg())
        clock.now_s += 1
        news, pictures = await ask(connection)
        assert news["cameras"][0]["rows"] == [[1000, 1, 0, 2, None, 0.0]]
        assert (news["cameras"][0]["people"], news["pictures"], pictures) == (2, ["front"], [jpeg()])
        news, pictures = await ask(connection)
        assert (news["cameras"][0]["rows"], pictures) == ([], [])
        other = await connect(session, address)  # for a second page all of it is news
        news, pictures = await ask(other)
        assert len(news["cameras"][0]["rows"]) == 1 and pictures == [jpeg()]

    serving(use)


def test_a_slow_page_gets_the_newest_picture_only_and_delays_nobody() -> None:
    async def use(page: LivePage, address: str, session: Any) -> None:
        camera = page.board.camera("front")
        slow, fast = await connect(session, address), await connect(session, address)
        for grey in range(100, 110):
            camera.show(jpeg(grey))
            assert (await ask(fast))[1] == [jpeg(grey)]
        assert (await ask(slow))[1] == [jpeg(109)]

    serving(use)


def test_a_picture_is_wanted_once_a_page_has_asked() -> None:
    async def use(page: LivePage, address: str, session: Any) -> None:
        camera = page.board.camera("front")
        assert not camera.is_wanted and not page.is_watched
        connection = await connect(session, address)
        asking = asyncio.ensure_future(ask(connection))
        await until(lambda: asyncio.sleep(0, camera.is_wanted))
        assert page.is_watched
        page.call(camera.show, jpeg())
        assert (await asking)[1] == [jpeg()]
        assert not camera.is_wanted

    serving(use)


def test_there_is_an_end_to_the_number_of_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "MOST_PAGES", 3)

    async def use(_: LivePage, address: str, session: Any) -> None:
        pages = [await connect(session, address) for _ in range(3)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(session, address)
        assert refused.value.status == 503
        await pages[0].close()
        await until(lambda: is_admitted(session, address))

    serving(use)


async def is_admitted(session: Any, address: str) -> bool:
    try:
        await (await connect(session, address)).close()
    except aiohttp.WSServerHandshakeError:
        return False
    return True


async def half_open(address: str, is_asking: bool) -> asyncio.StreamWriter:
    """A page that reads nothing any more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    headers = {"Host": address.removeprefix("http://"), "Origin": address, **UPGRADE}
    lines = ["GET /live HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()
    if is_asking:
        writer.write(b"\x81\x80\0\0\0\0")  # an empty text message
    return writer


@pytest.mark.parametrize("is_asking", [False, True], ids=["silent", "reads no answer"])
def test_a_half_open_connection_is_cut_off(is_asking: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "MOST_PAGES", 1)

    async def use(page: LivePage, address: str, session: Any) -> None:
        page.board.camera("front").show(bytes(50_000_000))  # more than the sockets hold
        writer = await half_open(address, is_asking)
        assert not await is_admitted(session, address)
        await until(lambda: is_admitted(session, address))
        writer.close()

    serving(use, heartbeat_s=0.4)


@pytest.mark.parametrize("message", ["news?" * 1000, b"\0" * 1000], ids=["text", "bytes"])
def test_a_talkative_page_is_closed(message: Any) -> None:
    async def use(_: LivePage, address: str, session: Any) -> None:
        connection = await connect(session, address)
        await (connection.send_str if isinstance(message, str) else connection.send_bytes)(message)
        assert (await connection.receive()).type == aiohttp.WSMsgType.CLOSE
        assert connection.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        assert (await ask(await connect(session, address)))[0]["cameras"] == []

    serving(use)


def test_many_idle_connections_are_in_nobodys_way() -> None:
    async def use(_: LivePage, address: str, session: Any) -> None:
        port = int(address.rpartition(":")[2])
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        idle[0][1].write(b"GET / HTTP/1.1\r\nHost:")
        idle[1][1].write(b"\x16\x03\x01\0\xff\0 no HTTP\r\n\r\n")
        assert (await ask(await connect(session, address)))[0]["cameras"] == []
        for _, writer in idle:
            writer.close()

    serving(use)


def test_open_pages_do_not_delay_the_end() -> None:
    async def run() -> LivePage:
        page = LivePage(Board())
        page.board.camera("front").show(bytes(50_000_000))
        async with aiohttp.ClientSession(trust_env=False) as session:
            async with page.served(port=0) as address:
                stuck = await half_open(address, is_asking=True)
                connection = await connect(session, address)
                await until(lambda: asyncio.sleep(0, page.is_watched))
            assert (await connection.receive()).type == aiohttp.WSMsgType.CLOSE
            stuck.close()
        return page

    page = asyncio.run(asyncio.wait_for(run(), TIMEOUT_S))
    page.call(page.board.camera, "late")  # its loop is closed
    assert list(page.board.cameras) == ["front"]


def test_a_taken_port_is_named() -> None:
    async def use(_: LivePage, address: str, __: Any) -> None:
        port = int(address.rpartition(":")[2])
        with pytest.raises(OSError, match=f"got 127.0.0.1 port {port}: .*in use"):
            async with LivePage(Board()).served(port=port):
                pytest.fail("it is taken")

    serving(use)


# How it looks -------------------------------------------------------------------------------------------------------


def shows(text: str) -> str:
    """The expression of a page that shows a text."""
    return f"document.body.innerText.includes({json.dumps(text)})"


def test_a_browser_shows_odd_names_as_text_and_survives_broken_pictures(tmp_path: Path) -> None:
    def drive(page: LivePage, address: str, good: CameraBoard, odd: CameraBoard) -> None:
        browser.open(address)
        browser.until("document.querySelectorAll('article').length === 2", "both cameras are there")
        page.call(odd.add, PoseSample(2, latency_ms=math.nan, model=ODD, size_wh=(1, 1)))
        page.call(odd.show, b"\xff\xd8\xff no picture")
        page.call(setattr, good, "note", ODD)
        browser.until(shows(f"px · {ODD}"), "the model is shown as it is")
        browser.until(shows("cannot be read"), "the broken picture is told")
        page.call(odd.show, jpeg(200))
        pixel = "document.querySelectorAll('canvas')[1].getContext('2d').getImageData(9, 9, 1, 1).data[0]"
        browser.until(f"Math.abs({pixel} - 200) < 4", "the next picture is drawn")
        browser.until("!" + shows("cannot be read"), "and all is well")
        assert browser.js("document.title") == "2 people – pose_ros"
        assert browser.js("document.querySelectorAll('.name')[1].textContent") == ODD
        assert browser.js("document.querySelectorAll('article img, article script').length") == 0
        assert browser.complaints() == []

    async def run() -> None:
        page = LivePage(Board())
        good, odd = page.board.camera("front"), page.board.camera(ODD)
        good.publishers = odd.publishers = 1
        async with page.served(port=0) as address:
            await asyncio.to_thread(drive, page, address, good, odd)

    with Browser(tmp_path) as browser:
        asyncio.run(asyncio.wait_for(run(), 6 * TIMEOUT_S))


def test_a_page_says_that_its_server_has_gone_and_finds_the_next(tmp_path: Path) -> None:
    async def run() -> None:
        async with LivePage(Board(["/a/poses"])).served(port=0) as address:
            port = int(address.rpartition(":")[2])
            await asyncio.to_thread(browser.open, address)
            await asyncio.to_thread(browser.until, shows("waiting for /a/poses"), "it waits for a camera")
        await asyncio.to_thread(browser.until, shows("no connection"), "it says so")
        async with LivePage(Board(["/b/poses"])).served(port=port):
            await asyncio.to_thread(browser.until, shows("waiting for /b/poses"), "it has found the new server")

    with Browser(tmp_path) as browser:
        asyncio.run(asyncio.wait_for(run(), 6 * TIMEOUT_S))
