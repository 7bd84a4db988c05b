"""Start a camera, the pose estimator, and optionally RViz.

    ros2 launch pose_ros camera.launch.py camera:=usb_cam rviz:=true
    ros2 launch pose_ros camera.launch.py camera:=video video:=people.mp4
    ros2 launch pose_ros camera.launch.py camera:=none image_topic:=/my/camera/image_raw
    ros2 launch pose_ros camera.launch.py camera:=none cameras:=front,rear image_topic:=color/image_raw

All other arguments are passed to the launch file of the driver: ``camera:=zed camera_model:=zed2i``.
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

Arguments = dict[str, str]
DEFAULT_NAME = "camera"  # name of a single camera if this file starts its driver


class Source(NamedTuple):
    """One camera.

    Attributes:
        image: Topic of its images.
        frame: Frame of its images.
        driver: Action that starts the driver. None = the driver runs already.
        has_own_namespace: Whether the driver reads the argument ``namespace`` itself, so that it must not be pushed.
    """

    image: str
    frame: str
    driver: LaunchDescriptionEntity | None = None
    has_own_namespace: bool = False


def file_of(package: str, *path: str) -> PathJoinSubstitution:
    """Return the path of an installed file of a package."""
    return PathJoinSubstitution([FindPackageShare(package), *path])


def require(argument: str, package: str, install: str = "") -> None:
    """Raise an error with the fix if a package is not installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        distro = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        install = install or f"sudo apt install ros-{distro}-{package.replace('_', '-')}"
        raise RuntimeError(f"{argument}: expected the package {package}, which is not installed; {install}") from None


def no_driver(arguments: Arguments, name: str) -> Source:
    """Describe a camera with a driver that runs already."""
    return Source(f"{name}/image" if arguments["cameras"] else "image", name)


def driver_node(package: str, executable: str, frame_parameter: str) -> Callable[[Arguments, str], Source]:
    """Describe a camera with a driver of one node, which is started in a namespace with the name of the camera."""

    def source(arguments: Arguments, name: str) -> Source:
        require("camera", package)
        parameters = [{frame_parameter: name}, *filter(None, [arguments["camera_params_file"]])]
        driver = Node(
            package=package, executable=executable, name=package, namespace=name, parameters=parameters, output="screen"
        )
        return Source(f"{name}/image_raw", name, driver)

    return source


def include_driver(arguments: Arguments, package: str, name: str, install: str = "") -> IncludeLaunchDescription:
    """Include the launch file of a driver. It starts one camera, and gets all arguments of this launch file."""
    if arguments["cameras"]:
        raise ValueError(
            f"cameras: expected none with camera:={arguments['camera']}, got {arguments['cameras']}; start the drivers "
            "separately, and use camera:=none here"
        )
    require("camera", package, install)
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(file_of(package, "launch", name)))


def realsense(arguments: Arguments, _: str) -> Source:
    """Describe an Intel RealSense camera."""
    driver = include_driver(arguments, "realsense2_camera", "rs_launch.py")
    namespace, name = arguments.get("camera_namespace", "camera"), arguments.get("camera_name", "camera")
    return Source(f"{namespace}/{name}/color/image_raw", f"{name}_color_optical_frame", driver)


def zed(arguments: Arguments, _: str) -> Source:
    """Describe a ZED camera. Drivers before version 5.1 need ``image_topic:=zed/zed_node/rgb/image_rect_color``."""
    install = "build it as described at https://github.com/stereolabs/zed-ros2-wrapper"
    driver = include_driver(arguments, "zed_wrapper", "zed_camera.launch.py", install)
    name = arguments.get("camera_name", "zed")
    # Same rule as in the launch file of the driver
    node = name if arguments["namespace"] else f"{name}/{arguments.get('node_name', 'zed_node')}"
    return Source(f"{node}/rgb/color/rect/image", f"{name}_left_camera_frame_optical", driver, has_own_namespace=True)


def video(arguments: Arguments, name: str) -> Source:
    """Describe a recording that is published like a camera."""
    if not arguments["video"]:
        raise ValueError("video: expected a file with camera:=video, got none; add video:=people.mp4")
    command = ["replay", arguments["video"], "--loop", "--stamps", "now", "--frame-id", name, "--"]
    driver = Node(package="pose_ros", executable="pose_ros", arguments=command, namespace=name, output="screen")
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
    "camera": ("usb_cam", "Camera to start. none = its driver runs already.", tuple(CAMERAS)),
    "cameras": ("", "Names of several cameras, such as front,rear. Each has its namespace, one node serves all.", None),
    "camera_params_file": ("", "Parameter file of usb_cam or v4l2_camera, e.g. for video_device.", None),
    "video": ("", "Video file, folder of images or rosbag2 for camera:=video.", None),
    "image_topic": ("", "Topic of the images. With cameras: topic below each name. Empty = topic of the camera.", None),
    "camera_info_topic": (
        "",
        "Topic of the calibration, as image_topic. Empty = camera_info next to the images.",
        None,
    ),
    "image_transport": ("", "raw or compressed. Empty = as in params_file.", ("", "raw", "compressed")),
    "model": ("", "ONNX file of the network. Empty = as in params_file.", None),
    "runtime": ("", "Runtime of the network (auto, tensorrt, onnx, …). Empty = as in params_file.", None),
    "params_file": (file_of("pose_ros", "config", "camera.yaml"), "Parameter file of the node.", None),
    "namespace": ("", "Namespace of all started nodes, one per robot.", None),
    "use_sim_time": ("false", "Use the time of /clock, for a simulation or a bag.", SWITCH),
    "autostart": (
        "",
        "Configuration and activation of the node. true: by the node, launch: by this launch file, false: by a "
        "lifecycle manager. Empty = as in params_file.",
        ("", "true", "launch", "false"),
    ),
    "respawn": ("false", "Restart the node 2 s after it has exited.", SWITCH),
    "rviz": ("false", "Start RViz with the people, the overlay and the camera image.", SWITCH),
    "frame": ("", "Fixed frame of RViz. Empty = frame of the camera.", None),
    "log_level": ("info", "Lowest log level of the node.", ("debug", "info", "warn", "error", "fatal")),
}


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the actions that the arguments select."""
    arguments = dict(context.launch_configurations)
    if arguments["autostart"] == "launch" and arguments["respawn"] == "true":
        raise ValueError("respawn: expected autostart:=true, got launch; its request may still go to the dead node")
    names = [name.strip() for name in arguments["cameras"].split(",") if name.strip()]
    sources = [CAMERAS[arguments["camera"]](arguments, name) for name in names or [DEFAULT_NAME]]
    namespace = [PushRosNamespace(arguments["namespace"])] if arguments["namespace"] else []
    # Drivers that read the namespace themselves start before it is pushed
    unpushed = [source.driver for source in sources if source.driver and source.has_own_namespace]
    pushed = [source.driver for source in sources if source.driver and not source.has_own_namespace]
    topics = make_remappings(arguments, names, sources)
    frame = arguments["frame"] or sources[0].frame
    nodes = [*start_estimator(arguments, names, topics), *start_rviz(arguments, names, topics, frame)]
    return [GroupAction([*enlarge_shared_memory(), *unpushed, *namespace, *pushed, *nodes])]


def make_remappings(arguments: Arguments, names: Sequence[str], sources: Sequence[Source]) -> list[tuple[str, str]]:
    """Map the topics of the node to those of the cameras. The image topic of the first camera comes first."""
    rules = []
    for prefix, source in zip([f"{name}/" for name in names] or [""], sources, strict=True):
        image, info = arguments["image_topic"], arguments["camera_info_topic"]
        rules.append((f"{prefix}image", prefix + image if image else source.image))
        rules += [(f"{prefix}camera_info", prefix + info)] if info else []
    return rules


def enlarge_shared_memory() -> list[SetEnvironmentVariable]:
    """Give Fast DDS shared memory for whole images, unless the user has set a profile file."""
    variables = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # Fast DDS 2, Fast DDS 3
    if any(name in os.environ for name in variables):
        return []
    return [SetEnvironmentVariable(name, file_of("pose_ros", "config", "fastdds.xml")) for name in variables]


def start_estimator(
    arguments: Arguments, names: Sequence[str], topics: list[tuple[str, str]]
) -> list[LaunchDescriptionEntity]:
    """Start the node. Given arguments override the parameter file."""
    overrides = {
        "model": arguments["model"],
        "runtime.backend": arguments["runtime"],
        "image_transport": arguments["image_transport"],
        "cameras": list(names),
    }
    overrides = {name: value for name, value in overrides.items() if value}
    if arguments["autostart"]:
        overrides["autostart"] = arguments["autostart"] == "true"
    node = LifecycleNode(
        package="pose_ros",
        executable="pose_node",
        name="pose_estimator",
        namespace="",
        remappings=topics,
        parameters=[arguments["params_file"], overrides, {"use_sim_time": arguments["use_sim_time"] == "true"}],
        ros_arguments=["--log-level", arguments["log_level"]],
        respawn=arguments["respawn"] == "true",
        respawn_delay=2.0,
        output="screen",
    )
    return [node] if arguments["autostart"] != "launch" else [*activate_at_start(node), node]


def activate_at_start(node: LifecycleNode) -> list[RegisterEventHandler]:
    """Configure the node when it has started, then activate it."""

    def change(transition: int) -> EmitEvent:
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))

    configure, activate = change(Transition.TRANSITION_CONFIGURE), change(Transition.TRANSITION_ACTIVATE)
    is_configured = {"target_lifecycle_node": node, "start_state": "configuring", "goal_state": "inactive"}
    return [
        RegisterEventHandler(OnProcessStart(target_action=node, on_start=[configure])),
        RegisterEventHandler(OnStateTransition(**is_configured, entities=[activate])),
    ]


def start_rviz(arguments: Arguments, names: Sequence[str], topics: list[tuple[str, str]], frame: str) -> list[Node]:
    """Start RViz for the first camera. Remap the absolute topics of its file to the namespace of the node."""
    if arguments["rviz"] != "true":
        return []
    require("rviz", "rviz2")
    prefix = "/".join(["pose_estimator", *names[:1]])
    remaps = [("/image", topics[0][1]), *((f"/pose_estimator/{n}", f"{prefix}/{n}") for n in ("overlay", "markers"))]
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", file_of("pose_ros", "rviz", "pose.rviz"), "-f", frame],
            remappings=remaps,
            parameters=[{"use_sim_time": arguments["use_sim_time"] == "true"}],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, for ``ros2 launch``."""
    declarations = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declarations, OpaqueFunction(function=start)])
