"""``pose_ros view`` beside a real node: what a browser shows, when it listens, how it ends."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("aiohttp", reason="needs aiohttp")

import aiohttp
import cv2
import recordings
from chromium import Browser
from pose_ros.msg import Keypoint, PersonPose, PersonPoseArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from typer.testing import CliRunner

from pose_ros.cli import app
from pose_ros.live.board import Board
from pose_ros.live.page import LivePage
from pose_ros.ros.view import viewer as live
from pose_ros.ros.view.images import LONGEST_SIDE_PX, browser_picture

DEMO = Path(__file__).parents[2] / "demo/run.py"
DEMO_TIMEOUT_S = 90
EXIT_TIMEOUT_S = 30
View = Callable[..., "Server"]


class Server:
    """``pose_ros view`` as a process."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        program = folder / "view.py"
        program.write_text("from pose_ros.cli import main\nmain()\n")
        command = [sys.executable, str(program), "view", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = self.process.stdout.readline()
        assert self.said, self.process.stderr.read()
        self.address = self.said.split(": ")[-1].split(" ")[0]

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Its exit code, and its errors."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=EXIT_TIMEOUT_S)
        return self.process.returncode, errors


@pytest.fixture
def view(domain_id: int, tmp_path: Path) -> Iterator[View]:
    """Starts the program in the domain of the test."""
    servers: list[Server] = []

    def view(*arguments: str) -> Server:
        servers.append(Server(tmp_path, *arguments))
        return servers[-1]

    yield view
    for server in servers:
        server.process.kill()
        server.process.communicate()


class Page:
    """What a browser does, without one: asks for news while the graph runs."""

    def __init__(self, graph: Any, address: str) -> None:
        self.graph, self.address = graph, address
        self.cameras: dict[str, dict[str, Any]] = {}
        self.pictures: dict[str, bytes] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._connect())

    async def _connect(self) -> None:
        self._session = aiohttp.ClientSession(trust_env=False)
        self._socket = await self._session.ws_connect(f"{self.address}/live", origin=self.address)

    async def _ask(self) -> None:
        await self._socket.send_str("news?")
        news = json.loads(await self._socket.receive_str())
        self.cameras = {camera["name"]: camera for camera in news["cameras"]}
        for name in news["pictures"]:
            self.pictures[name] = await self._socket.receive_bytes()

    def until(self, condition: Callable[[], object], what: str, act: Callable[[], object] = lambda: None) -> None:
        """Ask, again and again, until the condition holds; act before each time."""

        def holds() -> object:
            act()
            self._loop.run_until_complete(self._ask())
            return condition()

        self.graph.until(holds, what)

    def close(self) -> None:
        """Close the page."""
        self._loop.run_until_complete(self._session.close())
        self._loop.close()


@pytest.fixture
def look(graph: Any) -> Iterator[Callable[[str], Page]]:
    """Opens a page."""
    pages: list[Page] = []

    def look(address: str) -> Page:
        pages.append(Page(graph, address))
        return pages[-1]

    yield look
    for page in pages:
        page.close()


def test_a_browser_shows_a_node_at_work(
    graph: Any, view: View, make_node: Any, make_camera: Any, paint: Any, image_message: Any, tmp_path: Path
) -> None:
    server = view()
    with Browser(tmp_path / "profile") as browser:
        browser.open(server.address)
        browser.until(shows("waiting for /pose_estimator/poses: nobody publishes it yet"), "it waits for a node")

        node, camera = make_node(), make_camera()
        camera.connect()
        image = image_message(paint(12, 40))

        def shown(expression: str) -> Callable[[], object]:
            return lambda: (camera.send(image), browser.js(expression))[1]

        graph.until(shown(shows("/pose_estimator") + "&&" + shows("live")), "the camera is there")
        graph.until(shown("document.querySelector('.people').textContent === '2'"), "both people are counted")
        graph.until(shown("document.querySelector('canvas').width === 80"), "the overlay is drawn")
        graph.until(shown("document.querySelector('path.first').getAttribute('d').includes('L')"), "there is a plot")
        graph.until(shown("parseFloat(document.querySelector('.rate').textContent) > 0"), "there is a rate")
        assert browser.js("document.title") == "2 people – pose_ros"
        check_every_look(browser, tmp_path)

        graph.nodes.remove(node)
        graph.executor.remove_node(node)
        node.destroy_node()
        graph.until(lambda: browser.js(shows("gone: nobody publishes it")), "it is told that the node has gone")
        make_node()
        graph.until(shown("document.querySelector('article').dataset.state === 'live'"), "it is back")
        assert browser.complaints() == []
        strangers = [url for url in browser.requests() if server.address.partition("//")[2] not in url]
        assert strangers in ([], ["about:blank"])


def check_every_look(browser: Browser, folder: Path) -> None:
    """Dark is dark, light is light, and nothing sticks out of a phone."""
    for width, scheme, is_dark in ((1200, "light", False), (1200, "dark", True), (390, "dark", True)):
        browser.look(width, 844, scheme)
        browser.until(f"innerWidth === {width}", "the screen has that size")
        picture = browser.screenshot()
        (folder / f"{scheme}_{width}.png").write_bytes(picture)
        corner = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)[0, 0]
        assert (corner < 64) == is_dark and (corner > 192) != is_dark
        assert browser.js("document.documentElement.scrollWidth") <= width


def shows(text: str) -> str:
    """The expression of a page that shows a text."""
    return f"document.body.innerText.includes({json.dumps(text)})"


def test_cameras_and_what_is_odd_about_them(
    graph: Any, view: View, look: Callable[[str], Page], image_message: Any
) -> None:
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    front, rear = (f"/robot/pose_estimator/{name}" for name in ("front", "rear"))
    publish = {
        topic: graph.node.create_publisher(kind, topic, qos).publish
        for kind, topic, qos in (
            (PersonPoseArray, f"{front}/poses", 10),
            (Image, f"{front}/overlay", 1),
            (PersonPoseArray, f"{rear}/poses", best_effort),
            (CompressedImage, f"{rear}/overlay/compressed", best_effort),
            (Image, f"{rear}/overlay", 1),
            (PersonPoseArray, "/another/poses", 10),
        )
    }
    nobody = PersonPose(box=[math.nan] * 4, keypoints=[Keypoint(x=math.nan, y=math.inf)], score=math.nan)
    odd = PersonPoseArray(people=[nobody, PersonPose()], latency_ms=math.nan, network_ms=math.inf, dropped=2**32 - 1)
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 99, np.uint8))[1].tobytes()
    page = look(view("--topic", "/robot/pose_estimator").address)

    def work() -> None:
        publish[f"{front}/poses"](PersonPoseArray())
        publish[f"{front}/overlay"](image_message(np.zeros((4, 4), np.uint8), "the moon"))
        publish[f"{rear}/poses"](odd)
        publish[f"{rear}/overlay/compressed"](CompressedImage(format="jpeg", data=jpeg))
        publish[f"{rear}/overlay"](Image())

    page.until(lambda: page.pictures.get(rear) == jpeg, "the compressed overlay is there, as it was sent", work)
    page.until(lambda: page.cameras[front]["note"], "the odd overlay is told", work)
    assert "encoding: expected one of" in page.cameras[front]["note"] and "'the moon'" in page.cameras[front]["note"]
    page.until(lambda: all(c["state"] == "live" for c in page.cameras.values()), "both are live", work)
    assert sorted(page.cameras) == [front, rear]
    assert page.cameras[front]["people"] == 0
    assert page.cameras[rear]["people"] == 2
    assert (page.cameras[rear]["latency_ms"], page.cameras[rear]["times_ms"]) == (None, [0.0, None, 0.0])


@pytest.mark.parametrize("topic", ["/", "/robot/"], ids=["every node", "a slash at the end"])
def test_a_name_may_end_in_a_slash(graph: Any, view: View, look: Callable[[str], Page], topic: str) -> None:
    poses = graph.node.create_publisher(PersonPoseArray, "/robot/poses", 1)
    page = look(view("--topic", topic).address)
    page.until(
        lambda: list(page.cameras) == ["/robot"], "the camera is there", lambda: poses.publish(PersonPoseArray())
    )


def test_a_camera_that_is_gone_for_long_leaves_the_board(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board()
    page = SimpleNamespace(board=board, is_watched=False, call=lambda function, *arguments: function(*arguments))
    live.Viewer(graph.node, page, [""])

    def publish(name: str) -> Any:
        return graph.node.create_publisher(PersonPoseArray, f"/{name}/poses", 1)

    publish("stays")
    goes = publish("goes")
    graph.until(lambda: sorted(board.cameras) == ["/goes", "/stays"], "both are found")
    graph.node.destroy_publisher(goes)
    graph.until(lambda: board.cameras["/goes"].state == "gone", "it is told first")
    monkeypatch.setattr(live, "GONE_S", 0.5)
    graph.until(lambda: list(board.cameras) == ["/stays"], "it leaves")
    publish("goes")
    graph.until(lambda: list(board.cameras) == ["/stays", "/goes"], "it comes back")
    monkeypatch.setattr(live, "MOST_CAMERAS", 2)
    publish("more")
    graph.until(lambda: graph.node.count_publishers("/more/poses"), "there is one more")
    looks = time.monotonic() + 2 * live.LOOK_S
    graph.until(lambda: time.monotonic() > looks, "it has looked")
    assert list(board.cameras) == ["/stays", "/goes"]


def test_a_card_leaves_with_its_camera_and_comes_back_anew(tmp_path: Path) -> None:
    def show(page: LivePage, width: int) -> None:
        camera = page.board.camera("/front")
        camera.publishers = 1
        page.call(camera.show, cv2.imencode(".jpg", np.zeros((8, width, 3), np.uint8))[1].tobytes())

    def drive(page: LivePage, address: str) -> None:
        browser.open(address)
        for width in (32, 48):
            show(page, width)
            browser.until(f"document.querySelector('canvas')?.width === {width}", "its picture is there")
            page.board.forget("/front")
            browser.until("document.querySelector('article') === null", "it has left")
        assert browser.complaints() == []

    async def run() -> None:
        page = LivePage(Board())
        async with page.served(port=0) as address:
            await asyncio.to_thread(drive, page, address)

    with Browser(tmp_path) as browser:
        asyncio.run(asyncio.wait_for(run(), DEMO_TIMEOUT_S))


@pytest.mark.slow
def test_nothing_is_subscribed_while_nobody_looks(graph: Any, view: View, look: Callable[[str], Page]) -> None:
    topics = ["/pose_estimator/poses", "/pose_estimator/overlay"]
    for kind, topic in zip((PersonPoseArray, Image), topics, strict=True):
        graph.node.create_publisher(kind, topic, 1)
    server = view("--topic", "pose_estimator/poses")  # relative, and as it is published

    def count() -> list[int]:
        return [graph.node.count_subscribers(topic) for topic in topics]

    graph.until(lambda: "pose_view" in graph.node.get_node_names(), "the viewer is there")
    page = look(server.address)
    assert count() == [0, 0]
    page.until(lambda: page.cameras and count() == [1, 1], "it listens while somebody looks")
    page.until(lambda: page.cameras["/pose_estimator"]["state"] == "silent", "it says that nothing comes")
    graph.until(lambda: count() == [0, 0], "it rests when nobody has looked for a while", timeout_s=40)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_in_good_order(view: View, look: Callable[[str], Page], number: signal.Signals, code: int) -> None:
    server = view()
    assert server.said.startswith("/pose_estimator: http://127.0.0.1:")
    page = look(server.address)
    page.until(lambda: page.cameras == {}, "it answers")
    ended, errors = server.end(number)
    assert ended == code
    assert "Traceback" not in errors, errors


@pytest.mark.slow
def test_the_demo_has_a_page(tmp_path: Path) -> None:
    video = recordings.write_video(tmp_path / "in.avi", 900)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, str(DEMO), "--video", str(video), "--output", str(tmp_path / "out"), "--view", str(port)]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert f"http://127.0.0.1:{port}" in demo.stdout.readline()
    assert any("recording" in line for line in demo.stdout)
    asyncio.run(asyncio.wait_for(until_live(f"http://127.0.0.1:{port}"), DEMO_TIMEOUT_S))
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=DEMO_TIMEOUT_S)
    assert demo.returncode == 0, said
    assert f"/pose_estimator: http://127.0.0.1:{port}" in (tmp_path / "out/view.log").read_text()


async def until_live(address: str) -> None:
    """Ask until the page has a live camera."""
    async with aiohttp.ClientSession(trust_env=False) as session:
        socket = await session.ws_connect(f"{address}/live", origin=address)
        states: list[str] = []
        while states != ["live"]:
            await socket.send_str("news?")
            news = json.loads(await socket.receive_str())
            states = [camera["state"] for camera in news["cameras"]]
            for _ in news["pictures"]:
                await socket.receive_bytes()


@pytest.mark.usefixtures("domain_id")
def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["view", "--port", str(port)])
    assert result.exit_code == 1
    assert result.output.strip().splitlines() == [
        f"pose_ros: address: expected a free one of this machine, got 127.0.0.1 port {port}: address already in use"
    ]


def test_without_aiohttp_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    result = CliRunner().invoke(app, ["view"])
    assert result.exit_code == 1 and "pip install aiohttp" in result.output
    assert len(result.output.strip().splitlines()) == 1


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def encoded(suffix: str, picture: np.ndarray) -> CompressedImage:
    return CompressedImage(format=suffix.strip("."), data=cv2.imencode(suffix, picture)[1].tobytes())


RED = np.full((40, 60, 3), (0, 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("picture", "encoding"),
    [(RED, "bgr8"), (RED[..., ::-1].copy(), "rgb8"), (np.dstack([RED, RED[..., :1]]), "bgra8")],
    ids=["bgr8", "rgb8", "bgra8"],
)
def test_raw_pictures_become_jpeg(image_message: Any, picture: np.ndarray, encoding: str) -> None:
    assert np.allclose(decoded(browser_picture(image_message(picture, encoding))), RED, atol=4)


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((1440, 2560, 3), (720, 1280)), ((5000, 10), (1280, 3)), ((1, 5000), (1, 1280)), ((600, 800), (600, 800))],
)
def test_large_pictures_are_made_smaller(image_message: Any, shape: tuple[int, ...], shown: tuple[int, int]) -> None:
    message = image_message(np.zeros(shape, np.uint8), "bgr8" if len(shape) == 3 else "mono8")
    assert decoded(browser_picture(message)).shape[:2] == shown


def test_a_jpeg_is_passed_on_and_others_are_encoded_anew() -> None:
    jpeg = encoded(".jpg", RED)
    assert browser_picture(jpeg) == bytes(jpeg.data)
    assert np.allclose(decoded(browser_picture(encoded(".png", RED))), RED, atol=4)
    large = encoded(".jpg", np.zeros((1300, 2600, 3), np.uint8))
    assert decoded(browser_picture(large)).shape[:2] == (LONGEST_SIDE_PX // 2, LONGEST_SIDE_PX)


def huge_jpeg() -> bytes:
    """A small file whose header claims 65 500 x 65 500 pixels."""
    data = bytes(encoded(".jpg", RED).data)
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + (65500).to_bytes(2, "big") * 2 + data[at + 4 :]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\0\0" * 9, b"GIF89a", huge_jpeg()],
    ids=["empty", "start", "loop", "gif", "huge"],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="data: expected"):
        browser_picture(CompressedImage(format="jpeg", data=data))
