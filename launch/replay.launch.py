"""Play a recording in its own time, run the pose estimator on it, and optionally start RViz.

    ros2 launch pose_ros replay.launch.py bag:=my_bag rviz:=true
    ros2 launch pose_ros replay.launch.py bag:=my_bag topic:=/left/image_raw speed:=0.5

Everything ends with the recording. The time of the recording is published on ``/clock``, for nodes with
``use_sim_time``. All arguments of ``camera.launch.py`` for the node and RViz work here, too.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = {  # default (None = required), description, choices
    "bag": (None, "Recording: a rosbag2, a video or a folder of images.", None),
    "topic": ("", "Image topic of the bag, if it has several.", None),
    "speed": ("1.0", "Multiple of the recorded speed.", None),
    "loop": ("false", "Start again at the end, until interrupted.", ("true", "false")),
    "wait": (
        "10.0",
        "Longest wait until the node subscribes, s. With lazy: drop it needs a subscriber of its outputs.",
        None,
    ),
    "namespace": ("", "Namespace of all started nodes.", None),
}


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the actions: the replay, and the node that processes it."""
    arguments = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    options = ["--clock", "--speed", arguments["speed"], "--wait", arguments["wait"]]
    options += ["--from", arguments["topic"]] if arguments["topic"] else []
    options += ["--loop"] if arguments["loop"] == "true" else []
    camera = PathJoinSubstitution([FindPackageShare("pose_ros"), "launch", "camera.launch.py"])
    fixed = {"camera": "none", "image_topic": "camera/image", "use_sim_time": "true"}
    return [
        Node(
            package="pose_ros",
            executable="pose_ros",
            arguments=["replay", arguments["bag"], *options, "--"],
            namespace="/".join(filter(None, [arguments["namespace"], "camera"])),
            output="screen",
            on_exit=[Shutdown(reason="the recording is over")],
        ),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(camera), launch_arguments=fixed.items()),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, for ``ros2 launch``."""
    declarations = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declarations, OpaqueFunction(function=start)])
