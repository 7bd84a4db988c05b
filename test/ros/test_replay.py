"""Tests of ``pose_ros replay``: recordings arrive unchanged in a real ROS graph."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings
import stream_servers
from stream_servers import http_server

pytest.importorskip("rclpy", reason="needs ROS 2")

import cv2
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from typer.testing import CliRunner

from pose_ros.cli import app
from pose_ros.media.bag import Bag
from pose_ros.media.sources import open_source
from pose_ros.ros.replay.others import find_type
from pose_ros.ros.replay.player import Player, ReplayConfig

COUNT = 12
PERIOD_NS = recordings.PERIOD_NS
EXIT_TIMEOUT_S = 120
CALIBRATION = """
image_width: 64
image_height: 48
camera_name: test
camera_matrix: {rows: 3, cols: 3, data: [50, 0, 32, 0, 50, 24, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, 0, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [50, 0, 32, 0, 0, 50, 24, 0, 0, 0, 1, 0]}
"""
Replay = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def replay(domain_id: int, tmp_path: Path) -> Iterator[Replay]:
    """Return a function that starts ``pose_ros replay`` in the domain of the test."""
    program = tmp_path / "replay.py"
    program.write_text("from pose_ros.cli import main\nmain()\n")
    children: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(program), "replay", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        children.append(subprocess.Popen(command, text=True, cwd=tmp_path, **pipes))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return recordings.write_video(tmp_path / "walk.avi", COUNT)


def stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def numbers(messages: list[Image]) -> list[int]:
    return [recordings.frame_number(np.frombuffer(message.data, np.uint8)) for message in messages]


def wait_for_success(child: subprocess.Popen[str]) -> str:
    output, error = child.communicate(timeout=EXIT_TIMEOUT_S)
    assert child.returncode == 0, error
    return output


def wait_for_end(graph: Any, child: subprocess.Popen[str]) -> str:
    graph.until(lambda: child.poll() is not None, "the replay has finished")
    return wait_for_success(child)


@pytest.mark.parametrize("qos", [10, qos_profile_sensor_data], ids=["reliable", "best effort"])
def test_a_video_arrives_complete_in_order_and_in_time(graph: Any, replay: Replay, video: Path, qos: Any) -> None:
    images = graph.collect(Image, "camera/image_raw", qos)
    before = time.time_ns()
    output = wait_for_end(graph, replay(video, "--topic", "camera/image_raw", "--speed", "2"))
    assert numbers(images) == list(range(COUNT))
    assert {(m.encoding, m.width, m.height, m.step, m.header.frame_id) for m in images} == {
        ("bgr8", 64, 48, 192, "camera")
    }
    stamps = [stamp_ns(message) for message in images]
    assert np.allclose(np.diff(stamps), PERIOD_NS / 2, atol=2e6)  # the intervals of sending
    assert before < stamps[0] < time.time_ns()
    duration_s = float(output.split(" images in ")[1].split(" s")[0])
    assert output.startswith(f"{video}: {COUNT} images in ") and duration_s >= 0.5


def test_big_images_reach_a_best_effort_subscriber(
    graph: Any, replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image of 2.8 MB does not fit into the 0.5 MB of shared memory that Fast DDS has by default."""
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE")  # with LOCALHOST, ROS resets the memory to its default
    path, size_wh = tmp_path / "big.avi", (1280, 720)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, size_wh)
    for index in range(COUNT):
        writer.write(recordings.frame_image(index, size_wh))
    writer.release()
    images = graph.collect(Image, "image", qos_profile_sensor_data)
    wait_for_end(graph, replay(path))
    assert numbers(images) == list(range(COUNT))


def test_images_as_jpeg(graph: Any, replay: Replay, tmp_path: Path) -> None:
    folder = recordings.write_images(tmp_path / "images", ["1.png", "2.png", "10.png"])
    messages = graph.collect(CompressedImage, "image/compressed")
    wait_for_end(graph, replay(folder, "--compressed", "--frame-id", "left_eye"))
    decoded = [cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR) for message in messages]
    assert [recordings.frame_number(image) for image in decoded] == [0, 1, 2]
    assert {(m.format, m.header.frame_id) for m in messages} == {("bgr8; jpeg compressed bgr8", "left_eye")}


@pytest.mark.parametrize(
    ("kind", "make", "storage"),
    [(Image, recordings.image_message, "sqlite3"), (CompressedImage, recordings.compressed_message, "mcap")],
    ids=["raw", "compressed"],
)
def test_a_bag_is_published_bit_by_bit(
    graph: Any, replay: Replay, tmp_path: Path, kind: Any, make: Callable[[int], Any], storage: str
) -> None:
    infos = [recordings.camera_info(index) for index in range(COUNT)]
    topics = {"/cam/image": [make(index) for index in range(COUNT)], "/cam/camera_info": infos}
    bag = recordings.write_bag(tmp_path / "bag", topics, storage)
    images: list[bytes] = []
    graph.node.create_subscription(kind, "camera/image_raw", images.append, 10, raw=True)
    calibrations = graph.collect(CameraInfo, "camera/camera_info")
    wait_for_end(graph, replay(bag, "--topic", "camera/image_raw", "--rate", "50"))
    recorded = [message.data for message in Bag(bag).messages(["/cam/image"])]
    padded = [data + bytes(-len(data) % 4) for data in recorded]  # RTPS pads data to 4 bytes
    assert [image + bytes(-len(image) % 4) for image in images] == padded
    assert [stamp_ns(message) for message in calibrations] == [recordings.stamp_ns(i) for i in range(COUNT)]
    assert calibrations[0].k[0] == 50


def test_a_bag_with_new_stamps_and_frame(graph: Any, replay: Replay, tmp_path: Path) -> None:
    messages = [recordings.image_message(index) for index in range(COUNT)]
    bag = recordings.write_bag(tmp_path / "bag", {"/left": messages, "/right": messages})
    images = graph.collect(Image, "image")
    before = time.time_ns()
    wait_for_end(graph, replay(bag, "--from", "right", "--stamps", "now", "--frame-id", "left_eye", "--rate", "50"))
    assert numbers(images) == list(range(COUNT))
    stamps = [stamp_ns(message) for message in images]
    assert before < stamps[0] and stamps == sorted(stamps) and stamps[-1] < time.time_ns()
    assert {message.header.frame_id for message in images} == {"left_eye"}


@pytest.mark.parametrize("options", [["--speed", "2"], ["--rate", "20"]], ids=["speed", "rate"])
def test_the_clock_is_that_of_the_recorder(graph: Any, replay: Replay, tmp_path: Path, options: list[str]) -> None:
    """The messages of this bag were recorded every 100 ms, 20 ms after their stamps."""
    messages = [recordings.image_message(index) for index in range(COUNT)]
    bag = recordings.write_bag(tmp_path / "bag", {"/image": messages})
    clocks, images = graph.collect(Clock, "/clock", 1000), graph.collect(Image, "image")
    wait_for_end(graph, replay(bag, "--clock", *options))
    times = [message.clock.sec * 1_000_000_000 + message.clock.nanosec for message in clocks]
    recorded = [stamp_ns(image) + 20_000_000 for image in images]
    assert times == sorted(times) and recorded[0] <= times[0] < recorded[1] and times[-1] == recorded[-1]
    assert set(recorded[1:]) <= set(times) and len(times) > 2 * COUNT


@pytest.mark.parametrize(("settings", "period_ns"), [({"speed": 0.5}, 2 * PERIOD_NS), ({"rate_hz": 40.0}, 25_000_000)])
def test_the_stamps_of_a_video_follow_the_rate_of_sending(
    graph: Any, tmp_path: Path, settings: dict[str, float], period_ns: int
) -> None:
    """Otherwise the images of a slow replay get older and older, and those of a fast one come from the future."""
    source = open_source(recordings.write_video(tmp_path / "short.avi", 4))
    images = graph.collect(Image, "image")
    player = Player(graph.node, source, ReplayConfig(**settings))
    player.wait_for_subscriber()
    player.play()
    graph.until(lambda: len(images) == 4, "all images arrive")
    assert np.allclose(np.diff([stamp_ns(message) for message in images]), period_ns, atol=2e6)


def test_a_live_stream_is_published_without_its_password(graph: Any, replay: Replay) -> None:
    images = graph.collect(Image, "image")
    with http_server(frames=40) as server:
        address = stream_servers.address(server, "/stream", user=stream_servers.ADDRESS_USER)
        before = time.time_ns()
        output, errors = replay(address, "--reconnect", 0), ""
        graph.until(lambda: len(images) >= 3, "images arrive")
        graph.until(lambda: output.poll() is not None, "the program ends with the stream")
        text, errors = output.communicate()
    assert output.returncode == 1 and "expected more frames, got none for 0 s: " in errors
    assert "s3cret" not in text + errors and "robot" not in text + errors
    stamps = [stamp_ns(message) for message in images]
    assert before < stamps[0] and stamps == sorted(set(stamps)) and stamps[-1] < time.time_ns()
    assert {recordings.frame_number(np.frombuffer(each.data, np.uint8)) for each in images} <= set(range(20))


def write_bag_with_other_topics(folder: Path) -> Path:
    """Write a bag with three images, latched transforms, a clock, and messages that cannot be published."""
    types, make_time = recordings.TYPES.types, recordings.TYPES.types["builtin_interfaces/msg/Time"]
    images = [recordings.image_message(index) for index in range(3)]
    vector, quaternion = types["geometry_msgs/msg/Vector3"](1, 2, 3), types["geometry_msgs/msg/Quaternion"](0, 0, 0, 1)
    transform = types["geometry_msgs/msg/Transform"](vector, quaternion)
    make_transform = types["geometry_msgs/msg/TransformStamped"]
    clock = types["rosgraph_msgs/msg/Clock"]
    return recordings.write_bag(
        folder,
        {
            "/tf_static": [make_transform(images[0].header, "arm", transform)],
            "/clock": [clock(make_time(*divmod(recordings.stamp_ns(index), 10**9))) for index in range(3)],
            "/cam/image": images,
            "/tf": [types["tf2_msgs/msg/TFMessage"]([])],
            "/header": [replace(images[0].header, frame_id=frame) for frame in ("whole", "damaged")],
        },
        damage={1: lambda data: data[:12] if b"damaged" in data else data},
        latched=["/header"],
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sensor_msgs/msg/Image", Image),
        ("sensor_msgs/msg/Imag", None),
        ("missing_msgs/msg/Image", None),
        ("foxglove.Log in json encoding", None),
        ("/msg/Image", None),
        ("", None),
    ],
)
def test_the_type_of_another_topic_is_found_or_left_out(name: str, kind: Any) -> None:
    assert find_type(name) is kind


def test_other_topics_of_a_bag_are_published_on_request(graph: Any, replay: Replay, tmp_path: Path) -> None:
    bag = write_bag_with_other_topics(tmp_path / "bag")
    clocks, images = graph.collect(Clock, "/clock", 1000), graph.collect(Image, "image")
    child = replay(bag, "--also", "all", "--loop", "--rate", "20")
    graph.until(lambda: len(images) > 3, "the second pass has begun")
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    late = graph.collect(TransformStamped, "/tf_static", latched)
    graph.until(lambda: late and len(images) > 7, "a late subscriber gets the latched transform")
    child.send_signal(signal.SIGINT)
    graph.until(lambda: child.poll() is not None, "the replay has finished")
    assert late[0].child_frame_id == "arm"
    assert "a message of /header: expected a std_msgs/msg/Header, got " in child.communicate()[1]
    stamps = [message.clock.sec * 10**9 + message.clock.nanosec for message in clocks]
    expected = {stamp_ns(image) for image in images}
    assert len(set(stamps)) == len(stamps) and stamps == sorted(stamps)  # shifted in each pass, as the images
    assert {round(stamp, -9) for stamp in stamps} == {round(stamp, -9) for stamp in expected}


def test_the_clock_of_the_replay_replaces_a_recorded_one(graph: Any, tmp_path: Path) -> None:
    source = open_source(write_bag_with_other_topics(tmp_path / "bag"))
    Player(graph.node, source, ReplayConfig(also="/clock,tf_static", clock=True)).play()
    assert graph.node.count_publishers("/clock") == graph.node.count_publishers("/tf_static") == 1


def test_a_launched_replay_exits_with_0_when_it_is_interrupted(graph: Any, replay: Replay, video: Path) -> None:
    images = graph.collect(Image, "image")
    child = replay(video, "--loop", "--launched")
    graph.until(lambda: images, "an image arrives")
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGINT)  # a launch file repeats the signal of the terminal
    graph.until(lambda: child.poll() is not None, "the replay has finished")
    assert (child.returncode, "Traceback" in child.communicate()[1]) == (0, False)


def test_the_clock_keeps_increasing_in_a_loop(graph: Any, replay: Replay, video: Path) -> None:
    clocks, images = graph.collect(Clock, "/clock", 1000), graph.collect(Image, "image")
    child = replay(video, "--clock", "--loop", "--rate", "100")
    graph.until(lambda: len(images) > 2 * COUNT, "the third pass has begun")
    child.send_signal(signal.SIGINT)
    graph.until(lambda: child.poll() is not None, "the replay has finished")
    times = [message.clock.sec * 1_000_000_000 + message.clock.nanosec for message in clocks]
    assert times == sorted(times) and {stamp_ns(image) for image in images[1:]} <= set(times)


def test_the_calibration_of_a_file_is_published_with_each_image(graph: Any, replay: Replay, video: Path) -> None:
    (video.parent / "calibration.yaml").write_text(CALIBRATION)
    images = graph.collect(Image, "camera/image_raw")
    calibrations = graph.collect(CameraInfo, "camera/camera_info")
    wait_for_end(
        graph, replay(video, "--camera-info", "calibration.yaml", "--topic", "camera/image_raw", "--rate", "50")
    )
    assert [m.header for m in calibrations] == [m.header for m in images] and len(images) == COUNT
    info = calibrations[0]
    assert (info.width, info.height, info.distortion_model, info.d[0], info.k[2], info.p[6]) == (
        *(64, 48),
        *("plumb_bob", 0.1, 32, 24),
    )


def test_a_rate_and_a_namespace(graph: Any, replay: Replay, video: Path) -> None:
    images = graph.collect(Image, "/left/camera")
    child = replay(video, "--rate", "40", "--", "--ros-args", "-r", "__ns:=/left", "-r", "image:=camera")
    wait_for_end(graph, child)
    assert numbers(images) == list(range(COUNT))
    assert np.allclose(np.diff([stamp_ns(message) for message in images]), 25e6, atol=1e3)


@pytest.mark.parametrize(("number", "code", "kind"), [(signal.SIGINT, 130, "video"), (signal.SIGTERM, 143, "bag")])
def test_a_loop_runs_until_it_is_interrupted(
    graph: Any, replay: Replay, video: Path, number: signal.Signals, code: int, kind: str
) -> None:
    messages = [recordings.image_message(index) for index in range(COUNT)]
    source = video if kind == "video" else recordings.write_bag(video.parent / "bag", {"/image": messages})
    images = graph.collect(Image, "image")
    child = replay(source, "--loop", "--rate", "100")
    graph.until(lambda: len(images) >= 2 * COUNT + 3, "the third pass has begun")
    child.send_signal(number)
    graph.until(lambda: child.poll() is not None, "the replay has finished")
    _, error = child.communicate()
    assert child.returncode == code and "Traceback" not in error, error
    assert numbers(images)[: 2 * COUNT] == 2 * list(range(COUNT))
    steps = np.diff([stamp_ns(message) for message in images])
    assert (steps > 0).all() and steps[COUNT - 2] == pytest.approx(PERIOD_NS, rel=0.95)


def test_it_starts_without_a_subscriber(replay: Replay, video: Path) -> None:
    child = replay(video, "--wait", "0.1", "--rate", "100")
    _, error = child.communicate(timeout=EXIT_TIMEOUT_S)
    assert child.returncode == 0 and "/image: no subscriber; starting anyway" in error


def test_it_waits_for_a_subscriber(graph: Any, replay: Replay, video: Path) -> None:
    child = replay(video, "--rate", "100")
    graph.until(lambda: graph.node.count_publishers("image") > 0, "the replay is discovered")
    assert child.poll() is None
    images = graph.collect(Image, "image")
    wait_for_end(graph, child)
    assert numbers(images) == list(range(COUNT))


def wait_for_failures(graph: Any, child: subprocess.Popen[str]) -> list[str]:
    """Wait for a replay that ends with a list of images that could not be read. Return the list."""
    graph.until(lambda: child.poll() is not None, "the replay has finished")
    output, error = child.communicate(timeout=EXIT_TIMEOUT_S)
    lines = error.strip().splitlines()
    (head,) = (index for index, line in enumerate(lines) if line.endswith("could not be read:"))
    assert child.returncode == 1 and " images in " in output
    return lines[head + 1 :]


def test_a_broken_image_does_not_end_the_replay(graph: Any, replay: Replay, tmp_path: Path) -> None:
    folder = recordings.write_images(tmp_path / "images", ["1.png", "2.png", "3.png"])
    (folder / "2.png").write_bytes(b"no image")
    images = graph.collect(Image, "image", 10)
    (line,) = wait_for_failures(graph, replay(folder))
    assert line.startswith(f"pose_ros: image {folder}/2.png: expected a complete image")
    assert numbers(images) == [0, 2]


@pytest.mark.parametrize("arguments", [[], ["--frame-id", "mine"]], ids=["unchanged", "other frame"])
def test_a_broken_message_does_not_end_the_replay(
    graph: Any, replay: Replay, tmp_path: Path, arguments: list[str]
) -> None:
    messages = [recordings.image_message(index) for index in range(3)]
    bag = recordings.write_bag(tmp_path / "bag", {"/image": messages}, damage={1: lambda data: data[:6]})
    images = graph.collect(Image, "image", 10)
    (line,) = wait_for_failures(graph, replay(bag, *arguments))
    assert line.startswith(f"pose_ros: bag {bag}, message 1 of /image: expected a sensor_msgs/msg/Image, got ")
    assert numbers(images) == [0, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["missing.avi"], "missing.avi, which does not exist", id="source"),
        pytest.param(
            ["walk.avi", "--camera-info", "missing.yaml"], "missing.yaml, which does not exist", id="calibration"
        ),
        pytest.param(
            ["walk.avi", "--camera-info", "walk.avi"],
            "camera_info: expected a YAML file, got walk.avi, which is not text",
            id="no yaml",
        ),
        pytest.param(
            ["walk.avi", "--camera-info", "text.yaml"],
            "camera_info text.yaml: expected a file of camera_calibration, got str 'hello'; name the YAML file",
            id="text",
        ),
        pytest.param(
            ["walk.avi", "--camera-info", "part.yaml"], "camera_calibration, got no entry 'image_width'", id="no entry"
        ),
        pytest.param(
            ["walk.avi", "--topic", "bad topic!"],
            "--topic: expected a ROS topic name, got 'bad topic!'; use letters",
            id="name",
        ),
        pytest.param(
            ["walk.avi", "--", "--ros-args", "-r", "image:=bad topic!"],
            "ROS arguments: expected ROS arguments, got -r image:=bad topic!; write",
            id="remapping",
        ),
        pytest.param(["walk.avi", "--", "--ros-args", "--bogus"], "got --bogus; write -- --ros-args", id="argument"),
        pytest.param(["walk.avi", "--from", "/image"], "--from: expected a bag, got walk.avi", id="from a video"),
        pytest.param(["walk.avi", "--stamps", "mine"], "expected one of original, now, got 'mine'", id="stamps"),
        pytest.param(["walk.avi", "--clock", "--stamps", "now"], "expected original with clock, got now", id="clock"),
        pytest.param(["broken", "--wait", "0"], "2.png: expected a complete image", id="broken image"),
        pytest.param(["broken", "--wait", "0", "--strict"], "2.png: expected a complete image", id="strict"),
        pytest.param(["walk.avi", "--also", "/tf"], "also: expected a bag, got walk.avi", id="also of a video"),
        pytest.param(["bag", "--also", "/imag"], "got /imag; did you mean /image?", id="unknown topic"),
        pytest.param(
            ["bag", "--also", "all", "--stamps", "now"], "expected original with also, got now", id="also now"
        ),
        pytest.param(["bag", "--compressed"], "compressed: expected a video or images, got a bag", id="compressed bag"),
    ],
)
@pytest.mark.usefixtures("domain_id")
def test_errors_are_one_line(video: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(video.parent)
    folder = recordings.write_images(video.parent / "broken", ["1.png", "2.png"])
    (folder / "2.png").write_bytes(b"no image")
    recordings.write_bag(video.parent / "bag", {"/image": [recordings.image_message(0)]})
    (video.parent / "text.yaml").write_text("hello")
    (video.parent / "part.yaml").write_text("a: 1")
    result = CliRunner().invoke(app, ["replay", *arguments])
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert message in result.output.strip().splitlines()[-1]
