"""Test the limits of the live page with raw connections: idle, slow, too many, and no free file descriptor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="needs aiohttp")

import aiohttp

from pose_ros.live import connections
from pose_ros.live.board import Board
from pose_ros.live.page import LivePage

TIMEOUT_S = 120
Use = Callable[[str, int], Awaitable[None]]


def serve(use: Use, host: str = "127.0.0.1") -> list[str]:
    """Serve a page while ``use(address, port)`` runs. Return the reports of the server."""
    reports: list[str] = []

    async def run() -> None:
        async with LivePage(Board(), report=reports.append).serve(host, port=0) as address:
            await use(address, int(address.rpartition(":")[2]))

    asyncio.run(asyncio.wait_for(run(), TIMEOUT_S))
    return reports


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Wait until the server closes a connection."""
    try:
        while await reader.read(1000):
            pass
    except ConnectionError:
        pass
    return True


async def open_page(address: str) -> tuple[Any, Any]:
    session = aiohttp.ClientSession(trust_env=False)
    return session, await session.ws_connect(f"{address}/live", origin=address)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"GET / HT"], id="part of a request"),
        pytest.param([b"GET / HTTP/1.1\r\nHost: localhost\r\n", *[b"X: 1\r\n"] * 200], id="endless headers"),
        pytest.param([b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", b"x"], id="slow body"),
    ],
)
def test_a_connection_without_a_complete_request_is_closed(monkeypatch: pytest.MonkeyPatch, sent: list[bytes]) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.3)

    async def send_slowly(writer: asyncio.StreamWriter) -> None:
        for part in sent:
            writer.write(part)
            await asyncio.sleep(0.05)

    async def use(address: str, port: int) -> None:
        session, page = await open_page(address)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sending = asyncio.ensure_future(send_slowly(writer))
        assert await is_closed(reader)
        sending.cancel()
        writer.close()
        await page.send_str("news?")  # a page has no time limit
        assert (await page.receive()).type == aiohttp.WSMsgType.TEXT
        await session.close()

    assert serve(use) == []


def test_a_connection_is_closed_after_its_answer() -> None:
    async def use(address: str, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /page.css HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK") and b"Connection: close" in answer
        writer.close()

    assert serve(use) == []


@pytest.mark.parametrize("limit", ["MAX_CONNECTIONS", "MAX_CLIENT_CONNECTIONS"])
def test_the_oldest_idle_connections_make_room(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(connections, limit, 6)

    async def use(address: str, port: int) -> None:
        session, page = await open_page(address)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        assert all([await is_closed(reader) for reader, _ in idle[:15]])
        async with session.get(f"{address}/page.js") as answer:
            assert answer.status == 200
        assert not idle[-1][0].at_eof()
        await page.send_str("news?")
        assert (await page.receive()).type == aiohttp.WSMsgType.TEXT
        pages = [page] + [await session.ws_connect(f"{address}/live", origin=address) for _ in range(5)]
        with pytest.raises(aiohttp.ClientError):  # all are pages
            await session.ws_connect(f"{address}/live", origin=address)
        await pages[-1].close()
        while True:
            try:
                await session.ws_connect(f"{address}/live", origin=address)
                break
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
        await session.close()
        for _, writer in idle:
            writer.close()

    (report,) = serve(use)
    assert report.endswith("closing connections, because more than 6 are open")


def occupy_descriptors() -> list[int]:
    """Open files until no file descriptor is free."""
    descriptors = []
    with contextlib.suppress(OSError):
        while True:
            descriptors.append(os.open(os.devnull, os.O_RDONLY))
    return descriptors


def test_without_file_descriptors_idle_connections_are_closed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connections, "RETRY_S", 0.01)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def use(address: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        clients = [socket.socket() for _ in range(30)]
        last = clients.pop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        occupied = occupy_descriptors()
        for _ in range(5):
            os.close(occupied.pop())
        try:
            for client in (*clients, last):
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(last, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while part := await loop.sock_recv(last, 10_000):
                answer += part
            assert answer.startswith(b"HTTP/1.1 200 OK")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in occupied:
                os.close(descriptor)
        for client in (*clients, last):
            client.close()

    (report,) = serve(use)
    assert report.startswith("cannot accept connections now: Too many open files; ")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "request_", [b"\x1b[31m FORGED\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\x1b[2J HTTP/1.1\r\nHost: a b\r\n\r\n"]
)
def test_bad_requests_cause_few_and_harmless_reports(request_: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    async def use(_: str, port: int) -> None:
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_)
            assert await is_closed(reader)
            writer.close()

    reports = serve(use)
    assert len(reports) <= 1 and all(report.isprintable() and len(report) < 1100 for report in reports)
    assert capfd.readouterr().err == ""


def test_reports_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, reports = [1000.0], list[str]()
    monkeypatch.setattr(connections.time, "monotonic", lambda: now_s[0])
    rarely = connections.RareReports(reports.append)
    for _ in range(602):
        rarely("bad")
        now_s[0] += 0.1
    assert reports == ["bad", "bad (600 more reports since the last one)"]


def test_addresses_of_one_network_are_one_client() -> None:
    client = connections._client
    assert client(("10.0.0.1", 5)) == "10.0.0.1"
    assert client(("2001:db8::1", 5, 0, 0)) == client(("2001:db8::ffff:2", 6, 0, 0)) == "2001:db8::/64"
    assert client(("fe80::1%eth0", 5, 0, 2)) == "fe80::/64"
    assert client("") == "unknown"


def test_a_name_with_several_addresses() -> None:
    async def use(address: str, port: int) -> None:
        assert address == f"http://localhost:{port}"
        async with aiohttp.ClientSession(trust_env=False) as session, session.get(address) as answer:
            assert answer.status == 200

    assert serve(use, "localhost") == []
