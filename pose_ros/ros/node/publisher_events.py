"""Read the QoS events of publishers at intervals, instead of waiting for each of them."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher


class _EverythingIsReady:
    """Takes the place of a wait set for an event that is read without waiting."""

    def add_event(self, event: Any) -> int:
        return 0

    def is_ready(self, kind: str, index: int) -> bool:
        return True


class PublisherEvents:
    """QoS events of the publishers of a node.

    Before each callback, rclpy calls about ten Python functions for every event that it waits for. A node with four
    cameras has 40 events of publishers, and they took most of the time between two images.
    """

    def __init__(self) -> None:
        self._handlers: list[Any] = []
        self._ready: Any = _EverythingIsReady()

    def watch(self, node: Node, publisher: Publisher) -> None:
        """Take over the events of a new publisher, so that rclpy does not wait for them."""
        handlers: list[Any] = list(publisher.event_handlers)
        for handler in handlers:
            node.remove_waitable(handler)
            handler.add_to_wait_set(self._ready)
        publisher.event_handlers.clear()  # rclpy does not destroy them then
        self._handlers += handlers

    def report(self) -> None:
        """Call the callback of each event that happened since the last call. Call it in the executor's thread."""
        for handler in self._handlers:
            handler.is_ready(self._ready)
            event = handler.take_data()
            if event is not None and event.total_count_change:
                handler.callback(event)

    def close(self) -> None:
        """Destroy the events. Call it before the publishers are destroyed."""
        handlers, self._handlers = self._handlers, []
        for handler in handlers:
            handler.destroy()
