"""Check the topic names that a user gives."""

from __future__ import annotations

from rclpy.exceptions import NameValidationException
from rclpy.validate_topic_name import validate_topic_name


def check_topic_name(name: str, option: str) -> None:
    """Raise ValueError if a text is not the name of a ROS topic, relative or absolute."""
    try:
        validate_topic_name(name)
    except NameValidationException as error:
        expected = f"{option}: expected a ROS topic name"
        raise ValueError(f"{expected}, got {name!r:.80}; use letters, digits, _ and /") from error
