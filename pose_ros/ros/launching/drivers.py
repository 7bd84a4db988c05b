"""Start the drivers of cameras, and tell the topic and frame of their images."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescriptionEntity
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from pose_ros.ros.launching.exit_code import end_launch
from pose_ros.ros.launching.scope import is_true

Arguments = dict[str, str]
RESPAWN_DELAY_S = 2.0


class LaunchedCamera(NamedTuple):
    """A camera of the launch file.

    Attributes:
        image: Topic of its images.
        frame: Frame of its images.
        driver: Action that starts the driver. None = the driver runs already.
        depth: Topic of its registered depth images. Empty = none is known.
        has_own_namespace: Whether the driver reads the argument ``namespace`` itself, so that it must not be pushed.
    """

    image: str
    frame: str
    driver: LaunchDescriptionEntity | None = None
    depth: str = ""
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


def no_driver(arguments: Arguments, name: str) -> LaunchedCamera:
    """Describe a camera with a driver that runs already."""
    return LaunchedCamera(f"{name}/image" if arguments["cameras"] else "image", name)


def driver_node(package: str, executable: str, frame_parameter: str) -> Callable[[Arguments, str], LaunchedCamera]:
    """Describe a camera with a driver of one node, which is started in a namespace with the name of the camera."""

    def camera(arguments: Arguments, name: str) -> LaunchedCamera:
        require("camera", package)
        parameters = [{frame_parameter: name}, *filter(None, [arguments["camera_params_file"]])]
        options = {"package": package, "executable": executable, "name": package, "parameters": parameters}
        driver = _driver(arguments["respawn"], name, **options)
        return LaunchedCamera(f"{name}/image_raw", name, driver)

    return camera


def _driver(respawn: str, namespace: str, **options: Any) -> Node:
    """Make the action that starts a driver of one node."""
    return Node(
        namespace=namespace, output="screen", respawn=is_true(respawn), respawn_delay=RESPAWN_DELAY_S, **options
    )


def include_driver(
    arguments: Arguments, package: str, name: str, install: str = "", fixed: dict[str, str] | None = None
) -> IncludeLaunchDescription:
    """Include the launch file of a driver. It starts one camera, and gets the arguments given to this launch file.

    Args:
        arguments: Arguments of this launch file.
        package: Package of the driver.
        name: Name of its launch file.
        install: How to install the package.
        fixed: Arguments for the driver that this launch file decides. None = none.
    """
    if arguments["cameras"]:
        raise ValueError(
            f"cameras: expected none with camera:={arguments['camera']}, got {arguments['cameras']}; start the drivers "
            "separately, and use camera:=none here"
        )
    require("camera", package, install)
    source = PythonLaunchDescriptionSource(file_of(package, "launch", name))
    return IncludeLaunchDescription(source, launch_arguments=(fixed or {}).items())


def realsense(arguments: Arguments, _: str) -> LaunchedCamera:
    """Describe an Intel RealSense camera."""
    with_depth = is_true(arguments["depth"])
    fixed = {"enable_depth": "true", "align_depth.enable": "true", "enable_sync": "true"} if with_depth else {}
    driver = include_driver(arguments, "realsense2_camera", "rs_launch.py", fixed=fixed)
    namespace, name = arguments.get("camera_namespace", "camera"), arguments.get("camera_name", "camera")
    topics = [f"{namespace}/{name}/{topic}/image_raw" for topic in ("color", "aligned_depth_to_color")]
    return LaunchedCamera(topics[0], f"{name}_color_optical_frame", driver, topics[1])


def zed(arguments: Arguments, _: str) -> LaunchedCamera:
    """Describe a ZED camera. Drivers before version 5.1 need ``image_topic:=zed/zed_node/rgb/image_rect_color``."""
    install = "build it as described at https://github.com/stereolabs/zed-ros2-wrapper"
    driver = include_driver(arguments, "zed_wrapper", "zed_camera.launch.py", install)
    name = arguments.get("camera_name", "zed")
    # Same rule as in the launch file of the driver
    node = name if arguments["namespace"] else f"{name}/{arguments.get('node_name', 'zed_node')}"
    topics = (f"{node}/rgb/color/rect/image", f"{node}/depth/depth_registered")
    return LaunchedCamera(topics[0], f"{name}_left_camera_frame_optical", driver, topics[1], has_own_namespace=True)


def video(arguments: Arguments, name: str) -> LaunchedCamera:
    """Describe a recording that is published like a camera."""
    if not arguments["video"]:
        raise ValueError("video: expected a file with camera:=video, got none; add video:=people.mp4")
    command = ["replay", arguments["video"], "--loop", "--stamps", "now", "--frame-id", name, "--launched", "--"]
    options = {"on_exit": [end_launch("replay")]} if is_true(arguments["required"]) else {}
    driver = _driver(
        arguments["respawn"], name, package="pose_ros", executable="pose_ros", arguments=command, **options
    )
    return LaunchedCamera(f"{name}/image", name, driver)


CAMERAS = {
    "none": no_driver,
    "usb_cam": driver_node("usb_cam", "usb_cam_node_exe", "frame_id"),
    "v4l2_camera": driver_node("v4l2_camera", "v4l2_camera_node", "camera_frame_id"),
    "realsense": realsense,
    "zed": zed,
    "video": video,
}
