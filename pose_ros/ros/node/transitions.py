"""Transitions of a managed node, in threads of their own: the node goes on to answer while one takes minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future

PATIENCE_S = 5.0
"""A new state is seen a moment before the thread that led to it is done: a request waits for that, at most so long."""
_POLL_S = 0.005
_PRIMARY = ("unconfigured", "inactive", "active", "finalized")  # the states between transitions


class Transitions:
    """Runs one transition at a time, and answers the service ``~/change_state``.

    Whoever has an answer, or has seen the state that a transition leads to, may ask for the next one at once. A request
    that cannot be granted is answered so: rclpy raises in the service's callback then, which would end the process
    (https://github.com/ros2/rclpy/issues/1209).
    """

    def __init__(self, node: LifecycleNode, service: Any, ended: Callable[[], None]) -> None:
        """Take the service over.

        Args:
            node: The node; its lifecycle services must be in a callback group of their own, which is reentrant.
            service: Its service ``~/change_state``.
            ended: Called in the executor's thread after each transition.
        """
        self._node = node
        self._grant = service.callback
        self._busy = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._woken = node.create_guard_condition(ended)
        service.callback = self._answer

    def start(self, transition: Callable[[], None]) -> None:
        """Run transitions that no request has asked for; before any other."""
        self._busy.acquire()
        self._in_thread(transition, self._busy.release)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until no transition runs; returns whether that is so."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(end_s and max(0.0, end_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _in_thread(self, work: Callable[[], None], finish: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            finally:
                finish()
            if self._node.context.ok():
                self._woken.trigger()

        thread = threading.Thread(target=run, name="pose_transition", daemon=True)
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        thread.start()

    async def _answer(self, request: Any, response: Any) -> Any:
        """The service: waits in the executor for the thread, without keeping the executor."""
        response.success = False
        answered = Future()
        self._in_thread(lambda: self._run_alone(request, response), lambda: answered.set_result(response))
        return await answered

    def _run_alone(self, request: Any, response: Any) -> None:
        """The transition of a request; nothing of it is left when the answer goes out."""
        if not self._took_turn():
            self._refuse(request, "another transition is under way")
            return
        try:
            self._grant(request, response)
        except Exception as error:
            self._refuse(request, f"{type(error).__name__}: {error}")
            response.success = False
        finally:
            self._busy.release()

    def _took_turn(self) -> bool:
        """Whether no other transition runs. One that runs is waited for only where its state says that it is over."""
        end_s = time.monotonic() + PATIENCE_S
        while not self._busy.acquire(timeout=_POLL_S):
            _, state = self._node._state_machine.current_state
            if state not in _PRIMARY or time.monotonic() > end_s:
                return False
        return True

    def _refuse(self, request: Any, reason: str) -> None:
        wanted = request.transition.label or request.transition.id
        machine = self._node._state_machine
        possible = ", ".join(transition[1] for transition in machine.available_transitions)
        self._node.get_logger().warning(
            f"refused the transition {wanted} in the state {machine.current_state[1]}, which has {possible or 'none'}: "
            f"{reason}"
        )
