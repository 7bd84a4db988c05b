"""Decoders: the fields of one image become people. Pure functions of arrays, without state, safe in any thread."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

from pose_ros.config import DecoderConfig
from pose_ros.fields import FRONT_HEADS, GROUPING_HEADS, OPTIONAL_HEADS, Fields, ModelSpec
from pose_ros.people import People

_DECODERS = {
    "paf": ("paf", "PafDecoder"),
    "tag": ("tag", "TagDecoder"),
    "personlab": ("personlab", "PersonLabDecoder"),
    "centernet": ("centernet", "CenterNetDecoder"),
    "single": ("single", "SingleDecoder"),
}
"""Module and class of each grouping."""
FRONT_SETTINGS = ("subpixel", "paf_threshold", "paf_fraction")
"""The settings that a decode front has built in, at their defaults."""


class Decoder(Protocol):
    """What ``make_decoder`` returns: ``people = decoder(fields)``, in network-input pixels."""

    def __call__(self, fields: Fields) -> People:
        """Decode the fields of one image."""
        ...


def make_decoder(spec: ModelSpec, grouping: str | None = None, config: DecoderConfig | None = None) -> Decoder:
    """Choose the decoder of a model.

    Args:
        spec: The model: its skeleton, limbs, stride and cell origin.
        grouping: A key of GROUPING_HEADS; None takes the one that the spec prefers.
        config: Thresholds and limits.

    Raises:
        ValueError: If the grouping is unknown, or the model lacks the fields it needs.
    """
    grouping, config = grouping or spec.grouping, config or DecoderConfig()
    if grouping not in _DECODERS:
        raise ValueError(f"grouping: expected one of {', '.join(_DECODERS)}, got {grouping!r}")
    heads = {head.field for head in spec.heads}
    missing = [name for name in fields_read(spec, grouping, config) if heads and name not in heads]
    if missing:
        raise ValueError(f"model {spec.name}: expected heads {missing} for grouping {grouping!r}, got {sorted(heads)}")
    module, name = _DECODERS[grouping]  # loading one loads numba, 0.2 s: only who decodes pays it
    decoder: Decoder = getattr(import_module(f"pose_ros.decoder.{module}"), name)(spec, config)
    return decoder


def fields_read(spec: ModelSpec, grouping: str | None = None, config: DecoderConfig | None = None) -> tuple[str, ...]:
    """The fields that ``make_decoder``'s answer to the same arguments reads: nothing else need be fetched.

    Peaks and limb scores, where the model has them and ``front_fits``, stand in for heatmaps and PAFs.
    """
    grouping, heads = grouping or spec.grouping, {head.field for head in spec.heads}
    if grouping == "paf" and heads.issuperset(FRONT_HEADS) and front_fits(config or DecoderConfig()):
        return FRONT_HEADS
    return (*GROUPING_HEADS[grouping], *(name for name in OPTIONAL_HEADS.get(grouping, ()) if name in heads))


def front_fits(config: DecoderConfig) -> bool:
    """Whether a decode front, which always works at the defaults, does what the settings ask for."""
    default = DecoderConfig()
    return all(getattr(config, name) == getattr(default, name) for name in FRONT_SETTINGS)
