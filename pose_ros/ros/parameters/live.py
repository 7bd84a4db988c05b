"""The parameters of a running node as one frozen object, which changes as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node

from pose_ros.ros.parameters.config import NodeConfig
from pose_ros.ros.parameters.declare import (
    config_of,
    declare_parameters,
    former_names,
    parameters,
    values_of,
    warn_former_name,
)

CHANGES = {parameter.name: parameter.changes for parameter in parameters()}
FORMER_NAMES = former_names()


class LiveSettings:
    """Declares the parameters of a node, and takes changes of them.

    Attributes:
        config: The values. It is replaced, never changed: whoever reads it once has values that go together.
    """

    def __init__(self, node: Node, check: Callable[[NodeConfig], None], in_use: Callable[[], bool]) -> None:
        """Declare.

        Args:
            node: The node.
            check: Raises ValueError on values that do not go with the loaded model.
            in_use: Whether a model is loading or at work, so that its own parameters must stay.

        Raises:
            ValueError: If a value on the command line is not valid.
        """
        self._node = node
        self.config = declare_parameters(node)
        self._check, self._in_use = check, in_use
        node.add_on_set_parameters_callback(self._judge)
        self._has_post_set = hasattr(node, "add_post_set_parameters_callback")  # Humble has not
        if self._has_post_set:
            node.add_post_set_parameters_callback(self._take)

    def _judge(self, changed: Sequence[Any]) -> SetParametersResult:
        """Whether all these new values may be taken together; says why not."""
        try:
            wanted = self._with(changed)
            self._check_in_use(changed)
            if wanted.decoder != self.config.decoder:
                self._check(wanted)
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        if not self._has_post_set:
            self.config = wanted
        return SetParametersResult(successful=True)

    def _take(self, changed: Sequence[Any]) -> None:
        self.config = self._with(changed)

    def _with(self, changed: Sequence[Any]) -> NodeConfig:
        ours = {}
        for parameter in changed:
            name = FORMER_NAMES.get(parameter.name, parameter.name)
            if name in CHANGES:
                ours[name] = parameter.value
            if name != parameter.name:
                warn_former_name(self._node, parameter.name, name)
        return config_of({**values_of(self.config), **ours}) if ours else self.config

    def _check_in_use(self, changed: Sequence[Any]) -> None:
        if not self._in_use():
            return
        present = values_of(self.config)
        for parameter in changed:
            if CHANGES.get(parameter.name) == "configure" and parameter.value != present[parameter.name]:
                raise ValueError(
                    f"{parameter.name}: expected no change while the model is in use; deactivate the node, "
                    "set it, then cleanup, configure and activate"
                )
