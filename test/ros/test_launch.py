"""Tests of the launch files, if launch_ros is installed."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import recordings

pytest.importorskip("launch_ros", reason="launch_ros is not installed: ROS 2 from wheels has no launch")

from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_source import LaunchDescriptionSource
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.utilities import evaluate_parameters
from lifecycle_msgs.srv import GetState
from pose_ros.msg import PersonPoseArray
from sensor_msgs.msg import Image

TIMEOUT_S = 180.0  # three programs start one after the other
LAUNCH = """
import itertools, sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

file, *words = sys.argv[1:]
robots = [list(group) for is_mark, group in itertools.groupby(words, lambda word: word == "and") if not is_mark]
source = PythonLaunchDescriptionSource(file)
files = [
    IncludeLaunchDescription(source, launch_arguments=[word.split(":=", 1) for word in robot])
    for robot in robots or [[]]
]
service = LaunchService()
service.include_launch_description(LaunchDescription(files))
sys.exit(service.run())
"""
DRIVER = """#!{python}
import sys
import rclpy
from sensor_msgs.msg import Image

rclpy.init(args=sys.argv)
node = rclpy.create_node("driver")
topic = sys.argv[1] if sys.argv[1].startswith("~") else "image_raw"
images = node.create_publisher(Image, topic, 1)
node.create_timer(0.1, lambda: images.publish(Image(height=64, width=64, step=64, encoding="mono8", data=bytes(4096))))
try:
    rclpy.spin(node)
except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
    pass
"""
DRIVER_LAUNCH = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch.launch_description_source import LaunchDescriptionSource
from launch_ros.actions import Node

def generate_launch_description():
    driver = Node(package="{package}", executable="driver", arguments=["{topic}"], {where})
    return LaunchDescription([*(DeclareLaunchArgument(n, default_value=d) for n, d in {defaults}), driver])
"""
FOLDER = Path(__file__).resolve().parents[2] / "launch"
YEAR_MS = 365 * 24 * 3_600_000
EXECUTABLES = {"usb_cam": "usb_cam_node_exe", "v4l2_camera": "v4l2_camera_node", "rviz2": "rviz2"}
LAUNCH_FILES = {
    "realsense2_camera/launch/rs_launch.py": {
        "topic": "~/color/image_raw",
        "where": 'namespace=LaunchConfiguration("camera_namespace"), name=LaunchConfiguration("camera_name")',
        "defaults": [("camera_namespace", "camera"), ("camera_name", "camera")],
    },
    "zed_wrapper/launch/zed_camera.launch.py": {
        "topic": "~/rgb/color/rect/image",
        "where": """
        namespace=PythonExpression(["'", LaunchConfiguration("namespace"), "' or 'zed'"]),
        name=PythonExpression(["'zed' if '", LaunchConfiguration("namespace"), "' else 'zed_node'"])""",
        "defaults": [("camera_name", "zed")],
    },
}


def load_launch_file(name: str) -> Any:
    """Import a launch file as a module."""
    spec = importlib.util.spec_from_file_location(name.replace(".", "_"), FOLDER / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def module() -> Any:
    return load_launch_file("camera.launch.py")


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide all packages except pose_ros."""
    monkeypatch.setenv("AMENT_PREFIX_PATH", get_package_prefix("pose_ros"))


@pytest.fixture
def drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install fake drivers of all cameras. Each publishes images."""
    prefix = tmp_path / "prefix"
    index = prefix / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}:{os.environ['AMENT_PREFIX_PATH']}")

    def install(package: str, executable: str) -> None:
        (index / package).touch()
        program = prefix / "lib" / package / executable
        program.parent.mkdir(parents=True)
        program.write_text(DRIVER.format(python=sys.executable))
        program.chmod(0o755)

    for package, executable in EXECUTABLES.items():
        install(package, executable)
    for path, fields in LAUNCH_FILES.items():
        file, package = prefix / "share" / path, path.partition("/")[0]
        install(package, "driver")
        file.parent.mkdir(parents=True)
        file.write_text(DRIVER_LAUNCH.format(package=package, **fields))
    return prefix


def make_actions(module: Any, **arguments: str) -> list[Any]:
    """Return the actions that these arguments select."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    for entity in module.generate_launch_description().entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    (group,) = module.start(context)
    assert isinstance(group, GroupAction)
    return group.get_sub_entities()


def find_node(actions: list[Any], executable: str) -> Node:
    """Return the single node of a program."""
    (found,) = [a for a in actions if isinstance(a, Node) and a.node_executable == executable]
    return found


def remappings_of(node: Node) -> dict[str, str]:
    """Return the remappings of a node."""
    rules = node._Node__remappings
    return {a[0].text: b[0].text for a, b in rules}


def parameters_of(node: Node) -> dict[str, Any]:
    """Return the parameters of a node that are not from a file."""
    overrides = [parameters for parameters in node._Node__parameters if isinstance(parameters, dict)]
    return {name: value for values in evaluate_parameters(LaunchContext(), overrides) for name, value in values.items()}


@pytest.mark.parametrize("file", ["camera.launch.py", "replay.launch.py"])
def test_every_argument_is_described(file: str) -> None:
    module = load_launch_file(file)
    description = module.generate_launch_description()
    assert isinstance(description, LaunchDescription)
    declared = [entity for entity in description.entities if isinstance(entity, DeclareLaunchArgument)]
    assert {argument.name for argument in declared} == set(module.ARGUMENTS)
    assert all(argument.description.startswith(module.ARGUMENTS[argument.name][1]) for argument in declared)
    assert [argument.name for argument in declared if argument.default_value is None] in ([], ["bag"])


@pytest.mark.parametrize(
    ("arguments", "topic", "frame"),
    [
        pytest.param({"camera": "none"}, "image", "camera", id="none"),
        pytest.param({"camera": "usb_cam"}, "camera/image_raw", "camera", id="usb_cam"),
        pytest.param({"camera": "v4l2_camera"}, "camera/image_raw", "camera", id="v4l2_camera"),
        pytest.param(
            {"camera": "realsense"}, "camera/camera/color/image_raw", "camera_color_optical_frame", id="realsense"
        ),
        pytest.param(
            {"camera": "realsense", "camera_name": "left", "camera_namespace": "arm"},
            *("arm/left/color/image_raw", "left_color_optical_frame"),
            id="named realsense",
        ),
        pytest.param({"camera": "zed"}, "zed/zed_node/rgb/color/rect/image", "zed_left_camera_frame_optical", id="zed"),
        pytest.param(
            {"camera": "zed", "camera_name": "eye", "namespace": "robot"},
            *("eye/rgb/color/rect/image", "eye_left_camera_frame_optical"),
            id="named zed of a robot",
        ),
        pytest.param({"camera": "video", "video": "people.mp4"}, "camera/image", "camera", id="video"),
    ],
)
@pytest.mark.usefixtures("drivers")
def test_the_images_of_each_camera_reach_the_node(
    module: Any, arguments: dict[str, str], topic: str, frame: str
) -> None:
    actions = make_actions(module, **arguments, rviz="true")
    assert remappings_of(find_node(actions, "pose_node"))["image"] == topic
    processes = [action for action in actions if isinstance(action, (Node, IncludeLaunchDescription))]
    assert len(processes) == (2 if arguments["camera"] == "none" else 3)
    rviz = find_node(actions, "rviz2")
    assert remappings_of(rviz) == {
        "/image": topic,
        "/pose_estimator/overlay": "pose_estimator/overlay",
        "/pose_estimator/markers": "pose_estimator/markers",
    }
    assert rviz._Node__arguments[-2:] == ["-f", frame]


@pytest.mark.usefixtures("drivers")
def test_given_arguments_override_the_camera(module: Any) -> None:
    arguments = {"image_topic": "/mine", "camera_info_topic": "/info", "frame": "map", "rviz": "true"}
    actions = make_actions(module, camera="realsense", **arguments)
    assert remappings_of(find_node(actions, "pose_node")) == {"image": "/mine", "camera_info": "/info"}
    assert remappings_of(find_node(actions, "rviz2"))["/image"] == "/mine"
    assert find_node(actions, "rviz2")._Node__arguments[-1] == "map"


@pytest.mark.parametrize(
    ("arguments", "remappings"),
    [
        pytest.param(
            {"camera": "realsense"},
            {
                "image": "camera/camera/color/image_raw",
                "depth/image": "camera/camera/aligned_depth_to_color/image_raw",
            },
            id="realsense",
        ),
        pytest.param(
            {"camera": "zed"},
            {"image": "zed/zed_node/rgb/color/rect/image", "depth/image": "zed/zed_node/depth/depth_registered"},
            id="zed",
        ),
        pytest.param(
            {"camera": "none", "image_topic": "/rgb", "depth_topic": "/depth"},
            {"image": "/rgb", "depth/image": "/depth"},
            id="topic",
        ),
    ],
)
@pytest.mark.usefixtures("drivers")
def test_depth_comes_from_the_camera(module: Any, arguments: dict[str, str], remappings: dict[str, str]) -> None:
    node = find_node(make_actions(module, depth="True", **arguments), "pose_node")
    assert parameters_of(node)["depth.enabled"] is True
    assert remappings_of(node) == remappings
    without = parameters_of(find_node(make_actions(module, **arguments), "pose_node"))
    assert "depth.enabled" not in without


def test_tracking_can_be_turned_off(module: Any) -> None:
    node = find_node(make_actions(module, camera="none", tracking="False"), "pose_node")
    assert parameters_of(node)["tracking.enabled"] is False


@pytest.mark.usefixtures("drivers")
def test_several_cameras_are_one_node(module: Any) -> None:
    names = ["front", "rear"]
    actions = make_actions(
        module, camera="usb_cam", cameras="front, rear", rviz="true", camera_params_file="cameras.yaml"
    )
    estimator = find_node(actions, "pose_node")
    assert remappings_of(estimator) == {"front/image": "front/image_raw", "rear/image": "rear/image_raw"}
    assert list(parameters_of(estimator)["cameras"]) == names
    usb_cams = [a for a in actions if isinstance(a, Node) and a.node_executable == "usb_cam_node_exe"]
    assert [usb_cam._Node__node_namespace for usb_cam in usb_cams] == names
    assert remappings_of(find_node(actions, "rviz2"))["/pose_estimator/markers"] == "pose_estimator/front/markers"
    actions = make_actions(module, camera="none", cameras="front,rear", image_topic="color/image")
    assert remappings_of(find_node(actions, "pose_node")) == {
        "front/image": "front/color/image",
        "rear/image": "rear/color/image",
    }


@pytest.mark.usefixtures("drivers")
def test_a_namespace_is_pushed_on_everything_once(module: Any) -> None:
    def kinds(camera: str, namespace: str) -> list[type]:
        kept = (PushRosNamespace, IncludeLaunchDescription)
        return [
            type(action) for action in make_actions(module, camera=camera, namespace=namespace) if type(action) in kept
        ]

    assert kinds("realsense", "robot") == [PushRosNamespace, IncludeLaunchDescription]
    assert kinds("zed", "robot") == [IncludeLaunchDescription, PushRosNamespace]
    assert kinds("realsense", "") == [IncludeLaunchDescription]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            {"camera": "usb_cam"}, "camera: .* package usb_cam, .*; sudo apt install ros-.*-usb-cam", id="usb"
        ),
        pytest.param({"camera": "v4l2_camera"}, "sudo apt install ros-.*-v4l2-camera$", id="v4l2"),
        pytest.param({"camera": "realsense"}, "sudo apt install ros-.*-realsense2-camera$", id="realsense"),
        pytest.param({"camera": "zed"}, "package zed_wrapper, .*github.com/stereolabs/zed-ros2-wrapper", id="zed"),
        pytest.param({"camera": "none", "rviz": "true"}, "rviz: .* sudo apt install ros-.*-rviz2$", id="rviz"),
    ],
)
@pytest.mark.usefixtures("no_driver")
def test_a_missing_package_is_reported(module: Any, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        make_actions(module, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"cameras": "front,2rear"}, r"cameras: expected names of letters.*'2rear'", id="name"),
        pytest.param({"cameras": "front,front"}, "cameras: expected unique names", id="same name"),
        pytest.param(
            {"cameras": "front,rear", "image_topic": "/a"},
            "image_topic: expected with cameras a topic below .*; use image_topics:=front:=/a",
            id="one absolute topic for two cameras",
        ),
        pytest.param({"cameras": "front", "image_topics": "back:=/a"}, r"cameras .*\(front\), got back", id="unknown"),
        pytest.param({"cameras": "front", "image_topics": "/a"}, "expected topics such as front:=/a", id="no camera"),
        pytest.param({"image_topics": "front:=/a"}, "none; add cameras:=front,rear", id="without cameras"),
        pytest.param({"cameras": "front", "poses_topic": "/people"}, "poses_topic: expected with cameras", id="output"),
    ],
)
def test_wrong_cameras_and_topics_are_refused(module: Any, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_actions(module, camera="none", **arguments)


def test_each_camera_has_its_topic(module: Any) -> None:
    topics = {"image_topics": "front:=/a, rear:=/b", "camera_info_topics": "rear:=/b_info", "poses_topic": "people"}
    estimator = find_node(make_actions(module, camera="none", cameras="front,rear,left", **topics), "pose_node")
    assert remappings_of(estimator) == {
        "front/image": "/a",
        "rear/image": "/b",
        "rear/camera_info": "/b_info",
        "left/image": "left/image",
        **{f"~/{name}/poses": f"{name}/people" for name in ("front", "rear", "left")},
    }


@pytest.mark.parametrize(("switch", "value"), [("True", True), ("true", True), ("False", False), ("false", False)])
def test_switches_are_written_as_in_python_or_yaml(module: Any, switch: str, value: bool) -> None:
    actions = make_actions(module, camera="none", use_sim_time=switch, autostart=switch, respawn=switch)
    parameters = parameters_of(find_node(actions, "pose_node"))
    assert (parameters["use_sim_time"], parameters["autostart"]) == (value, value)


def test_texts_stay_texts(module: Any) -> None:
    actions = make_actions(module, camera="none", model="123", runtime="on", cameras="yes,no")
    parameters = parameters_of(find_node(actions, "pose_node"))
    assert (parameters["model"], parameters["runtime.backend"]) == ("123", "on")
    assert list(parameters["cameras"]) == ["yes", "no"]


def test_the_node_has_another_name_and_topics(module: Any) -> None:
    actions = make_actions(module, camera="none", estimator_name="eyes", poses_topic="/people", overlay_topic="drawn")
    estimator = find_node(actions, "pose_node")
    assert estimator._Node__node_name == "eyes"
    assert remappings_of(estimator) == {"image": "image", "~/poses": "/people", "~/overlay": "drawn"}


def test_a_wrong_argument_is_refused(module: Any) -> None:
    with pytest.raises(ValueError, match="expected a file with camera:=video"):
        make_actions(module, camera="video")
    with pytest.raises(ValueError, match="cameras: expected none with camera:=zed, got front,rear"):
        make_actions(module, camera="zed", cameras="front,rear")
    with pytest.raises(ValueError, match="respawn: expected autostart:=true, got launch"):
        make_actions(module, camera="none", autostart="launch", respawn="true")
    with pytest.raises(RuntimeError, match="camera"):
        make_actions(module, camera="abacus")


class LaunchProcess:
    """A process that runs a launch file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    @property
    def output(self) -> str:
        """Output of the launch file and all its processes."""
        return self._log.read_text()

    def stop(self) -> int:
        """Interrupt the launch file and its processes, as Ctrl-C in a terminal does. Return its exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=120)


Launch = Callable[..., LaunchProcess]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Return ``launch("camera.launch.py", "camera:=none")``, which starts a launch file.

    The argument "and" separates the arguments of several copies of the file.
    """
    program, log = tmp_path / "launch_it.py", tmp_path / "output.txt"
    program.write_text(LAUNCH)
    running = []

    def launch(file: str, *arguments: str) -> LaunchProcess:
        command = [sys.executable, str(program), str(FOLDER / file), *arguments]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        running.append(LaunchProcess(process, log))
        return running[-1]

    yield launch
    for launched in running:
        launched.stop()


@pytest.fixture
def state(call: Any) -> Callable[[], str]:
    """Return a function that requests the state of the node."""
    return lambda: str(call(GetState, "/pose_estimator/get_state").current_state.label)


def test_the_example_with_two_robots() -> None:
    """The image topic of the first robot does not reach the second."""
    source = LaunchDescriptionSource(load_launch_file("../examples/two_robots.launch.py").generate_launch_description())
    first, second = collect_nodes(IncludeLaunchDescription(source), LaunchContext())
    assert (remappings_of(first), remappings_of(second)) == ({"image": "/front/image"}, {"image": "image"})
    assert (first.expanded_node_namespace, second.expanded_node_namespace) != ("", "")


def test_the_nodes_of_two_robots_start_publish_and_stop(
    graph: Any, launch: Launch, toy_model: Path, paint: Any, image_message: Any
) -> None:
    both = ["camera:=none", f"model:={toy_model}", "image_topic:=/front/image"]
    launched = launch("camera.launch.py", *both, "namespace:=one", "and", *both, "namespace:=two")
    publisher = graph.node.create_publisher(Image, "/front/image", 1)
    answers = [graph.collect(PersonPoseArray, f"/{robot}/pose_estimator/poses") for robot in ("one", "two")]
    graph.until(lambda: publisher.get_subscription_count() == 2, "both nodes subscribe", TIMEOUT_S)
    message = image_message(paint(20))
    graph.until(lambda: publisher.publish(message) or all(answers), "both nodes publish poses", TIMEOUT_S)
    assert launched.stop() == 0
    assert [len(messages[0].people) for messages in answers] == [1, 1]
    assert launched.output.count("process has finished cleanly") == 2
    assert "Traceback" not in launched.output


@pytest.mark.parametrize(
    ("camera", "robot"), [("usb_cam", ""), ("realsense", "robot"), ("zed", ""), ("zed", "robot"), ("video", "robot")]
)
def test_a_driver_starts_and_its_images_are_processed(
    graph: Any, launch: Launch, toy_model: Path, drivers: Path, camera: str, robot: str
) -> None:
    video = recordings.write_video(drivers.parent / "walk.avi")
    launched = launch(
        "camera.launch.py", f"camera:={camera}", f"video:={video}", f"namespace:={robot}", f"model:={toy_model}"
    )
    answers = graph.collect(PersonPoseArray, f"{'/' * bool(robot)}{robot}/pose_estimator/poses")
    graph.until(lambda: answers, "an image of the driver is processed", TIMEOUT_S)
    launched.stop()
    assert "Traceback" not in launched.output


@pytest.mark.usefixtures("drivers")
def test_the_drivers_of_two_cameras_and_one_node(graph: Any, launch: Launch, toy_model: Path) -> None:
    launch("camera.launch.py", "camera:=usb_cam", "cameras:=front,rear", f"model:={toy_model}")
    answers = [graph.collect(PersonPoseArray, f"/pose_estimator/{name}/poses") for name in ("front", "rear")]
    graph.until(lambda: all(answers), "an image of each camera is processed", TIMEOUT_S)


@pytest.mark.usefixtures("no_driver", "domain_id")
def test_a_missing_driver_stops_the_launch_with_one_line(launch: Launch) -> None:
    launched = launch("camera.launch.py", "camera:=usb_cam")
    assert launched.process.wait(timeout=120) == 1
    (line,) = [line for line in launched.output.splitlines() if "usb_cam" in line]
    assert line.endswith("-usb-cam") and "Traceback" not in launched.output


def collect_nodes(entity: Any, context: LaunchContext) -> list[Node]:
    """Visit an entity like launch does, but execute no process. Return the nodes."""
    if isinstance(entity, Node):
        return [entity]
    return [node for each in entity.visit(context) or () for node in collect_nodes(each, context)]


def test_arguments_of_other_launch_files_are_ignored() -> None:
    """The first robot, or the parent, must not change the second one. Simulated time is common."""
    included = load_launch_file("camera.launch.py").generate_launch_description()
    source = LaunchDescriptionSource(included)
    context = LaunchContext()
    context.launch_configurations.update(
        model="robot.urdf", camera="/dev/video0", log_level="warn", use_sim_time="True"
    )
    one = {"camera": "none", "namespace": "one", "image_topic": "/front/image", "runtime": "onnx", "model": "my.onnx"}
    two = {"camera": "none", "namespace": "two"}
    first, second = (
        node
        for arguments in (one, two)
        for node in collect_nodes(IncludeLaunchDescription(source, launch_arguments=arguments.items()), context)
    )
    assert remappings_of(first) == {"image": "/front/image"} and remappings_of(second) == {"image": "image"}
    assert parameters_of(first) == {"model": "my.onnx", "runtime.backend": "onnx", "use_sim_time": True}
    assert parameters_of(second) == {"use_sim_time": True}
    assert context.launch_configurations["model"] == "my.onnx"  # the parent keeps what it has
    assert "params_file" not in context.launch_configurations


def test_the_replay_lists_what_it_passes_on() -> None:
    camera, replay = load_launch_file("camera.launch.py"), load_launch_file("replay.launch.py")
    of_cameras = {name for name in camera.ARGUMENTS if name.startswith(("camera", "image_topic", "video"))}
    assert set(camera.ARGUMENTS) - of_cameras <= set(replay.ARGUMENTS)


@pytest.mark.parametrize(
    ("messages", "arguments", "transport", "sim_time"),
    [
        pytest.param(recordings.image_message, {}, "raw", True, id="raw"),
        pytest.param(recordings.compressed_message, {}, "compressed", True, id="compressed"),
        pytest.param(
            recordings.compressed_message,
            {"image_transport": "raw", "use_sim_time": "false"},
            *("raw", False),
            id="as requested",
        ),
    ],
)
def test_the_replay_finds_the_transport(
    tmp_path: Path, messages: Any, arguments: dict[str, str], transport: str, sim_time: bool
) -> None:
    bag = recordings.write_bag(tmp_path / "bag", {"/eye": [messages(0)]})
    source = LaunchDescriptionSource(load_launch_file("replay.launch.py").generate_launch_description())
    include = IncludeLaunchDescription(source, launch_arguments={"bag": str(bag), **arguments}.items())
    _, estimator = collect_nodes(include, LaunchContext())
    assert parameters_of(estimator) == {"image_transport": transport, "use_sim_time": sim_time}


def test_a_launch_ends_with_an_error_if_its_program_fails(launch: Launch, tmp_path: Path, domain_id: int) -> None:
    launched = launch("camera.launch.py", "camera:=none", "model:=missing.onnx")
    assert launched.process.wait(timeout=TIMEOUT_S) == 1
    assert "pose_node: expected exit code 0, got 1; its error is above" in launched.output
    launched = launch("camera.launch.py", "camera:=video", f"video:={tmp_path}/missing.avi")
    assert launched.process.wait(timeout=TIMEOUT_S) == 1 and "missing.avi, which does not exist" in launched.output
    launched = launch("replay.launch.py", f"bag:={tmp_path}/missing")
    assert launched.process.wait(timeout=TIMEOUT_S) == 1 and "missing, which does not exist" in launched.output


def test_an_interrupted_replay_ends_cleanly(graph: Any, launch: Launch, tmp_path: Path, toy_model: Path) -> None:
    video = recordings.write_video(tmp_path / "walk.avi")
    answers = graph.collect(PersonPoseArray, "/pose_estimator/poses")
    launched = launch("replay.launch.py", f"bag:={video}", "loop:=True", f"model:={toy_model}")
    graph.until(lambda: answers, "the replay is processed", TIMEOUT_S)
    assert launched.stop() == 0
    assert "process has died" not in launched.output and "Traceback" not in launched.output


def test_a_node_that_waits_for_a_manager(graph: Any, launch: Launch, toy_model: Path, state: Any) -> None:
    launched = launch("camera.launch.py", "camera:=none", f"model:={toy_model}", "autostart:=false")
    graph.until(lambda: graph.node.count_publishers("/diagnostics"), "the node is discovered", TIMEOUT_S)
    assert state() == "unconfigured"
    assert launched.stop() == 0 and ": loading" not in launched.output


def test_a_node_that_the_launch_file_configures_and_activates(
    graph: Any, launch: Launch, toy_model: Path, state: Any
) -> None:
    launched = launch("camera.launch.py", "camera:=none", f"model:={toy_model}", "autostart:=launch")
    graph.until(lambda: "ready: receiving" in launched.output, "it is ready", TIMEOUT_S)
    assert state() == "active"
    launched.stop()
    assert "Failed to make transition" not in launched.output and "refused" not in launched.output


def test_a_node_that_dies_is_restarted(graph: Any, launch: Launch, toy_model: Path) -> None:
    launched = launch("camera.launch.py", "camera:=none", f"model:={toy_model}", "respawn:=true")
    graph.until(lambda: "ready: receiving" in launched.output, "it is ready", TIMEOUT_S)
    os.kill(int(launched.output.partition("process started with pid [")[2].partition("]")[0]), signal.SIGKILL)
    graph.until(lambda: launched.output.count("ready: receiving") == 2, "it is ready again", TIMEOUT_S)


def test_a_recording_in_its_own_time(graph: Any, launch: Launch, tmp_path: Path, toy_model: Path) -> None:
    """The images were recorded in another year, 20 ms after their stamps."""
    bag = recordings.write_bag(tmp_path / "bag", {"/eye": [recordings.image_message(index) for index in range(12)]})
    answers = graph.collect(PersonPoseArray, "/robot/pose_estimator/poses")
    launched = launch("replay.launch.py", f"bag:={bag}", "topic:=/eye", "namespace:=robot", f"model:={toy_model}")
    graph.until(lambda: launched.process.poll() is not None, "the launch has ended with the recording", TIMEOUT_S)
    assert launched.process.returncode == 0, launched.output
    assert answers and all(20 <= answer.latency_ms < YEAR_MS for answer in answers)
    assert {answer.header.stamp.sec for answer in answers} <= {
        recordings.stamp_ns(index) // 10**9 for index in range(12)
    }
