"""Show the outputs of a node on a live page. It subscribes only while the page is open."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from pose_ros.live.board import MAX_ROWS, Board, CameraBoard, PersonRow, PoseSample
from pose_ros.live.page import LivePage
from pose_ros.msg import PersonPose, PersonPoseArray
from pose_ros.people import TrackState
from pose_ros.ros.command_node import command_node
from pose_ros.ros.errors import describe_error
from pose_ros.ros.reliability import choose_reliability
from pose_ros.ros.topic_names import check_topic_name
from pose_ros.ros.view.images import encode_for_browser
from pose_ros.runtime.runner import Notify
from pose_ros.texts import MAX_QUOTE, printable

UPDATE_PERIOD_S = 0.5
MAX_CAMERAS = 32
GONE_S = 60.0
"""A camera without a publisher is removed from the page after this time."""
POSES, OVERLAYS = "/poses", ("/overlay/compressed", "/overlay")
_POSES_TYPE = "pose_ros/msg/PersonPoseArray"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOP_POLL_S = 0.1
_STATES = {int(state): state.name.lower() for state in TrackState}
_TopicReader = tuple[Any, Callable[[Any], None]]
"""A message type, and the callback of its messages."""


def view(topics: Sequence[str], host: str, port: int, notify: Notify, ros_args: Sequence[str] = ()) -> None:
    """Serve a live page until an interrupt.

    Args:
        topics: Prefixes of the topics: names of nodes, or of their cameras.
        host: Address to listen on, as for ``LivePage.serve``.
        port: TCP port. 0 = any free port.
        notify: Called with the address of the page when it is ready.
        ros_args: Arguments of ``rclpy.init``.

    Raises:
        OSError: If the address is invalid or in use.
        ValueError: If a topic has no valid name.
    """
    for topic in filter(None, (each.rstrip("/") for each in topics)):
        check_topic_name(topic, "--topic")
    with command_node("pose_view", ros_args) as node, _defer_signals() as is_stopped:
        asyncio.run(_serve(node, topics, host, port, notify, is_stopped))


async def _serve(
    node: Node, topics: Sequence[str], host: str, port: int, notify: Notify, is_stopped: Callable[[], object]
) -> None:
    names = [topic.rstrip("/") for topic in topics]  # "/" becomes "", the prefix of every name
    prefixes = [node.resolve_topic_name(name).removesuffix(POSES) if name else name for name in names]
    board = Board([f"{prefix or '/*'}{POSES}" for prefix in prefixes])
    page = LivePage(board, report=lambda text: node.get_logger().warning(text))
    async with page.serve(host, port) as address:
        viewer = Viewer(node, page, prefixes)
        notify(address)
        await asyncio.to_thread(viewer.spin, is_stopped)


@contextmanager
def _defer_signals() -> Iterator[Callable[[], object]]:
    """Defer signals to the end of the block, when everything is closed. The value returns whether one has arrived."""
    received: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _: received.append(number)) for number in _SIGNALS}
    try:
        yield lambda: received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


class Viewer:
    """Subscribes to the cameras of some nodes, and updates the board of a page.

    While the page is not open, nothing is subscribed, so that the nodes can stop processing. The graph is read twice a
    second to find new and removed cameras. All methods run in the thread that spins. The data of a camera changes only
    in the event loop of the page.
    """

    def __init__(self, node: Node, page: LivePage, prefixes: Sequence[str]) -> None:
        """Start looking for cameras.

        Args:
            node: Node of the viewer.
            page: Page to update.
            prefixes: Resolved topic names without the final ``/poses``. An empty name = all.
        """
        self._node, self._page, self._prefixes = node, page, prefixes
        self._seen_s: dict[str, float] = {}  # time when each camera last had a publisher
        self._subscriptions: dict[str, Any] = {}
        node.create_timer(UPDATE_PERIOD_S, self._update, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def spin(self, is_stopped: Callable[[], object]) -> None:
        """Run until ``is_stopped`` returns a true value."""
        executor = SingleThreadedExecutor(context=self._node.context)
        executor.add_node(self._node)
        while not is_stopped():
            executor.spin_once(timeout_sec=_STOP_POLL_S)
        executor.shutdown()

    def _update(self) -> None:
        """Find the present cameras, and subscribe to the topics that the page needs."""
        self._update_cameras()
        wanted: dict[str, _TopicReader] = {}
        for name in self._seen_s:
            camera = self._page.board.camera(name)
            self._page.call(setattr, camera, "publishers", self._node.count_publishers(name + POSES))
            if self._page.is_watched:
                wanted |= self._readers(name, camera)
            self._page.call(camera.listen if self._page.is_watched else camera.stop_listening)
        self._subscribe(wanted)

    def _update_cameras(self) -> None:
        now_s = time.monotonic()
        for name in self._list_cameras():
            if name in self._seen_s or len(self._seen_s) < MAX_CAMERAS:
                self._seen_s[name] = now_s
        for name in [name for name, seen_s in self._seen_s.items() if now_s - seen_s > GONE_S]:
            del self._seen_s[name]
            self._page.board.remove_camera(name)

    def _list_cameras(self) -> list[str]:
        """Return the topic prefix of each camera that has a publisher."""
        topics = [topic for topic, types in self._node.get_topic_names_and_types() if _POSES_TYPE in types]
        ours = [t for t in topics if t.endswith(POSES) and any(t.startswith(f"{p}/") for p in self._prefixes)]
        return [topic.removesuffix(POSES) for topic in ours if self._node.count_publishers(topic)]

    def _readers(self, name: str, camera: CameraBoard) -> dict[str, _TopicReader]:
        """Return the subscriptions of a camera, by topic: poses, and the compressed overlay or the raw one."""

        def on_poses(message: PersonPoseArray) -> None:
            self._page.call(camera.add, sample_of(message))

        def on_overlay(message: Image | CompressedImage) -> None:
            if camera.is_wanted:
                self._show(camera, message)

        readers: dict[str, _TopicReader] = {name + POSES: (PersonPoseArray, on_poses)}
        overlay = next((name + end for end in OVERLAYS if self._node.count_publishers(name + end)), None)
        if overlay is not None:
            readers[overlay] = (CompressedImage if overlay.endswith("compressed") else Image, on_overlay)
        return readers

    def _show(self, camera: CameraBoard, message: Image | CompressedImage) -> None:
        try:
            self._page.call(camera.set_image, encode_for_browser(message))
        except Exception as error:  # a bad image must not stop the page
            self._page.call(setattr, camera, "note", f"no image: {describe_error(error)}")

    def _subscribe(self, wanted: dict[str, _TopicReader]) -> None:
        present = {topic: each.qos_profile.reliability for topic, each in self._subscriptions.items()}
        suitable = {topic: choose_reliability(self._node, topic, present.get(topic)) for topic in wanted}
        for topic, reliability in present.items():
            if suitable.get(topic) != reliability:
                self._node.destroy_subscription(self._subscriptions.pop(topic))
        for topic in wanted.keys() - self._subscriptions.keys():
            kind, callback = wanted[topic]
            qos = QoSProfile(depth=10 if topic.endswith(POSES) else 1, reliability=suitable[topic])
            self._subscriptions[topic] = self._node.create_subscription(kind, topic, callback, qos)


def sample_of(message: PersonPoseArray) -> PoseSample:
    """Extract the numbers of one image for the page."""
    tracked = [person for person in message.people if person.id >= 0]
    return PoseSample(
        people=len(message.people),
        dropped=message.dropped,
        latency_ms=message.latency_ms,
        preprocess_ms=message.preprocess_ms,
        network_ms=message.network_ms,
        decode_ms=message.decode_ms,
        size_wh=(message.image_width, message.image_height),
        model=printable(message.model, MAX_QUOTE),
        tracked=tuple(_row_of(person) for person in sorted(tracked, key=lambda each: int(each.id))[:MAX_ROWS]),
    )


def _row_of(person: PersonPose) -> PersonRow:
    position, velocity = person.position_3d, person.velocity_3d
    return PersonRow(
        int(person.id),
        _STATES.get(person.state, ""),
        math.hypot(position.x, position.y, position.z),
        math.hypot(velocity.x, velocity.y, velocity.z),
        math.hypot(*person.velocity),
    )
