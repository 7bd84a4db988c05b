"""Start a camera, the pose estimator, and optionally RViz.

    ros2 launch pose_ros camera.launch.py camera:=usb_cam rviz:=true
    ros2 launch pose_ros camera.launch.py camera:=video video:=people.mp4
    ros2 launch pose_ros camera.launch.py camera:=realsense depth:=true rviz:=true
    ros2 launch pose_ros camera.launch.py camera:=none image_topic:=/my/camera/image_raw
    ros2 launch pose_ros camera.launch.py camera:=none cameras:=front,rear image_topic:=color/image_raw
    ros2 launch pose_ros camera.launch.py camera:=none cameras:=front,rear image_topics:=front:=/a,rear:=/b

All other arguments are passed to the launch file of the driver: ``camera:=zed camera_model:=zed2i``. A file
that includes this one must pass each argument. Only ``use_sim_time`` and ``log_level`` apply without being passed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    EmitEvent,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch_ros.actions import LifecycleNode, Node, PushRosNamespace
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from pose_ros.ros.launching.arguments import CAMERA_ARGUMENTS, ESTIMATOR_ARGUMENTS
from pose_ros.ros.launching.drivers import CAMERAS, RESPAWN_DELAY_S, LaunchedCamera, file_of, require
from pose_ros.ros.launching.exit_code import end_launch
from pose_ros.ros.launching.parameter_file import check_parameter_file
from pose_ros.ros.launching.scope import (
    describe_launch,
    forget_inherited,
    is_included,
    is_true,
    report_unknown,
    select_arguments,
)
from pose_ros.ros.launching.topics import (
    OUTPUTS,
    Remappings,
    read_camera_names,
    remap_depth,
    remap_inputs,
    remap_outputs,
)

Arguments = dict[str, str]
DEFAULT_NAME = "camera"  # name of a single camera if this file starts its driver
ARGUMENTS = CAMERA_ARGUMENTS | ESTIMATOR_ARGUMENTS


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the actions that the arguments select."""
    arguments = select_arguments(context, ARGUMENTS)
    if arguments["autostart"] == "launch" and is_true(arguments["respawn"]):
        raise ValueError("respawn: expected autostart:=true, got launch; its request may still go to the dead node")
    is_required = is_true(arguments["required"] or str(not is_included())) and not is_true(arguments["respawn"])
    arguments["required"] = str(is_required)
    check_parameter_file("params_file", arguments["params_file"])
    names = read_camera_names(arguments["cameras"])
    cameras = [CAMERAS[arguments["camera"]](arguments, name) for name in names or [DEFAULT_NAME]]
    check_other_arguments(context, cameras)
    namespace = [PushRosNamespace(arguments["namespace"])] if arguments["namespace"] else []
    # Drivers that read the namespace themselves start before it is pushed
    unpushed = [camera.driver for camera in cameras if camera.driver and camera.has_own_namespace]
    pushed = [camera.driver for camera in cameras if camera.driver and not camera.has_own_namespace]
    topics = remap_inputs(arguments, names, [camera.image for camera in cameras])
    topics += remap_depth(arguments, names, [camera.depth for camera in cameras])
    outputs = remap_outputs(arguments, names)
    nodes = [
        *start_estimator(arguments, names, [*topics, *outputs]),
        *start_rviz(arguments, names, topics[0][1], dict(outputs), arguments["frame"] or cameras[0].frame),
    ]
    return [GroupAction([*enlarge_shared_memory(), *unpushed, *namespace, *pushed, *nodes])]


def check_other_arguments(context: LaunchContext, cameras: Sequence[LaunchedCamera]) -> None:
    """Keep arguments of other launch files from the drivers, and report given arguments that nothing reads."""
    includes = [camera.driver for camera in cameras if isinstance(camera.driver, IncludeLaunchDescription)]
    sources = [include.launch_description_source.get_launch_description(context) for include in includes]
    names = {argument.name for source in sources for argument in source.get_launch_arguments()}
    forget_inherited(context, names - ARGUMENTS.keys())
    report_unknown(context, names | ARGUMENTS.keys())


def enlarge_shared_memory() -> list[SetEnvironmentVariable]:
    """Give Fast DDS shared memory for whole images, unless the user has set a profile file."""
    variables = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # Fast DDS 2, Fast DDS 3
    if any(name in os.environ for name in variables):
        return []
    return [SetEnvironmentVariable(name, file_of("pose_ros", "config", "fastdds.xml")) for name in variables]


def start_estimator(arguments: Arguments, names: Sequence[str], topics: Remappings) -> list[LaunchDescriptionEntity]:
    """Start the node. Given arguments override the parameter file."""
    texts = {name: arguments[name] for name in ("model", "image_transport")} | {"runtime.backend": arguments["runtime"]}
    # Without a type, launch_ros would read the text as YAML, and off or 1 would not stay text
    overrides = {name: ParameterValue(text, value_type=str) for name, text in texts.items() if text}
    if names:
        overrides["cameras"] = ParameterValue(list(names), value_type=list[str])
    switches = {"autostart": "autostart", "use_sim_time": "use_sim_time"}
    switches |= {"tracking.enabled": "tracking", "depth.enabled": "depth"}
    overrides |= {name: is_true(arguments[each]) for name, each in switches.items() if arguments[each]}
    node = LifecycleNode(
        package="pose_ros",
        executable="pose_node",
        name=arguments["estimator_name"],
        namespace="",
        remappings=topics,
        parameters=[arguments["params_file"], overrides],
        ros_arguments=["--log-level", arguments["log_level"]],
        respawn=is_true(arguments["respawn"]),
        respawn_delay=RESPAWN_DELAY_S,
        on_exit=[end_launch("pose_node")] if is_true(arguments["required"]) else None,
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


def start_rviz(
    arguments: Arguments, names: Sequence[str], image: str, outputs: dict[str, str], frame: str
) -> list[Node]:
    """Start RViz for the first camera. Remap the absolute topics of its file to the topics of the node."""
    if not is_true(arguments["rviz"]):
        return []
    require("rviz", "rviz2")
    prefix = "/".join(["", *names[:1], ""])
    remaps = [("/image", image)]
    for output in OUTPUTS[1:]:
        topic = outputs.get(f"~{prefix}{output}", f"{arguments['estimator_name']}{prefix}{output}")
        remaps.append((f"/pose_estimator/{output}", topic))
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", file_of("pose_ros", "rviz", "pose.rviz"), "-f", frame],
            remappings=remaps,
            parameters=[{"use_sim_time": is_true(arguments["use_sim_time"])}],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, for ``ros2 launch``."""
    return describe_launch(ARGUMENTS, OpaqueFunction(function=start))
