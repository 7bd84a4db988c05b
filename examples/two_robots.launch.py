"""Start one pose estimator per robot. Each include gets all its arguments: nothing passes from one to the other."""

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

ROBOTS = {"one": "/front/image", "two": ""}  # namespace and image topic. Empty = image in the namespace


def generate_launch_description() -> LaunchDescription:
    """Include the launch file once per robot."""
    camera = PathJoinSubstitution([FindPackageShare("pose_ros"), "launch", "camera.launch.py"])
    robots = [{"camera": "none", "namespace": name, "image_topic": topic} for name, topic in ROBOTS.items()]
    return LaunchDescription([IncludeLaunchDescription(camera, launch_arguments=robot.items()) for robot in robots])
