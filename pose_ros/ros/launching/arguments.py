"""Arguments of the launch files."""

from __future__ import annotations

from pose_ros.ros.launching.drivers import CAMERAS, file_of
from pose_ros.ros.launching.scope import SWITCH, ArgumentTable

CAMERA_ARGUMENTS: ArgumentTable = {
    "camera": ("usb_cam", "Camera to start. none = its driver runs already.", tuple(CAMERAS)),
    "cameras": ("", "Names of several cameras, such as front,rear. Each has its namespace, one node serves all.", None),
    "camera_params_file": ("", "Parameter file of usb_cam or v4l2_camera, e.g. for video_device.", None),
    "video": ("", "Video file, folder of images or rosbag2 for camera:=video.", None),
    "image_topic": ("", "Topic of the images. With cameras: topic below each name. Empty = topic of the camera.", None),
    "image_topics": ("", "With cameras: topic of the images of each, such as front:=/a,rear:=/b.", None),
    "camera_info_topic": (
        "",
        "Topic of the calibration, as image_topic. Empty = camera_info next to the images.",
        None,
    ),
    "camera_info_topics": ("", "With cameras: topic of the calibration of each, as image_topics.", None),
}
"""Arguments about the cameras and their topics."""

ESTIMATOR_ARGUMENTS: ArgumentTable = {
    "image_transport": ("", "raw or compressed. Empty = as in params_file.", ("", "raw", "compressed")),
    "model": ("", "ONNX file of the network. Empty = as in params_file.", None),
    "runtime": ("", "Runtime of the network (auto, tensorrt, onnx, …). Empty = as in params_file.", None),
    "depth": (
        "",
        "Keypoints in metres. true: also turn on the registered depth of realsense. Empty = as in params_file.",
        ("", *SWITCH),
    ),
    "depth_topic": (
        "",
        "Topic of the depth images, registered to the images, for depth:=true. With cameras: topic below each name. "
        "Empty = topic of the camera.",
        None,
    ),
    "tracking": ("", "Ids that stay the same over images. Empty = as in params_file, where it is on.", ("", *SWITCH)),
    "params_file": (file_of("pose_ros", "config", "camera.yaml"), "Parameter file of the node.", None),
    "estimator_name": ("pose_estimator", "Name of the node.", None),
    "poses_topic": ("", "Topic of the poses. With cameras: topic below each name. Empty = ~/poses.", None),
    "overlay_topic": ("", "Topic of the overlay, as poses_topic. Empty = ~/overlay.", None),
    "markers_topic": ("", "Topic of the markers, as poses_topic. Empty = ~/markers.", None),
    "namespace": ("", "Namespace of all started nodes, one per robot.", None),
    "use_sim_time": (
        "",
        "Use the time of /clock, for a simulation or a bag. Empty = as in params_file.",
        ("", *SWITCH),
    ),
    "autostart": (
        "",
        "Configuration and activation of the node. true: by the node, launch: by this launch file, false: by a "
        "lifecycle manager. Empty = as in params_file.",
        ("", "launch", *SWITCH),
    ),
    "respawn": ("false", "Restart the node, and a driver of one node, 2 s after it has exited.", SWITCH),
    "required": (
        "",
        "End the launch with exit code 1 if the node, or the replay of a video, fails. Empty = true, but false if "
        "another launch file includes this one, or with respawn.",
        ("", *SWITCH),
    ),
    "rviz": ("false", "Start RViz with the people, the overlay and the camera image.", SWITCH),
    "frame": ("", "Fixed frame of RViz. Empty = frame of the camera.", None),
    "log_level": ("info", "Lowest log level of the node.", ("debug", "info", "warn", "error", "fatal")),
}
"""Arguments about the node and RViz. Both launch files have them."""
