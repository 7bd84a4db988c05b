"""Transitions of a managed node, in a thread of their own: the node goes on to answer while one takes minutes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future


class Transitions:
    """Runs one transition at a time, and answers the service ``~/change_state``.

    A request that cannot be granted is answered so: rclpy raises in the service's callback then, which would end the
    process (https://github.com/ros2/rclpy/issues/1209).
    """

    def __init__(self, node: LifecycleNode, service: Any) -> None:
        """Take the service over.

        Args:
            node: The node; its lifecycle services must be in a callback group of their own, which is reentrant.
            service: Its service ``~/change_state``.
        """
        self._node = node
        self._grant = service.callback
        self._busy = threading.Lock()
        self._thread = threading.Thread()
        self._woken = node.create_guard_condition(lambda: None)
        service.callback = self._answer

    def start(self, transition: Callable[[], None]) -> bool:
        """Run a transition; False, and nothing is run, while there is another."""
        if not self._busy.acquire(blocking=False):
            return False
        self._thread = threading.Thread(target=self._run, args=(transition,), name="pose_transition", daemon=True)
        self._thread.start()
        return True

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until no transition runs; returns whether that is so."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self, transition: Callable[[], None]) -> None:
        try:
            transition()
        finally:
            self._busy.release()

    async def _answer(self, request: Any, response: Any) -> Any:
        """The service: waits in the executor for the thread, without keeping the executor."""
        answered = Future()

        def transition() -> None:
            answered.set_result(self._granted(request, response))
            if self._node.context.ok():
                self._woken.trigger()

        if not self.start(transition):
            self._refuse(request, "another transition is under way")
            response.success = False
            return response
        return await answered

    def _granted(self, request: Any, response: Any) -> Any:
        try:
            return self._grant(request, response)
        except Exception as error:
            self._refuse(request, f"{type(error).__name__}: {error}")
            response.success = False
            return response

    def _refuse(self, request: Any, reason: str) -> None:
        wanted = request.transition.label or request.transition.id
        machine = self._node._state_machine
        possible = ", ".join(transition[1] for transition in machine.available_transitions)
        self._node.get_logger().warning(
            f"refused the transition {wanted} in the state {machine.current_state[1]}, which has {possible or 'none'}: "
            f"{reason}"
        )
