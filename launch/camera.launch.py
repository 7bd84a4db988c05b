"""A camera, the pose estimator, and RViz if wanted.

    ros2 launch pose_ros camera.launch.py camera:=usb_cam rviz:=true
    ros2 launch pose_ros camera.launch.py camera:=none image_topic:=/my/camera/image_raw
    ros2 launch pose_ros camera.launch.py camera:=video video:=people.mp4

Every further argument reaches the launch file of the camera: ``camera:=zed camera_model:=zed2i``.
"""

from __future__ import annotations

import os

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.substitutions import FindPackageShare


def file_of(package: str, *path: str) -> PathJoinSubstitution:
    """A file that a package has installed."""
    return PathJoinSubstitution([FindPackageShare(package), *path])


def launch_file(package: str, name: str) -> IncludeLaunchDescription:
    """The launch file of a camera driver; our namespace is pushed on it already."""
    source = PythonLaunchDescriptionSource(file_of(package, "launch", name))
    return IncludeLaunchDescription(source, launch_arguments={"namespace": ""}.items())


VIDEO = ["replay", LaunchConfiguration("video"), "--loop", "--stamps", "now", "--"]
CAMERAS = {  # the topic of its images, and what starts it
    "none": ("image", []),
    "usb_cam": ("camera/image_raw", [Node(package="usb_cam", executable="usb_cam_node_exe", namespace="camera")]),
    "v4l2_camera": (
        "camera/image_raw",
        [Node(package="v4l2_camera", executable="v4l2_camera_node", namespace="camera")],
    ),
    "realsense": ("camera/camera/color/image_raw", [launch_file("realsense2_camera", "rs_launch.py")]),
    "zed": ("zed/zed_node/rgb/color/rect/image", [launch_file("zed_wrapper", "zed_camera.launch.py")]),
    "video": (
        "camera/image",
        [Node(package="pose_ros", executable="pose_ros", arguments=VIDEO, namespace="camera", output="screen")],
    ),
}
SWITCH = ("true", "false")
ARGUMENTS = {  # default, description, choices
    "camera": ("usb_cam", "The camera to start; none: its images are there already.", tuple(CAMERAS)),
    "video": ("", "Video file, folder of images or rosbag2, for camera:=video.", None),
    "image_topic": ("", "Topic of the images; empty: that of the chosen camera.", None),
    "model": ("", "ONNX file of the network; empty: that of params_file.", None),
    "runtime": ("", "Runtime of the network (auto, onnx, torch); empty: that of params_file.", None),
    "params_file": (file_of("pose_ros", "config", "camera.yaml"), "Parameters of the node.", None),
    "namespace": ("", "Namespace of everything that is started.", None),
    "use_sim_time": ("false", "Take the time from /clock, for a simulation or a bag.", SWITCH),
    "rviz": ("false", "Start RViz with the overlay and the camera image.", SWITCH),
    "log_level": ("info", "Least severity that the node logs.", ("debug", "info", "warn", "error", "fatal")),
}


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Everything that the arguments ask for."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    topic, camera = CAMERAS[given["camera"]]
    if given["camera"] == "video" and not given["video"]:
        raise ValueError("video: expected a file with camera:=video, got none: add video:=people.mp4")
    topic = given["image_topic"] or topic
    namespace = [PushRosNamespace(given["namespace"])] if given["namespace"] else []
    return [GroupAction([*room_for_images(), *namespace, *camera, estimator(given, topic), rviz(given, topic)])]


def room_for_images() -> list[SetEnvironmentVariable]:
    """Shared memory for whole images, if the DDS is Fast DDS and the user has no profiles for it."""
    variables = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # up to version 2, and since
    if any(name in os.environ for name in variables):
        return []
    return [SetEnvironmentVariable(name, file_of("pose_ros", "config", "fastdds.xml")) for name in variables]


def estimator(given: dict[str, str], topic: str) -> Node:
    """The node, with the arguments that are given over those of the file."""
    chosen = {"model": given["model"], "runtime.backend": given["runtime"]}
    return Node(
        package="pose_ros",
        executable="pose_node",
        name="pose_estimator",
        remappings=[("image", topic)],
        parameters=[
            given["params_file"],
            {name: value for name, value in chosen.items() if value},
            {"use_sim_time": given["use_sim_time"] == "true"},
        ],
        ros_arguments=["--log-level", given["log_level"]],
        output="screen",
    )


def rviz(given: dict[str, str], topic: str) -> Node:
    """RViz; the topics in its file are absolute, those of the node are in its namespace."""
    return Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", file_of("pose_ros", "rviz", "pose.rviz")],
        remappings=[("/image", topic), ("/pose_estimator/overlay", "pose_estimator/overlay")],
        parameters=[{"use_sim_time": given["use_sim_time"] == "true"}],
        condition=IfCondition(given["rviz"]),
    )


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` reads."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])
