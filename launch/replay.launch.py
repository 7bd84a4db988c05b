"""A recording in its own time, the pose estimator on it, and RViz if wanted; everything ends with the recording.

    ros2 launch pose_ros replay.launch.py bag:=my_bag rviz:=true
    ros2 launch pose_ros replay.launch.py bag:=my_bag topic:=/left/image_raw speed:=0.5

The time is that of the recording, on ``/clock``: other nodes join in with ``use_sim_time``. Every argument of
``camera.launch.py`` for the node and RViz is one of this file, too.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = {  # default, description, choices; None is no default
    "bag": (None, "The recording: a rosbag2, a video or a folder of images.", None),
    "topic": ("", "Image topic of the bag, where there are several.", None),
    "speed": ("1.0", "Multiple of the recorded speed.", None),
    "loop": ("false", "Begin again at the end, until interrupted.", ("true", "false")),
    "wait": ("10.0", "Longest wait for the node to be ready, s; it is when somebody listens to it.", None),
    "namespace": ("", "Namespace of everything that is started.", None),
}


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The recording, and what looks at it."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    options = ["--clock", "--speed", given["speed"], "--wait", given["wait"]]
    options += ["--from", given["topic"]] if given["topic"] else []
    options += ["--loop"] if given["loop"] == "true" else []
    camera = PathJoinSubstitution([FindPackageShare("pose_ros"), "launch", "camera.launch.py"])
    inside = {"camera": "none", "image_topic": "camera/image", "use_sim_time": "true"}
    return [
        Node(
            package="pose_ros",
            executable="pose_ros",
            arguments=["replay", given["bag"], *options, "--"],
            namespace="/".join(filter(None, [given["namespace"], "camera"])),
            output="screen",
            on_exit=[Shutdown(reason="the recording is over")],
        ),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(camera), launch_arguments=inside.items()),
    ]


def generate_launch_description() -> LaunchDescription:
    """What ``ros2 launch`` reads."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])
