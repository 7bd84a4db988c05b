"""Import Lightweight OpenPose's checkpoints, with any number of refinement stages."""

from __future__ import annotations

import re
from functools import partial

from pose_ros.checkpoint.publisher import Publisher, Shapes, State
from pose_ros.network.lightweight_openpose import lightweight_openpose
from pose_ros.network.zoo import Builder

_PREFIXES = {"model": "backbone", "cpm": "neck", "initial_stage": "stages.0"}


def _network(shapes: Shapes) -> Builder | None:
    if not {key.split(".")[0] for key in shapes} >= _PREFIXES.keys():
        return None
    stages = {match[1] for match in (re.match(r"refinement_stages\.(\d+)\.", key) for key in shapes) if match}
    return partial(lightweight_openpose, refinements=len(stages))


def _convert(state: State) -> State:
    return {_rename_key(key): value for key, value in state.items()}


def _rename_key(key: str) -> str:
    first, _, rest = key.partition(".")
    if first == "refinement_stages":
        number, _, rest = rest.partition(".")
        return f"stages.{int(number) + 1}.{rest}"
    return f"{_PREFIXES.get(first, first)}.{rest}"


PUBLISHER = Publisher("Lightweight OpenPose", _network, _convert)
