"""Keep the parameters of a running node in one frozen object, which is replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from pose_ros.ros.parameters.config import NodeConfig
from pose_ros.ros.parameters.declare import config_of, declare_parameters, parameters, values_of
from pose_ros.ros.parameters.retyped import restore_type
from pose_ros.texts import printable

PARAMETERS = {parameter.name: parameter for parameter in parameters()}
CHANGES = {name: parameter.changes for name, parameter in PARAMETERS.items()}


class LiveSettings:
    """Current settings of a node, updated when its parameters change.

    Attributes:
        config: Current values. The object is replaced and never modified, so one read returns consistent values.
    """

    def __init__(self, node: Node, check: Callable[[NodeConfig], None], in_use: Callable[[], bool]) -> None:
        """Declare the parameters of the node.

        Args:
            node: The node.
            check: Called with new decoder settings. It raises ValueError if they do not match the loaded model.
            in_use: Returns whether a model is loading or loaded. Its parameters must not change then.

        Raises:
            ValueError: If a given value is invalid.
        """
        self.config = declare_parameters(node)
        self._check, self._in_use = check, in_use
        if hasattr(node, "add_pre_set_parameters_callback"):  # not in Humble
            node.add_pre_set_parameters_callback(_restore_types)
        node.add_on_set_parameters_callback(self._check_changes)
        self._has_post_set = hasattr(node, "add_post_set_parameters_callback")  # not in Humble
        if self._has_post_set:
            node.add_post_set_parameters_callback(self._apply)

    def _check_changes(self, changed: Sequence[Any]) -> SetParametersResult:
        """Accept or reject new values together, with the reason."""
        try:
            merged = self._merge(changed)
            self._check_in_use(changed)
            if merged.decoder != self.config.decoder:
                self._check(merged)
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=printable(error))
        if not self._has_post_set:
            self.config = merged
        return SetParametersResult(successful=True)

    def _apply(self, changed: Sequence[Any]) -> None:
        self.config = self._merge(changed)

    def _merge(self, changed: Sequence[Any]) -> NodeConfig:
        ours = {parameter.name: parameter.value for parameter in changed if parameter.name in CHANGES}
        return config_of({**values_of(self.config), **ours}) if ours else self.config

    def _check_in_use(self, changed: Sequence[Any]) -> None:
        if not self._in_use():
            return
        present, wanted = values_of(self.config), values_of(self._merge(changed))
        for parameter in changed:
            name = parameter.name
            if CHANGES.get(name) == "configure" and wanted[name] != present[name]:
                raise ValueError(
                    f"{parameter.name}: expected no change while the model is in use; deactivate the node, "
                    "set the parameter, then cleanup, configure and activate"
                )


def _restore_types(changed: Sequence[Any]) -> list[Any]:
    """Undo the types that YAML gives to new values, as ``ros2 param set`` reads them."""
    return [
        RosParameter(each.name, value=restore_type(each.value, known.default, known.choices, known.words))
        if (known := PARAMETERS.get(each.name)) and each.value is not None
        else each
        for each in changed
    ]
