"""Make docs/node_graph.svg: topics and services of the running node, as ROS reports them.

. .venv/ros.sh && python demo/node_graph.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from processes import Child, private_graph

OUTPUT = Path(__file__).resolve().parents[1] / "docs/node_graph.svg"
NODE = "pose_estimator"
TIMEOUT_S = 60.0
INPUTS = {"/image", "/camera_info", "/depth/image"}
HIDDEN = ("/rosout", "/parameter_events", "parameter", "transition", "type_description")
"""Parts of the names that every node has, or every lifecycle node."""
ROW_PX, SIDE_PX, NODE_PX, GAP_PX = 40, 300, 200, 60
STYLE = (
    "text { font: 14px system-ui, sans-serif; fill: #222 } .type { font-size: 11px; fill: #666 } "
    ".node { fill: #0072b2 } .name { fill: #fff; font-weight: bold; text-anchor: middle } "
    ".in { text-anchor: end } path { stroke: #0072b2; stroke-width: 1.5; fill: none; marker-end: url(#arrow) } "
    ".service { stroke-dasharray: 4 3; marker-start: url(#arrow) }"
)
Entry = tuple[str, str]


def read_graph() -> tuple[list[Entry], list[Entry], list[Entry]]:
    """Return subscriptions, publishers and services of the node, each as name and type."""
    import rclpy
    from pose_ros.msg import PersonPoseArray
    from visualization_msgs.msg import MarkerArray

    rclpy.init()
    node = rclpy.create_node("graph_reader")
    for kind, topic in ((PersonPoseArray, "poses"), (MarkerArray, "markers")):
        node.create_subscription(kind, f"/{NODE}/{topic}", lambda _: None, 10)
    end_s = time.monotonic() + TIMEOUT_S
    while INPUTS - {name for name, _ in find(node.get_subscriber_names_and_types_by_node)}:
        if time.monotonic() > end_s:
            raise TimeoutError(f"{NODE}: expected subscriptions to {', '.join(sorted(INPUTS))}")
        rclpy.spin_once(node, timeout_sec=0.1)
    lists = (
        find(node.get_subscriber_names_and_types_by_node),
        find(node.get_publisher_names_and_types_by_node),
        find(node.get_service_names_and_types_by_node),
    )
    node.destroy_node()
    rclpy.shutdown()
    return lists


def find(read: Any) -> list[Entry]:
    """Read one list of the graph, without what every node has."""
    try:
        entries = read(NODE, "/")
    except Exception:  # the node is not known yet
        return []
    return sorted((name, kinds[0]) for name, kinds in entries if not any(part in name for part in HIDDEN))


def draw(inputs: Sequence[Entry], outputs: Sequence[Entry], services: Sequence[Entry]) -> Iterator[str]:
    """Draw the node in the middle, inputs on the left, outputs and services on the right, as lines of SVG."""
    right = [*((entry, "") for entry in outputs), *((entry, "service") for entry in services)]
    height = ROW_PX * max(len(right), len(inputs)) + ROW_PX // 2
    left_px, right_px = SIDE_PX + GAP_PX, SIDE_PX + GAP_PX + NODE_PX
    width = right_px + GAP_PX + SIDE_PX
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    yield f"<style>{STYLE}</style>"
    yield '<rect width="100%" height="100%" fill="#fff"/>'
    yield '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    yield ' orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" style="fill:#0072b2;stroke:none"/></marker></defs>'
    yield f'<rect class="node" x="{left_px}" y="5" width="{NODE_PX}" height="{height - 10}" rx="8"/>'
    yield f'<text class="name" x="{left_px + NODE_PX // 2}" y="{height // 2 + 5}">/{NODE}</text>'
    for row, entry in enumerate(inputs):
        y = height // 2 + round((row - (len(inputs) - 1) / 2) * ROW_PX)
        yield f'<path d="M{SIDE_PX + 8} {y} H{left_px - 3}"/>' + write(entry, SIDE_PX, y, "in")
    for row, (entry, kind) in enumerate(right):
        y = ROW_PX * row + 3 * ROW_PX // 4
        line = f'<path class="{kind}" d="M{right_px + (3 if kind else 0)} {y} H{right_px + GAP_PX - 8}"/>'
        yield line + write(entry, right_px + GAP_PX, y, "out")
    yield "</svg>"


def write(entry: Entry, x: int, y: int, side: str) -> str:
    """Write a name and its type."""
    name, kind = entry[0].replace(f"/{NODE}/", "~/"), entry[1].replace("/msg/", "/").replace("/srv/", "/")
    start = f'<text x="{x}" class="{side}'
    return f'{start}" y="{y - 1}">{name}</text>{start} type" y="{y + 13}">{kind}</text>'


def main() -> None:
    """Start the node, read its graph, and write the image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="SVG to write")
    options = parser.parse_args()
    settings = ("--ros-args", "-p", "depth.enabled:=true", "-p", "runtime.threads:=1")
    log = Path(tempfile.gettempdir()) / "node_graph.log"
    with private_graph(), Child("the node", "pose_node", *settings, log=log):
        lists = read_graph()
    options.output.write_text("\n".join(draw(*lists)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
