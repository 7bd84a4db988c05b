"""A camera, the pose estimator, and RViz if wanted.

    ros2 launch pose_ros camera.launch.py camera:=usb_cam rviz:=true
    ros2 launch pose_ros camera.launch.py camera:=video video:=people.mp4
    ros2 launch pose_ros camera.launch.py camera:=none image_topic:=/my/camera/image_raw
    ros2 launch pose_ros camera.launch.py camera:=none cameras:=front,rear image_topic:=color/image_raw

Every further argument reaches the launch file of the driver: ``camera:=zed camera_model:=zed2i``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node, PushRosNamespace
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

Given = dict[str, str]
ONLY_NAME = "camera"  # of a single camera whose driver is started here


class Source(NamedTuple):
    """One camera.

    Attributes:
        image: The topic of its images.
        frame: Of its images.
        driver: What starts it.
        has_own_namespace: Whether the driver reads the argument ``namespace``, and must not get it twice.
    """

    image: str
    frame: str
    driver: LaunchDescriptionEntity | None = None
    has_own_namespace: bool = False


def file_of(package: str, *path: str) -> PathJoinSubstitution:
    """A file that a package has installed."""
    return PathJoinSubstitution([FindPackageShare(package), *path])


def require(argument: str, package: str, install: str = "") -> None:
    """Say in one sentence what is missing."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        distro = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        install = install or f"sudo apt install ros-{distro}-{package.replace('_', '-')}"
        raise RuntimeError(f"{argument}: expected the package {package}, which is not installed: {install}") from None


def no_driver(given: Given, name: str) -> Source:
    """A camera that is there already."""
    return Source(f"{name}/image" if given["cameras"] else "image", name)


def driver_node(package: str, executable: str, frame_parameter: str) -> Callable[[Given, str], Source]:
    """A camera whose driver is one node, which is started in the namespace of its name."""

    def source(given: Given, name: str) -> Source:
        require("camera", package)
        parameters = [{frame_parameter: name}, *filter(None, [given["camera_params_file"]])]
        driver = Node(
            package=package, executable=executable, name=package, namespace=name, parameters=parameters, output="screen"
        )
        return Source(f"{name}/image_raw", name, driver)

    return source


def driver_file(given: Given, package: str, name: str, install: str = "") -> IncludeLaunchDescription:
    """The launch file of a driver. It starts one camera, and gets every argument that ours has got."""
    if given["cameras"]:
        raise ValueError(
            f"cameras: expected none with camera:={given['camera']}, got {given['cameras']}: start their drivers "
            "yourself, and this with camera:=none"
        )
    require("camera", package, install)
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(file_of(package, "launch", name)))


def realsense(given: Given, _: str) -> Source:
    """An Intel RealSense."""
    driver = driver_file(given, "realsense2_camera", "rs_launch.py")
    namespace, name = given.get("camera_namespace", "camera"), given.get("camera_name", "camera")
    return Source(f"{namespace}/{name}/color/image_raw", f"{name}_color_optical_frame", driver)


def zed(given: Given, _: str) -> Source:
    """A ZED; before version 5.1 of its driver with ``image_topic:=zed/zed_node/rgb/image_rect_color``."""
    install = "build it as https://github.com/stereolabs/zed-ros2-wrapper says"
    driver = driver_file(given, "zed_wrapper", "zed_camera.launch.py", install)
    name = given.get("camera_name", "zed")
    node = name if given["namespace"] else f"{name}/{given.get('node_name', 'zed_node')}"  # as its launch file has it
    return Source(f"{node}/rgb/color/rect/image", f"{name}_left_camera_frame_optical", driver, has_own_namespace=True)


def video(given: Given, name: str) -> Source:
    """A recording as a camera."""
    if not given["video"]:
        raise ValueError("video: expected a file with camera:=video, got none: add video:=people.mp4")
    arguments = ["replay", given["video"], "--loop", "--stamps", "now", "--frame-id", name, "--"]
    driver = Node(package="pose_ros", executable="pose_ros", arguments=arguments, namespace=name, output="screen")
    return Source(f"{name}/image", name, driver)


CAMERAS = {
    "none": no_driver,
    "usb_cam": driver_node("usb_cam", "usb_cam_node_exe", "frame_id"),
    "v4l2_camera": driver_node("v4l2_camera", "v4l2_camera_node", "camera_frame_id"),
    "realsense": realsense,
    "zed": zed,
    "video": video,
}
SWITCH = ("true", "false")
ARGUMENTS = {  # default, description, choices
    "camera": ("usb_cam", "The camera to start; none: its images are there already.", tuple(CAMERAS)),
    "cameras": ("", "Names of several cameras, front,rear: each in its namespace, one node for all.", None),
    "camera_params_file": ("", "Parameters of usb_cam or v4l2_camera, such as video_device.", None),
    "video": ("", "Video file, folder of images or rosbag2, for camera:=video.", None),
    "image_topic": ("", "Topic of the images, with cameras that below each name; empty: of the camera.", None),
    "camera_info_topic": ("", "Topic of the calibration, likewise; empty: camera_info beside the images.", None),
    "image_transport": ("", "raw or compressed; empty: that of params_file.", ("", "raw", "compressed")),
    "model": ("", "ONNX file of the network; empty: that of params_file.", None),
    "runtime": ("", "Runtime of the network (auto, tensorrt, onnx, …); empty: that of params_file.", None),
    "params_file": (file_of("pose_ros", "config", "camera.yaml"), "Parameters of the node.", None),
    "namespace": ("", "Namespace of everything that is started: one for each robot.", None),
    "use_sim_time": ("false", "Take the time from /clock, for a simulation or a bag.", SWITCH),
    "autostart": (
        "",
        "Who configures and activates the node. true: itself; launch: this file, by lifecycle events; false: somebody "
        "else; empty: that of params_file.",
        ("", "true", "launch", "false"),
    ),
    "respawn": ("false", "Start the node again when it has ended, after 2 s.", SWITCH),
    "rviz": ("false", "Start RViz with the people, the overlay and the camera image.", SWITCH),
    "frame": ("", "Fixed frame of RViz; empty: that of the camera.", None),
    "log_level": ("info", "Least severity that the node logs.", ("debug", "info", "warn", "error", "fatal")),
}


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Everything that the arguments ask for."""
    given = dict(context.launch_configurations)
    if given["autostart"] == "launch" and given["respawn"] == "true":
        raise ValueError("respawn: expected autostart:=true, got launch, whose request may still go to the dead node")
    names = [name.strip() for name in given["cameras"].split(",") if name.strip()]
    sources = [CAMERAS[given["camera"]](given, name) for name in names or [ONLY_NAME]]
    namespace = [PushRosNamespace(given["namespace"])] if given["namespace"] else []
    early = [source.driver for source in sources if source.driver and source.has_own_namespace]
    late = [source.driver for source in sources if source.driver and not source.has_own_namespace]
    topics = remappings(given, names, sources)
    people = [*estimator(given, names, topics), *rviz(given, names, topics, given["frame"] or sources[0].frame)]
    return [GroupAction([*room_for_images(), *early, *namespace, *late, *people])]


def remappings(given: Given, names: Sequence[str], sources: Sequence[Source]) -> list[tuple[str, str]]:
    """The topics of the node and those of the cameras; the images of the first camera first."""
    rules = []
    for prefix, source in zip([f"{name}/" for name in names] or [""], sources, strict=True):
        image, info = given["image_topic"], given["camera_info_topic"]
        rules.append((f"{prefix}image", prefix + image if image else source.image))
        rules += [(f"{prefix}camera_info", prefix + info)] if info else []
    return rules


def room_for_images() -> list[SetEnvironmentVariable]:
    """Shared memory for whole images, if the DDS is Fast DDS and the user has no profiles for it."""
    variables = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # up to version 2, and since
    if any(name in os.environ for name in variables):
        return []
    return [SetEnvironmentVariable(name, file_of("pose_ros", "config", "fastdds.xml")) for name in variables]


def estimator(given: Given, names: Sequence[str], topics: list[tuple[str, str]]) -> list[LaunchDescriptionEntity]:
    """The node, with the arguments that are given over those of the file."""
    chosen = {
        "model": given["model"],
        "runtime.backend": given["runtime"],
        "image_transport": given["image_transport"],
        "cameras": list(names),
    }
    chosen = {name: value for name, value in chosen.items() if value}
    if given["autostart"]:
        chosen["autostart"] = given["autostart"] == "true"
    node = LifecycleNode(
        package="pose_ros",
        executable="pose_node",
        name="pose_estimator",
        namespace="",
        remappings=topics,
        parameters=[given["params_file"], chosen, {"use_sim_time": given["use_sim_time"] == "true"}],
        ros_arguments=["--log-level", given["log_level"]],
        respawn=given["respawn"] == "true",
        respawn_delay=2.0,
        output="screen",
    )
    return [node] if given["autostart"] != "launch" else [*transitions(node), node]


def transitions(node: LifecycleNode) -> list[RegisterEventHandler]:
    """Configure the node when it has started, and activate it then."""

    def change(transition: int) -> EmitEvent:
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))

    configure, activate = change(Transition.TRANSITION_CONFIGURE), change(Transition.TRANSITION_ACTIVATE)
    is_configured = {"target_lifecycle_node": node, "start_state": "configuring", "goal_state": "inactive"}
    return [
        RegisterEventHandler(OnProcessStart(target_action=node, on_start=[configure])),
        RegisterEventHandler(OnStateTransition(**is_configured, entities=[activate])),
    ]


def rviz(given: Given, names: Sequence[str], topics: list[tuple[str, str]], frame: str) -> list[Node]:
    """RViz on the first camera; the topics in its file are absolute, those of the node are in its namespace."""
    if given["rviz"] != "true":
        return []
    require("rviz", "rviz2")
    ours = "/".join(["pose_estimator", *names[:1]])
    remaps = [("/image", topics[0][1]), *((f"/pose_estimator/{n}", f"{ours}/{n}") for n in ("overlay", "markers"))]
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", file_of("pose_ros", "rviz", "pose.rviz"), "-f", frame],
            remappings=remaps,
            parameters=[{"use_sim_time": given["use_sim_time"] == "true"}],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` reads."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])
