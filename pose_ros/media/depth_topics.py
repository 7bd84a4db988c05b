"""Find the depth topic that belongs to a colour topic, by the names that drivers of cameras use."""

from __future__ import annotations

from collections.abc import Mapping

from pose_ros.media.recorded_message import COMPRESSED_IMAGE, IMAGE

_ALIGNED = ("aligned_depth_to_color/image_raw", "depth_to_color/image_raw")
"""RealSense, Orbbec."""
_REGISTERED = (
    *("depth/depth_registered", "depth_registered/image_raw", "depth_registered/image_rect", "depth_to_rgb/image_raw"),
    *("depth/image_raw", "depth/image", "depth/image_rect", "depth/image_rect_raw"),
)
"""ZED, OpenNI, Azure Kinect, then drivers whose depth is registered if they are set so (OAK, Orbbec, simulators)."""
_SUFFIXES = ("", "/compressedDepth")


def is_rectified(image_topic: str) -> bool:
    """Return whether the images of a topic are rectified, by the names of image_proc: ``image_rect``."""
    return image_topic.removesuffix("/compressed").rpartition("/")[2].startswith("image_rect")


def is_depth(topic: str) -> bool:
    """Return whether a topic has depth images, by its name."""
    return "depth" in topic.lower()


def find_depth_topic(image_topic: str, types: Mapping[str, str]) -> str | None:
    """Return the depth topic that belongs to an image topic, None if there is none or it is not clear which.

    Args:
        image_topic: Topic of the colour images.
        types: Type of each topic.
    """
    topics = {topic for topic, kind in types.items() if kind in (IMAGE, COMPRESSED_IMAGE) and topic != image_topic}
    parts = image_topic.split("/")
    for depth in range(len(parts) - 1, 0, -1):  # the nearest namespace first
        for name in (*_ALIGNED, *_REGISTERED):
            for suffix in _SUFFIXES:
                topic = "/".join([*parts[:depth], name]) + suffix
                if topic in topics:
                    return topic
    return None
