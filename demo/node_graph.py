"""Make docs/node_graph.svg: the running node between a camera, the live page and a subscriber, as ROS reports them.

. .venv/ros.sh && python demo/node_graph.py
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import Child, private_graph

OUTPUT = Path(__file__).resolve().parents[1] / "docs/node_graph.svg"
NODE = "pose_estimator"
TIMEOUT_S = 60.0
INPUTS = {"/image", "/camera_info", "/depth/image"}
WATCHED = {f"/{NODE}/poses": 2, f"/{NODE}/overlay/compressed": 1, f"/{NODE}/pose_array": 1}
"""Topics that must have so many subscribers before the graph is read."""
SETTINGS = ("--ros-args", "-p", "depth.enabled:=true", "-p", "runtime.threads:=1")
HIDDEN = ("/rosout", "/parameter_events", "parameter", "transition", "type_description")
"""Parts of the names that every node has, or every lifecycle node."""
ROW_PX, BOX_PX, INPUT_PX, OUTPUT_PX, ARROW_PX = 40, 140, 160, 205, 50
STYLE = (
    "text { font: 14px system-ui, sans-serif; fill: #222 } .type { font-size: 11px; fill: #666 } "
    ".node { fill: #0072b2 } .peer { fill: #fff; stroke: #0072b2; stroke-width: 1.5 } "
    ".name { font-weight: bold; text-anchor: middle } .white { fill: #fff } "
    "path { stroke: #0072b2; stroke-width: 1.5; fill: none; marker-end: url(#arrow) } "
    ".service { stroke-dasharray: 4 3; marker-start: url(#arrow) }"
)


@dataclass(frozen=True)
class Entry:
    """Topic or service of the node.

    Attributes:
        name: Full name.
        kind: Type of its messages.
        peers: Names of the nodes at its other end.
    """

    name: str
    kind: str
    peers: tuple[str, ...] = ()


def read_graph() -> tuple[list[Entry], list[Entry], list[Entry]]:
    """Return subscriptions, publishers and services of the node, with a camera and a subscriber around it.

    Raises:
        TimeoutError: The node or the live page does not appear.
    """
    import rclpy
    from geometry_msgs.msg import PoseArray
    from pose_ros.msg import PersonPoseArray
    from sensor_msgs.msg import CameraInfo, Image

    rclpy.init()
    camera, subscriber = rclpy.create_node("camera"), rclpy.create_node("subscriber")
    for kind, topic in ((Image, "image"), (CameraInfo, "camera_info"), (Image, "depth/image")):
        camera.create_publisher(kind, f"/{topic}", 10)
    for kind, topic in ((PersonPoseArray, "poses"), (PoseArray, "pose_array")):
        subscriber.create_subscription(kind, f"/{NODE}/{topic}", lambda _: None, 10)
    end_s = time.monotonic() + TIMEOUT_S
    while missing := _find_missing(subscriber):
        if time.monotonic() > end_s:
            raise TimeoutError(f"graph: expected subscriptions to {', '.join(sorted(missing))}, got none")
        rclpy.spin_once(subscriber, timeout_sec=0.1)
    lists = (
        find(subscriber.get_subscriber_names_and_types_by_node, subscriber.get_publishers_info_by_topic),
        find(subscriber.get_publisher_names_and_types_by_node, subscriber.get_subscriptions_info_by_topic),
        find(subscriber.get_service_names_and_types_by_node),
    )
    for node in (camera, subscriber):
        node.destroy_node()
    rclpy.shutdown()
    return lists


@contextmanager
def look_at_page(page: Child) -> Iterator[None]:
    """Open the live page as a browser does, because it subscribes only while somebody looks at it.

    Raises:
        TimeoutError: The page does not start.
    """
    end_s = time.monotonic() + TIMEOUT_S
    while page.is_running and not (address := re.search(r"http://[\d.]+:\d+", page.read_log())):
        if time.monotonic() > end_s:
            raise TimeoutError(f"page: expected its address in {page.log}, got none")
        time.sleep(0.1)
    stop = threading.Event()
    browser = threading.Thread(target=lambda: asyncio.run(_request_updates(address[0] if address else "", stop)))
    browser.start()
    try:
        yield
    finally:
        stop.set()
        browser.join()


async def _request_updates(address: str, stop: threading.Event) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}/live", origin=address) as socket:
        while not stop.is_set():
            await socket.send_str("news?")
            with suppress(asyncio.TimeoutError):
                while not stop.is_set():
                    await socket.receive(timeout=0.2)


def _find_missing(node: Any) -> set[str]:
    """Return the topics of INPUTS and WATCHED that still lack their subscription."""
    inputs = {entry.name for entry in find(node.get_subscriber_names_and_types_by_node)}
    return (INPUTS - inputs) | {topic for topic, count in WATCHED.items() if node.count_subscribers(topic) < count}


def find(read: Any, read_peers: Any = None) -> list[Entry]:
    """Read one list of the graph, without what every node has."""
    try:
        entries = read(NODE, "/")
    except Exception:  # the node is not known yet
        return []
    shown = sorted((name, kinds[0]) for name, kinds in entries if not any(part in name for part in HIDDEN))
    return [Entry(name, kind, _names(read_peers(name)) if read_peers else ()) for name, kind in shown]


def _names(ends: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of the nodes at the ends of a topic."""
    return tuple(sorted({end.node_name for end in ends} - {NODE}))


def draw(inputs: Sequence[Entry], outputs: Sequence[Entry], services: Sequence[Entry]) -> Iterator[str]:
    """Draw the node in the middle, publishers on the left, subscribers and services on the right, as lines of SVG."""
    right = [*outputs, *services]
    height = ROW_PX * max(len(right), len(inputs)) + ROW_PX // 2
    left_px = BOX_PX + INPUT_PX + ARROW_PX
    right_px = left_px + BOX_PX
    peers_px = right_px + ARROW_PX + OUTPUT_PX + ARROW_PX
    width = peers_px + BOX_PX
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    yield f"<style>{STYLE}</style>"
    yield '<rect width="100%" height="100%" fill="#fff"/>'
    yield '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    yield ' orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" style="fill:#0072b2;stroke:none"/></marker></defs>'
    yield write_box(NODE, left_px, 5, height - 10, "node", "white")
    rows = [height // 2 + round((row - (len(inputs) - 1) / 2) * ROW_PX) for row in range(len(inputs))]
    for name in sorted({name for entry in inputs for name in entry.peers}):
        ends = [y for entry, y in zip(inputs, rows, strict=True) if name in entry.peers]
        yield write_box(name, 1, min(ends) - ROW_PX // 2, max(ends) - min(ends) + ROW_PX, "peer")
    for entry, y in zip(inputs, rows, strict=True):
        yield f'<path d="M{left_px - ARROW_PX + 4} {y} H{left_px - 3}"/>' + write(entry, BOX_PX + 14, y)
    places = _place_peers(outputs)
    for name, y in places.items():
        yield write_box(name, peers_px - 1, y - ROW_PX // 2, ROW_PX, "peer")
    for row, entry in enumerate(right):
        y, service = _row_y(row), "service" if entry in services else ""
        start = right_px + (3 if service else 0)
        yield f'<path class="{service}" d="M{start} {y} H{right_px + ARROW_PX - 8}"/>'
        yield write(entry, right_px + ARROW_PX, y)
        for name in entry.peers:
            begin = right_px + ARROW_PX + OUTPUT_PX - 10
            middle = (begin + peers_px) // 2
            yield f'<path d="M{begin} {y} C{middle} {y} {middle} {places[name]} {peers_px - 4} {places[name]}"/>'
    yield "</svg>"


def _row_y(row: int) -> int:
    return ROW_PX * row + 3 * ROW_PX // 4


def _place_peers(outputs: Sequence[Entry]) -> dict[str, int]:
    """Return the height of each subscriber: that of the mean of its topics, with a gap to the one above it."""
    topics: dict[str, list[int]] = {}
    for row, entry in enumerate(outputs):
        for name in entry.peers:
            topics.setdefault(name, []).append(_row_y(row))
    places: dict[str, int] = {}
    for name, rows in sorted(topics.items(), key=lambda item: sum(item[1]) / len(item[1])):
        places[name] = max(round(sum(rows) / len(rows)), max(places.values(), default=0) + 3 * ROW_PX // 2)
    return places


def write_box(name: str, x: int, y: int, height: int, style: str, colour: str = "") -> str:
    """Write a node as a box with its name."""
    box = f'<rect class="{style}" x="{x}" y="{y}" width="{BOX_PX}" height="{height}" rx="8"/>'
    return f'{box}<text class="name {colour}" x="{x + BOX_PX // 2}" y="{y + height // 2 + 5}">/{name}</text>'


def write(entry: Entry, x: int, y: int) -> str:
    """Write a name and its type."""
    name, kind = entry.name.replace(f"/{NODE}/", "~/"), entry.kind.replace("/msg/", "/").replace("/srv/", "/")
    return f'<text x="{x}" y="{y - 1}">{name}</text><text x="{x}" class="type" y="{y + 13}">{kind}</text>'


def main() -> None:
    """Start the node and the live page, read the graph, and write the image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="SVG to write")
    options = parser.parse_args()
    logs = Path(tempfile.gettempdir())
    with (
        private_graph(),
        Child("the node", "pose_node", *SETTINGS, log=logs / "node_graph.log"),
        Child("the page", "pose_ros", "view", "--port", "0", log=logs / "node_graph_view.log") as page,
        look_at_page(page),
    ):
        lists = read_graph()
    options.output.write_text("\n".join(draw(*lists)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
