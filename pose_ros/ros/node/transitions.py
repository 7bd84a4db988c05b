"""Run lifecycle transitions in threads, so that the node stays responsive while a transition takes minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future

from pose_ros.ros.errors import describe_error
from pose_ros.texts import MAX_QUOTE, printable

WAIT_TIMEOUT_S = 5.0
"""Longest wait of a request for the previous transition, if its new state is already visible."""
_POLL_S = 0.005
_PRIMARY_STATES = ("unconfigured", "inactive", "active", "finalized")  # the states between transitions


class Transitions:
    """Runs one transition at a time, and handles the service ``~/change_state``.

    A client may request the next transition as soon as it has the response to the last one, or sees the new state. An
    invalid request gets a response with ``success = False``. By default rclpy raises in the callback of the service,
    which would stop the process (https://github.com/ros2/rclpy/issues/1209).
    """

    def __init__(self, node: LifecycleNode, service: Any, on_end: Callable[[], None]) -> None:
        """Replace the callback of the service.

        Args:
            node: The node. Its lifecycle services must be in a separate, reentrant callback group.
            service: Service ``~/change_state`` of the node.
            on_end: Called in the executor's thread after each transition.
        """
        self._node = node
        self._change_state = service.callback
        self._busy = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._end_signal = node.create_guard_condition(on_end)
        service.callback = self._handle_request

    def start(self, transition: Callable[[], None]) -> None:
        """Run transitions without a request. Call it before any other transition."""
        self._busy.acquire()
        self._run_in_thread(transition, self._busy.release)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until no transition runs. Return False if one still runs after the time-out."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(end_s and max(0.0, end_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run_in_thread(self, work: Callable[[], None], finish: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            finally:
                finish()
            if self._node.context.ok():
                self._end_signal.trigger()

        thread = threading.Thread(target=run, name="pose_transition", daemon=True)
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        thread.start()

    async def _handle_request(self, request: Any, response: Any) -> Any:
        """Handle a request: wait for its thread without blocking the executor."""
        response.success = False
        finished = Future()
        self._run_in_thread(lambda: self._run_request(request, response), lambda: finished.set_result(response))
        return await finished

    def _run_request(self, request: Any, response: Any) -> None:
        """Run the transition of a request. It is completely finished before the response is sent."""
        if not self._acquire_turn():
            self._refuse(request, "another transition is in progress")
            return
        try:
            label = request.transition.label
            if label and label not in self._list_possible():  # rcl would log the label as it is
                self._refuse(request, "it is not possible now")
            else:
                self._change_state(request, response)
        except Exception as error:
            self._refuse(request, describe_error(error))
            response.success = False
        finally:
            self._busy.release()

    def _acquire_turn(self) -> bool:
        """Return True when no other transition runs. Wait for one only if its new state is already visible."""
        end_s = time.monotonic() + WAIT_TIMEOUT_S
        while not self._busy.acquire(timeout=_POLL_S):
            _, state = self._node._state_machine.current_state
            if state not in _PRIMARY_STATES or time.monotonic() > end_s:
                return False
        return True

    def _list_possible(self) -> list[str]:
        return [str(transition[1]) for transition in self._node._state_machine.available_transitions]

    def _refuse(self, request: Any, reason: str) -> None:
        name = request.transition.label or request.transition.id
        machine = self._node._state_machine
        possible = ", ".join(self._list_possible())
        self._node.get_logger().warning(
            f"transition {printable(name, MAX_QUOTE)} refused in state {machine.current_state[1]}: {reason}; "
            f"possible transitions: {possible or 'none'}"
        )
