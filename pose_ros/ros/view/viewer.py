"""A live page of what a node says: it listens while somebody looks."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from pose_ros.live.board import Board, CameraBoard, PoseSample
from pose_ros.live.page import LivePage
from pose_ros.msg import PersonPoseArray
from pose_ros.ros.command_node import command_node
from pose_ros.ros.view.images import browser_picture

LOOK_S = 0.5
MOST_CAMERAS = 32
GONE_S = 60.0
"""A camera that nobody publishes for so long leaves the page."""
POSES, OVERLAYS = "/poses", ("/overlay/compressed", "/overlay")
_POSES_TYPE = "pose_ros/msg/PersonPoseArray"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOP_POLL_S = 0.1
_TopicReader = tuple[Any, Callable[[Any], None]]
"""A type of message, and what takes it."""


def view(topics: Sequence[str], host: str, port: int, say: Callable[[str], None], ros_args: Sequence[str] = ()) -> None:
    """Serve a live page until an interrupt.

    Args:
        topics: What the names of the topics begin with: the name of a node, or of one of its cameras.
        host: Where to listen, as for ``LivePage.served``.
        port: TCP port; 0 takes a free one.
        say: Gets the address of the page once it is served.
        ros_args: For ``rclpy.init``.

    Raises:
        OSError: If the address is not free.
    """
    with command_node("pose_view", ros_args) as node, _signals_noted() as stopped:
        asyncio.run(_serve(node, topics, host, port, say, stopped))


async def _serve(
    node: Node, topics: Sequence[str], host: str, port: int, say: Callable[[str], None], stopped: Callable[[], object]
) -> None:
    names = [topic.rstrip("/") for topic in topics]  # that of / is empty, and begins every name
    prefixes = [node.resolve_topic_name(name).removesuffix(POSES) if name else name for name in names]
    page = LivePage(Board([f"{prefix or '/*'}{POSES}" for prefix in prefixes]))
    async with page.served(host, port) as address:
        viewer = Viewer(node, page, prefixes)
        say(address)
        await asyncio.to_thread(viewer.spin, stopped)


@contextmanager
def _signals_noted() -> Iterator[Callable[[], object]]:
    """Tells whether a signal to end has come; only behind the block, where all is closed, does it take effect."""
    noted: list[int] = []
    before = {number: signal.signal(number, lambda number, _: noted.append(number)) for number in _SIGNALS}
    try:
        yield lambda: noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if noted:
        signal.raise_signal(noted[0])


class Viewer:
    """Listens to the cameras of some nodes, and keeps a page's board.

    While nobody looks at the page nothing is subscribed, so that the node may rest. Cameras come and go: the graph is
    looked at twice a second. It runs in the one thread that spins; what a camera knows changes in the page's loop.
    """

    def __init__(self, node: Node, page: LivePage, prefixes: Sequence[str]) -> None:
        """Begin to look for cameras.

        Args:
            node: Its own node.
            page: What is fed.
            prefixes: Resolved names, without the final ``/poses``; an empty one stands for all.
        """
        self._node, self._page, self._prefixes = node, page, prefixes
        self._seen_s: dict[str, float] = {}  # when each camera was last there
        self._subscriptions: dict[str, Any] = {}
        node.create_timer(LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def spin(self, stopped: Callable[[], object]) -> None:
        """Work until that is true."""
        executor = SingleThreadedExecutor(context=self._node.context)
        executor.add_node(self._node)
        while not stopped():
            executor.spin_once(timeout_sec=_STOP_POLL_S)
        executor.shutdown()

    def _look(self) -> None:
        """Find the cameras that are there now, and subscribe to what is looked at."""
        self._find_cameras()
        wanted: dict[str, _TopicReader] = {}
        for name in self._seen_s:
            camera = self._page.board.camera(name)
            self._page.call(setattr, camera, "publishers", self._node.count_publishers(name + POSES))
            if self._page.is_watched:
                wanted |= self._readers(name, camera)
            self._page.call(camera.listen if self._page.is_watched else camera.rest)
        self._subscribe(wanted)

    def _find_cameras(self) -> None:
        now_s = time.monotonic()
        for name in self._found():
            if name in self._seen_s or len(self._seen_s) < MOST_CAMERAS:
                self._seen_s[name] = now_s
        for name in [name for name, seen_s in self._seen_s.items() if now_s - seen_s > GONE_S]:
            del self._seen_s[name]
            self._page.board.forget(name)

    def _found(self) -> list[str]:
        """What the names of the topics of each camera begin with."""
        topics = [topic for topic, types in self._node.get_topic_names_and_types() if _POSES_TYPE in types]
        ours = [t for t in topics if t.endswith(POSES) and any(t.startswith(f"{p}/") for p in self._prefixes)]
        return [topic.removesuffix(POSES) for topic in ours if self._node.count_publishers(topic)]

    def _readers(self, name: str, camera: CameraBoard) -> dict[str, _TopicReader]:
        """By topic, what to subscribe to: people, and the compressed overlay or the raw one."""

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
            self._page.call(camera.show, browser_picture(message))
        except Exception as error:  # whatever an image holds, the page goes on
            self._page.call(setattr, camera, "note", f"no picture: {error}")

    def _subscribe(self, wanted: dict[str, _TopicReader]) -> None:
        for topic in self._subscriptions.keys() - wanted.keys():
            self._node.destroy_subscription(self._subscriptions.pop(topic))
        for topic in wanted.keys() - self._subscriptions.keys():
            kind, callback = wanted[topic]
            self._subscriptions[topic] = self._node.create_subscription(kind, topic, callback, self._qos(topic))

    def _qos(self, topic: str) -> QoSProfile:
        """As reliable as it is published: asking for more would be answered by nothing."""
        publishers = self._node.get_publishers_info_by_topic(topic)
        is_reliable = all(p.qos_profile.reliability == ReliabilityPolicy.RELIABLE for p in publishers)
        reliability = ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT
        return QoSProfile(depth=10 if topic.endswith(POSES) else 1, reliability=reliability)


def sample_of(message: PersonPoseArray) -> PoseSample:
    """The numbers of one image."""
    return PoseSample(
        people=len(message.people),
        dropped=message.dropped,
        latency_ms=message.latency_ms,
        preprocess_ms=message.preprocess_ms,
        network_ms=message.network_ms,
        decode_ms=message.decode_ms,
        size_wh=(message.image_width, message.image_height),
        model=message.model,
    )
