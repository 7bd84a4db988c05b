"""Tests of ``pose_ros view`` with a real node and a browser."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import socket
import subprocess
import sys
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
from geometry_msgs.msg import Point32, Vector3
from pose_ros.msg import Keypoint, PersonPose, PersonPoseArray
from rclpy.clock import ClockType
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from typer.testing import CliRunner

from pose_ros.cli import app
from pose_ros.live.board import Board
from pose_ros.live.page import LivePage
from pose_ros.ros.view import viewer as live
from pose_ros.ros.view.images import MAX_SIDE_PX, encode_for_browser

DEMO = Path(__file__).parents[2] / "demo/run.py"
DEMO_TIMEOUT_S = 240
EXIT_TIMEOUT_S = 120
View = Callable[..., "Server"]


class Server:
    """A process that runs ``pose_ros view``."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        program = folder / "view.py"
        program.write_text("from pose_ros.cli import main\nmain()\n")
        command = [sys.executable, str(program), "view", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.first_line = self.process.stdout.readline()
        assert self.first_line, self.process.stderr.read()
        self.address = self.first_line.split(": ")[-1].split(" ")[0]

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal. Return the exit code and the error output."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=EXIT_TIMEOUT_S)
        return self.process.returncode, errors


@pytest.fixture
def view(domain_id: int, tmp_path: Path) -> Iterator[View]:
    """Return a function that starts the program in the domain of the test."""
    servers: list[Server] = []

    def view(*arguments: str) -> Server:
        servers.append(Server(tmp_path, *arguments))
        return servers[-1]

    yield view
    for server in servers:
        server.process.kill()
        server.process.communicate()


class Page:
    """A client without a browser: it requests news from the page while the graph spins."""

    def __init__(self, graph: Any, address: str) -> None:
        self.graph, self.address = graph, address
        self.cameras: dict[str, dict[str, Any]] = {}
        self.images: dict[str, bytes] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._connect())

    async def _connect(self) -> None:
        self._session = aiohttp.ClientSession(trust_env=False)
        self._socket = await self._session.ws_connect(f"{self.address}/live", origin=self.address)

    async def _update(self) -> None:
        await self._socket.send_str("news?")
        news = json.loads(await self._socket.receive_str())
        self.cameras = {camera["name"]: camera for camera in news["cameras"]}
        for name in news["pictures"]:
            self.images[name] = await self._socket.receive_bytes()

    def until(self, condition: Callable[[], object], what: str, act: Callable[[], object] = lambda: None) -> None:
        """Request news until the condition holds. Call ``act`` before each request."""

        def holds() -> object:
            act()
            self._loop.run_until_complete(self._update())
            return condition()

        self.graph.until(holds, what)

    def close(self) -> None:
        """Close the connection."""
        self._loop.run_until_complete(self._session.close())
        self._loop.close()


@pytest.fixture
def open_page(graph: Any) -> Iterator[Callable[[str], Page]]:
    """Return a function that opens a page."""
    pages: list[Page] = []

    def open_page(address: str) -> Page:
        pages.append(Page(graph, address))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


def test_a_browser_shows_a_running_node(
    graph: Any, view: View, make_node: Any, make_camera: Any, paint: Any, image_message: Any, tmp_path: Path
) -> None:
    server = view()
    with Browser(tmp_path / "profile") as browser:
        browser.open(server.address)
        browser.until(page_shows("waiting for /pose_estimator/poses: no publisher yet"), "it waits for a node")

        node, camera = make_node(), make_camera()
        camera.connect()
        image = image_message(paint(12, 40))

        def is_true(expression: str) -> Callable[[], object]:
            return lambda: (camera.send(image), browser.js(expression))[1]

        graph.until(is_true(page_shows("/pose_estimator") + "&&" + page_shows("live")), "the camera is there")
        graph.until(is_true("document.querySelector('.people').textContent === '2'"), "both people are counted")
        graph.until(is_true("document.querySelector('canvas').width === 80"), "the overlay is drawn")
        graph.until(is_true("document.querySelector('path.first').getAttribute('d').includes('L')"), "there is a plot")
        graph.until(is_true("parseFloat(document.querySelector('.rate').textContent) > 0"), "there is a rate")
        assert browser.js("document.title") == "2 people – pose_ros"
        check_layouts(browser, tmp_path)

        graph.nodes.remove(node)
        graph.executor.remove_node(node)
        node.destroy_node()
        graph.until(lambda: browser.js(page_shows("gone: no publisher")), "the page reports that the node is gone")
        make_node()
        graph.until(is_true("document.querySelector('article').dataset.state === 'live'"), "the camera is live again")
        assert browser.errors() == []
        external = [url for url in browser.requests() if server.address.partition("//")[2] not in url]
        assert external in ([], ["about:blank"])


def check_layouts(browser: Browser, folder: Path) -> None:
    """Check the light and the dark colour scheme, and that the page fits on a phone."""
    for width, scheme, is_dark in ((1200, "light", False), (1200, "dark", True), (390, "dark", True)):
        browser.set_screen(width, 844, scheme)
        browser.until(f"innerWidth === {width}", "the screen has that size")
        image = browser.screenshot()
        (folder / f"{scheme}_{width}.png").write_bytes(image)
        corner = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)[0, 0]
        assert (corner < 64) == is_dark and (corner > 192) != is_dark
        assert browser.js("document.documentElement.scrollWidth") <= width


def page_shows(text: str) -> str:
    """Return the JavaScript expression that is true if the page shows a text."""
    return f"document.body.innerText.includes({json.dumps(text)})"


def test_cameras_with_invalid_data(
    graph: Any, view: View, open_page: Callable[[str], Page], image_message: Any
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
    invalid = PersonPose(box=[math.nan] * 4, keypoints=[Keypoint(x=math.nan, y=math.inf)], score=math.nan)
    unusual = PersonPoseArray(
        people=[invalid, PersonPose()], latency_ms=math.nan, network_ms=math.inf, dropped=2**32 - 1
    )
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 99, np.uint8))[1].tobytes()
    page = open_page(view("--topic", "/robot/pose_estimator").address)

    def publish_all() -> None:
        publish[f"{front}/poses"](PersonPoseArray())
        publish[f"{front}/overlay"](image_message(np.zeros((4, 4), np.uint8), "the moon"))
        publish[f"{rear}/poses"](unusual)
        publish[f"{rear}/overlay/compressed"](CompressedImage(format="jpeg", data=jpeg))
        publish[f"{rear}/overlay"](Image())

    page.until(lambda: page.images.get(rear) == jpeg, "the compressed overlay arrives unchanged", publish_all)
    page.until(lambda: page.cameras[front]["note"], "the invalid overlay is reported", publish_all)
    assert "encoding: expected one of" in page.cameras[front]["note"] and "'the moon'" in page.cameras[front]["note"]
    page.until(lambda: all(c["state"] == "live" for c in page.cameras.values()), "both cameras are live", publish_all)
    assert sorted(page.cameras) == [front, rear]
    assert page.cameras[front]["people"] == 0
    assert page.cameras[rear]["people"] == 2
    assert (page.cameras[rear]["latency_ms"], page.cameras[rear]["times_ms"]) == (None, [0.0, None, 0.0])


@pytest.mark.parametrize("topic", ["/", "/robot/"], ids=["every node", "a slash at the end"])
def test_a_name_may_end_in_a_slash(graph: Any, view: View, open_page: Callable[[str], Page], topic: str) -> None:
    poses = graph.node.create_publisher(PersonPoseArray, "/robot/poses", 1)
    page = open_page(view("--topic", topic).address)
    page.until(
        lambda: list(page.cameras) == ["/robot"], "the camera is there", lambda: poses.publish(PersonPoseArray())
    )


def test_a_camera_without_publisher_is_removed_from_the_board(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board()
    page = SimpleNamespace(board=board, is_watched=False, call=lambda function, *arguments: function(*arguments))
    viewer = live.Viewer(graph.node, page, [""])
    assert [timer.clock.clock_type for timer in graph.node.timers] == [ClockType.STEADY_TIME]

    def publish(name: str) -> Any:
        return graph.node.create_publisher(PersonPoseArray, f"/{name}/poses", 1)

    publish("stays")
    goes = publish("goes")
    graph.until(lambda: sorted(board.cameras) == ["/goes", "/stays"], "both are found")
    graph.node.destroy_publisher(goes)
    graph.until(lambda: board.cameras["/goes"].state == "gone", "it is shown as gone first")
    monkeypatch.setattr(live, "GONE_S", 0.5)
    graph.until(lambda: list(board.cameras) == ["/stays"], "it is removed")
    publish("goes")
    graph.until(lambda: list(board.cameras) == ["/stays", "/goes"], "it is added again")
    monkeypatch.setattr(live, "MAX_CAMERAS", 2)
    publish("more")
    graph.until(lambda: graph.node.count_publishers("/more/poses"), "a third camera is published")
    updates = []
    list_cameras = viewer._list_cameras
    monkeypatch.setattr(viewer, "_list_cameras", lambda: updates.append(list_cameras()) or updates[-1])
    graph.until(lambda: any("/more" in names for names in updates), "the viewer has seen it")
    assert list(board.cameras) == ["/stays", "/goes"]


def test_the_reliability_of_the_page_follows_the_publishers(graph: Any) -> None:
    page = SimpleNamespace(board=Board(), is_watched=True, call=lambda function, *arguments: function(*arguments))
    live.Viewer(graph.node, page, [""])

    def requested() -> list[str]:
        found = graph.node.get_subscriptions_info_by_topic("/robot/poses")
        return [info.qos_profile.reliability.name for info in found]

    publisher = graph.node.create_publisher(PersonPoseArray, "/robot/poses", 1)
    graph.until(lambda: requested() == ["RELIABLE"], "it requests reliable poses")
    graph.node.destroy_publisher(publisher)  # the node starts again with another QoS
    graph.node.create_publisher(PersonPoseArray, "/robot/poses", qos_profile_sensor_data)
    graph.until(lambda: requested() == ["BEST_EFFORT"], "it accepts best effort")


def test_a_card_is_removed_with_its_camera_and_added_again(tmp_path: Path) -> None:
    def show(page: LivePage, width: int) -> None:
        camera = page.board.camera("/front")
        camera.publishers = 1
        page.call(camera.set_image, cv2.imencode(".jpg", np.zeros((8, width, 3), np.uint8))[1].tobytes())

    def drive(page: LivePage, address: str) -> None:
        browser.open(address)
        for width in (32, 48):
            show(page, width)
            browser.until(f"document.querySelector('canvas')?.width === {width}", "its image is shown")
            page.board.remove_camera("/front")
            browser.until("document.querySelector('article') === null", "it is removed")
        assert browser.errors() == []

    async def run() -> None:
        page = LivePage(Board())
        async with page.serve(port=0) as address:
            await asyncio.to_thread(drive, page, address)

    with Browser(tmp_path) as browser:
        asyncio.run(asyncio.wait_for(run(), DEMO_TIMEOUT_S))


@pytest.mark.slow
def test_nothing_is_subscribed_while_the_page_is_not_open(
    graph: Any, view: View, open_page: Callable[[str], Page]
) -> None:
    topics = ["/pose_estimator/poses", "/pose_estimator/overlay"]
    for kind, topic in zip((PersonPoseArray, Image), topics, strict=True):
        graph.node.create_publisher(kind, topic, 1)
    server = view("--topic", "pose_estimator/poses")  # a relative topic name

    def count() -> list[int]:
        return [graph.node.count_subscribers(topic) for topic in topics]

    graph.until(lambda: "pose_view" in graph.node.get_node_names(), "the viewer is there")
    page = open_page(server.address)
    assert count() == [0, 0]
    page.until(lambda: page.cameras and count() == [1, 1], "it subscribes while the page is open")
    page.until(lambda: page.cameras["/pose_estimator"]["state"] == "silent", "it reports that nothing arrives")
    graph.until(lambda: count() == [0, 0], "it unsubscribes when the page is closed")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_stops_cleanly(view: View, open_page: Callable[[str], Page], number: signal.Signals, code: int) -> None:
    server = view()
    assert server.first_line.startswith("/pose_estimator: http://127.0.0.1:")
    page = open_page(server.address)
    page.until(lambda: page.cameras == {}, "the page responds")
    exit_code, errors = server.stop(number)
    assert exit_code == code
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
    asyncio.run(asyncio.wait_for(wait_until_live(f"http://127.0.0.1:{port}"), DEMO_TIMEOUT_S))
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=DEMO_TIMEOUT_S)
    assert demo.returncode == 0, output
    assert f"/pose_estimator: http://127.0.0.1:{port}" in (tmp_path / "out/view.log").read_text()


async def wait_until_live(address: str) -> None:
    """Request news until the page has a live camera."""
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
def test_a_port_in_use_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as blocker:
        port = blocker.getsockname()[1]
        result = CliRunner().invoke(app, ["view", "--port", str(port)])
    assert result.exit_code == 1
    assert result.output.strip().splitlines() == [
        f"pose_ros: address: expected a free address of this machine, got 127.0.0.1 port {port}: "
        "address already in use; see pose_ros view --help"
    ]


def test_without_aiohttp_it_reports_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    result = CliRunner().invoke(app, ["view"])
    assert result.exit_code == 1 and "pip install aiohttp" in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_texts_of_messages_are_cut_for_the_page() -> None:
    model = live.sample_of(PersonPoseArray(model="default\n\x1b[31m" + "x" * 10**6)).model
    assert model.startswith(r"default\n\x1b[31mxxx") and model.isprintable() and len(model) < 200


def walker(person_id: int, **values: Any) -> PersonPose:
    unknown = {"position_3d": Point32(x=math.nan, y=math.nan, z=math.nan), "velocity": [math.nan] * 2}
    unknown["velocity_3d"] = Vector3(x=math.nan, y=math.nan, z=math.nan)
    return PersonPose(id=person_id, state=PersonPose.TRACKED, **(unknown | values))


def test_people_are_listed_by_id_with_distance_and_speed(tmp_path: Path) -> None:
    """A page in a real browser: rows come, change and go, and unknown values are dashes."""
    near = walker(3, position_3d=Point32(x=0.0, y=3.0, z=4.0), velocity_3d=Vector3(x=0.0, y=0.6, z=0.8))
    far = walker(12, velocity=[30.0, -40.0])
    lost = walker(7)
    lost.state = PersonPose.LOST
    rows = "[...document.querySelectorAll('.tracked tbody tr')].map((r) => [...r.cells].map((c) => c.innerText).join())"

    def drive(page: LivePage, address: str) -> None:
        camera = page.board.camera("/front")
        camera.publishers = 1
        browser.open(address)
        for people, expected in (
            ([far, PersonPose(id=-1), near], ["#3,5.0 m,1.0 m/s,tracked", "#12,–,50 px/s,tracked"]),
            ([lost], ["#7,–,–,lost"]),
            ([], []),
        ):
            page.call(camera.add, live.sample_of(PersonPoseArray(people=people)))
            browser.until(f"{rows}.join(';') === {json.dumps(';'.join(expected))}", "the rows are shown")
            (tmp_path / f"rows_{len(expected)}.png").write_bytes(browser.screenshot())
        assert browser.js("document.querySelector('.tracked').hidden") is True
        assert browser.errors() == []

    async def run() -> None:
        page = LivePage(Board())
        async with page.serve(port=0) as address:
            await asyncio.to_thread(drive, page, address)

    with Browser(tmp_path / "profile") as browser:
        asyncio.run(asyncio.wait_for(run(), DEMO_TIMEOUT_S))


def test_at_most_fifty_people_are_listed() -> None:
    tracked = live.sample_of(PersonPoseArray(people=[walker(i) for i in range(99, -1, -1)])).tracked
    assert [person.id for person in tracked] == list(range(50))


def test_unusual_values_of_people_are_unknown() -> None:
    person = walker(1, velocity=[math.inf, math.nan], position_3d=Point32(x=math.inf, y=0.0, z=0.0))
    person.state = 250
    (row,) = live.sample_of(PersonPoseArray(people=[person])).tracked
    expected = {"id": 1, "state": "", "distance_m": None, "speed_mps": None, "speed_px": None}
    assert row.describe() == expected


def decode(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def encode(suffix: str, image: np.ndarray) -> CompressedImage:
    return CompressedImage(format=suffix.strip("."), data=cv2.imencode(suffix, image)[1].tobytes())


RED = np.full((40, 60, 3), (0, 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("image", "encoding"),
    [(RED, "bgr8"), (RED[..., ::-1].copy(), "rgb8"), (np.dstack([RED, RED[..., :1]]), "bgra8")],
    ids=["bgr8", "rgb8", "bgra8"],
)
def test_raw_images_become_jpeg(image_message: Any, image: np.ndarray, encoding: str) -> None:
    assert np.allclose(decode(encode_for_browser(image_message(image, encoding))), RED, atol=4)


@pytest.mark.parametrize(
    ("shape", "expected_hw"),
    [((1440, 2560, 3), (720, 1280)), ((5000, 10), (1280, 3)), ((1, 5000), (1, 1280)), ((600, 800), (600, 800))],
)
def test_large_images_are_reduced(image_message: Any, shape: tuple[int, ...], expected_hw: tuple[int, int]) -> None:
    message = image_message(np.zeros(shape, np.uint8), "bgr8" if len(shape) == 3 else "mono8")
    assert decode(encode_for_browser(message)).shape[:2] == expected_hw


def test_a_jpeg_is_passed_on_and_other_formats_are_encoded() -> None:
    jpeg = encode(".jpg", RED)
    assert encode_for_browser(jpeg) == bytes(jpeg.data)
    assert np.allclose(decode(encode_for_browser(encode(".png", RED))), RED, atol=4)
    large = encode(".jpg", np.zeros((1300, 2600, 3), np.uint8))
    assert decode(encode_for_browser(large)).shape[:2] == (MAX_SIDE_PX // 2, MAX_SIDE_PX)


def huge_jpeg() -> bytes:
    """Make a small file with 65 500 x 65 500 pixels in its header."""
    data = bytes(encode(".jpg", RED).data)
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + (65500).to_bytes(2, "big") * 2 + data[start + 4 :]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\0\0" * 9, b"GIF89a", huge_jpeg()],
    ids=["empty", "start", "loop", "gif", "huge"],
)
def test_invalid_data_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected a complete image"):
        encode_for_browser(CompressedImage(format="jpeg", data=data))


def test_a_bad_name_of_a_topic_is_an_error_of_one_line() -> None:
    result = CliRunner().invoke(app, ["view", "--topic", "bad topic!"])
    assert result.exit_code == 1
    expected = "--topic: expected a ROS topic name, got 'bad topic!'; use letters, digits, _ and /"
    assert result.stderr == f"pose_ros: {expected}\n"
