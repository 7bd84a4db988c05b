"""Play a recording in its own time, run the pose estimator on it, and optionally start RViz.

    ros2 launch pose_ros replay.launch.py bag:=my_bag rviz:=true
    ros2 launch pose_ros replay.launch.py bag:=my_bag topic:=/left/image_raw speed:=0.5
    ros2 launch pose_ros replay.launch.py bag:=my_bag also:=/tf,/tf_static

Everything ends with the recording. The time of the recording is published on ``/clock``, for nodes with
``use_sim_time``. The arguments of ``camera.launch.py`` for the node and RViz work here, too.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from pose_ros.media.bag import COMPRESSED_IMAGE
from pose_ros.media.sources import BagImages, open_source
from pose_ros.ros.launching.arguments import ESTIMATOR_ARGUMENTS
from pose_ros.ros.launching.drivers import file_of
from pose_ros.ros.launching.exit_code import end_launch
from pose_ros.ros.launching.scope import SWITCH, describe_launch, is_true, report_unknown, select_arguments

PASSED_ON = ESTIMATOR_ARGUMENTS | {
    "image_transport": ("", "raw or compressed. Empty = as in the recording.", ("", "raw", "compressed")),
    "use_sim_time": ("true", "Use the time of the recording, from /clock.", SWITCH),
    "required": ("true", "End the launch with exit code 1 if the node fails.", SWITCH),
}
ARGUMENTS = {  # default (None = required), description, choices
    "bag": (None, "Recording: a rosbag2, a video or a folder of images.", None),
    "topic": ("", "Image topic of the bag, if it has several.", None),
    "also": ("", "Other topics of the bag to publish, such as /tf,/tf_static. all = all topics.", None),
    "speed": ("1.0", "Multiple of the recorded speed.", None),
    "loop": ("false", "Start again at the end, until interrupted.", SWITCH),
    "wait": (
        "10.0",
        "Longest wait until the node subscribes, s. With lazy: drop it needs a subscriber of its outputs.",
        None,
    ),
    **PASSED_ON,
}


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the actions: the replay, and the node that processes it."""
    arguments = select_arguments(context, ARGUMENTS)
    report_unknown(context, ARGUMENTS)
    options = ["--clock", "--speed", arguments["speed"], "--wait", arguments["wait"], "--launched"]
    options += ["--from", arguments["topic"]] if arguments["topic"] else []
    options += ["--also", arguments["also"]] if arguments["also"] else []
    options += ["--loop"] if is_true(arguments["loop"]) else []
    passed_on = {name: arguments[name] for name in PASSED_ON}
    passed_on["image_transport"] = arguments["image_transport"] or find_transport(arguments["bag"], arguments["topic"])
    fixed = {"camera": "none", "image_topic": "camera/image"}
    camera = PythonLaunchDescriptionSource(file_of("pose_ros", "launch", "camera.launch.py"))
    return [
        GroupAction(
            [
                Node(
                    package="pose_ros",
                    executable="pose_ros",
                    arguments=["replay", arguments["bag"], *options, "--"],
                    namespace="/".join(filter(None, [arguments["namespace"], "camera"])),
                    output="screen",
                    on_exit=[end_launch("replay", "the recording is over")],
                ),
                IncludeLaunchDescription(camera, launch_arguments=(passed_on | fixed).items()),
            ]
        )
    ]


def find_transport(bag: str, topic: str) -> str:
    """Return the transport of the images of a recording. Raise an error if it cannot be read."""
    source = open_source(bag, topic=topic or None)
    return "compressed" if isinstance(source, BagImages) and source.bag.image_type == COMPRESSED_IMAGE else "raw"


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, for ``ros2 launch``."""
    return describe_launch(ARGUMENTS, OpaqueFunction(function=start))
