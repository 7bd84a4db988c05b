"""Control a headless Chromium with one page over the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

TIMEOUT_S = 180.0
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--force-color-profile=srgb", "--hide-scrollbars", "--remote-debugging-port=0", "--no-proxy-server"),
)


class Browser:
    """Headless browser. Use it in a ``with``: the browser ends with the block.

    Attributes:
        events: DevTools events: requests, exceptions and console messages.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if program is None:
            pytest.skip("needs Chromium: apt install chromium")
        self.events: list[dict[str, Any]] = []
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._count = 0
        command = [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Browser:
        try:
            self._loop.run_until_complete(self._connect())
        except BaseException:
            self._end()
            raise
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.do(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._session.close())
        self._end()

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result."""
        return self._loop.run_until_complete(asyncio.wait_for(self._do(method, parameters), TIMEOUT_S))

    def js(self, expression: str) -> Any:
        """Evaluate an expression in the page and return its value."""
        result = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str, condition: str) -> Any:
        """Wait until an expression is true in the page, and return its value."""
        end_s = time.monotonic() + TIMEOUT_S
        while not (value := self.js(expression)):
            if time.monotonic() > end_s:
                pytest.fail(
                    f"timed out waiting until {condition}; text of the page: {self.js('document.body.innerText')}"
                )
            time.sleep(0.05)
        return value

    def open(self, url: str) -> None:
        """Open a page."""
        self.do("Page.navigate", url=url)
        self.until(f"location.href.startsWith({json.dumps(url)})", "the page is open")

    def set_screen(self, width: int, height: int, scheme: str) -> None:
        """Emulate a screen size, pixels, and a light or dark colour scheme."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self) -> bytes:
        """Return an image of the whole page, PNG data."""
        return base64.b64decode(self.do("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def requests(self) -> list[str]:
        """Return the addresses that the page requested."""
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        sockets = [event["params"]["url"] for event in self.events if event["method"] == "Network.webSocketCreated"]
        return [entry["request"]["url"] for entry in sent] + sockets

    def errors(self) -> list[str]:
        """Return exceptions and console errors, such as violations of the content security policy."""
        thrown = [event["params"] for event in self.events if event["method"] == "Runtime.exceptionThrown"]
        entries = [event["params"]["entry"] for event in self.events if event["method"] == "Log.entryAdded"]
        return [json.dumps(entry) for entry in [*thrown, *entries] if entry.get("level", "error") == "error"]

    async def _connect(self) -> None:
        self._session = aiohttp.ClientSession(trust_env=False)
        port = (await self._read_port()).split("\n")[0]
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as response:
            target = next(t for t in await response.json(content_type=None) if t["type"] == "page")
        self._socket = await self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)

    async def _read_port(self) -> str:
        file, end_s = self._folder / "DevToolsActivePort", time.monotonic() + TIMEOUT_S
        while not (file.is_file() and file.read_text()):
            assert self._process.poll() is None, f"Chromium ended with status {self._process.returncode}"
            assert time.monotonic() < end_s, "Chromium does not report its port"
            await asyncio.sleep(0.05)
        return file.read_text()

    async def _do(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == self._count:
                assert "error" not in message, message
                return message["result"]
            if "method" in message:
                self.events.append(message)

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(TIMEOUT_S)
        self._loop.close()
