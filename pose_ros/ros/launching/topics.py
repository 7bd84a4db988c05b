"""Map the topics of the node to those of the cameras."""

from __future__ import annotations

from collections.abc import Sequence

from pose_ros.ros.parameters.config import check_camera_names

OUTPUTS = ("poses", "overlay", "markers")
Remappings = list[tuple[str, str]]


def read_camera_names(text: str) -> list[str]:
    """Read names such as ``"front, rear"``.

    Raises:
        ValueError: If a name cannot be part of a topic, or occurs twice.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names:
        check_camera_names(names)
    return names


def read_topics(argument: str, text: str, names: Sequence[str]) -> dict[str, str]:
    """Read one topic per camera, such as ``"front:=/a,rear:=/b"``.

    Raises:
        ValueError: If the text has another form, or names another camera.
    """
    topics = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        name, mark, topic = (part.strip() for part in item.partition(":="))
        if not (name and mark and topic):
            raise ValueError(f"{argument}: expected topics such as front:=/a,rear:=/b, got {item}")
        if name not in names:
            known = ", ".join(names) or "none; add cameras:=front,rear"
            raise ValueError(f"{argument}: expected cameras of the argument cameras ({known}), got {name}")
        topics[name] = topic
    return topics


def remap_inputs(arguments: dict[str, str], names: Sequence[str], images: Sequence[str]) -> Remappings:
    """Map the image and camera_info topics of the node. The image topic of the first camera comes first.

    Args:
        arguments: Arguments of the launch file.
        names: Names of several cameras. Empty = one camera without a name.
        images: Image topic of each camera, used unless an argument names another one.

    Raises:
        ValueError: If a topic does not fit the cameras.
    """
    single = {
        kind: _check_single(f"{kind}_topic", arguments[f"{kind}_topic"], names) for kind in ("image", "camera_info")
    }
    each = {kind: read_topics(f"{kind}_topics", arguments[f"{kind}_topics"], names) for kind in single}
    rules = []
    for name, image in zip(names or [""], images, strict=True):
        for kind, default in (("image", image), ("camera_info", "")):
            topic = each[kind].get(name) or (_join(name, single[kind]) if single[kind] else default)
            rules += [(_join(name, kind), topic)] if topic else []
    return rules


def remap_depth(arguments: dict[str, str], names: Sequence[str], depths: Sequence[str]) -> Remappings:
    """Map the depth topics of the node.

    Args:
        arguments: Arguments of the launch file.
        names: Names of several cameras. Empty = one camera without a name.
        depths: Depth topic of each camera, used unless the arguments name another depth or image topic, since it is
            registered to the camera's own images. Empty = not mapped.

    Raises:
        ValueError: If a topic does not fit the cameras.
    """
    given = _check_single("depth_topic", arguments["depth_topic"], names)
    if arguments["image_topic"] or arguments["image_topics"]:
        depths = [""] * len(depths)
    topics = [_join(name, given) if given else depth for name, depth in zip(names or [""], depths, strict=True)]
    return [(_join(name, "depth/image"), topic) for name, topic in zip(names or [""], topics, strict=True) if topic]


def remap_outputs(arguments: dict[str, str], names: Sequence[str]) -> Remappings:
    """Map the outputs of the node. With several cameras, a topic is below the name of each camera."""
    rules = []
    for output in OUTPUTS:
        if topic := _check_single(f"{output}_topic", arguments[f"{output}_topic"], names):
            rules += [(f"~/{_join(name, output)}", _join(name, topic)) for name in names or [""]]
    return rules


def _check_single(argument: str, topic: str, names: Sequence[str]) -> str:
    """Check a topic that is used below the name of each camera."""
    if names and topic.startswith(("/", "~")):
        per_camera = (
            f"; use {argument}s:={names[0]}:={topic}"
            if f"{argument}s" in ("image_topics", "camera_info_topics")
            else ""
        )
        raise ValueError(
            f"{argument}: expected with cameras a topic below the name of each camera, such as image_raw, got {topic}"
            f"{per_camera}"
        )
    return topic


def _join(name: str, topic: str) -> str:
    return f"{name}/{topic}" if name else topic
