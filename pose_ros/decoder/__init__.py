"""Convert the fields of one image to people. Decoders are pure functions of arrays and thread-safe."""

from __future__ import annotations

from dataclasses import replace
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
    "direct": ("direct", "DirectDecoder"),
}
"""Module and class of each grouping."""
CENTRED_GROUPINGS = ("paf", "tag")
"""Groupings whose people can take keypoints from their centres."""
CENTRE_FIELDS = ("centres", "keypoint_offsets", "centre_offsets", "sizes")
FRONT_SETTINGS = ("paf_threshold", "paf_fraction")
"""Settings that a decode front fixes to their defaults. It also fixes the refinement that ``auto`` selects."""


class Decoder(Protocol):
    """Interface of the decoders: ``people = decoder(fields)``, in network-input pixels."""

    def __call__(self, fields: Fields) -> People:
        """Decode the fields of one image."""
        ...


def make_decoder(spec: ModelSpec, grouping: str | None = None, config: DecoderConfig | None = None) -> Decoder:
    """Make the decoder of a model.

    Args:
        spec: Description of the model, with skeleton, limbs, stride and cell origin.
        grouping: Grouping, a key of GROUPING_HEADS. None = preferred grouping of the model.
        config: Thresholds and limits. None = defaults.

    Raises:
        ValueError: If the grouping is unknown, or the model lacks fields that it requires.
    """
    grouping, config = grouping or spec.grouping, complete_config(spec, config)
    if grouping not in _DECODERS:
        raise ValueError(f"grouping: expected one of {', '.join(_DECODERS)}, got {grouping!r}")
    heads = {head.field for head in spec.heads}
    missing = [name for name in fields_to_read(spec, grouping, config) if heads and name not in heads]
    if missing:
        raise ValueError(f"model {spec.name}: expected heads {missing} for grouping {grouping!r}, got {sorted(heads)}")
    module, name = _DECODERS[grouping]  # imported late: a decoder imports numba, which takes 0.2 s
    decoder: Decoder = getattr(import_module(f"pose_ros.decoder.{module}"), name)(spec, config)
    return decoder


def fields_to_read(
    spec: ModelSpec, grouping: str | None = None, config: DecoderConfig | None = None
) -> tuple[str, ...]:
    """Return the fields that the decoder reads. The other outputs of the network are not required.

    Peaks and limb scores replace heatmaps and PAFs if the model has them and ``can_use_front`` is true.

    Args:
        spec: Description of the model.
        grouping: Grouping, a key of GROUPING_HEADS. None = preferred grouping of the model.
        config: Thresholds and limits. None = defaults.
    """
    grouping, config = grouping or spec.grouping, config or DecoderConfig()
    heads = {head.field for head in spec.heads}
    if grouping == "paf" and heads.issuperset(FRONT_HEADS) and can_use_front(spec, config):
        return FRONT_HEADS
    optional = OPTIONAL_HEADS.get(grouping, ()) if grouping != "personlab" or config.masks else ()
    names = (*GROUPING_HEADS[grouping], *(name for name in optional if name in heads))
    if grouping in CENTRED_GROUPINGS and can_use_centres(spec, config):
        names += tuple(name for name in CENTRE_FIELDS if name in heads)
    reads_offsets = choose_method(config.subpixel, has_offsets(spec)) == "offsets" and grouping != "personlab"
    return (*names, "heatmap_offsets") if reads_offsets and "heatmaps" in names else names


def can_use_centres(spec: ModelSpec, config: DecoderConfig) -> bool:
    """Return whether people take keypoints from their centres: see ``with_centres.py``."""
    return config.with_centres and {"heatmaps", *GROUPING_HEADS["centernet"]} <= {head.field for head in spec.heads}


def can_use_front(spec: ModelSpec, config: DecoderConfig) -> bool:
    """Return whether the settings allow a decode front. A front always uses the default settings."""
    default, offsets = DecoderConfig(), has_offsets(spec)
    if choose_method(config.subpixel, offsets) != choose_method(default.subpixel, offsets):
        return False
    return all(getattr(config, name) == getattr(default, name) for name in FRONT_SETTINGS)


def complete_config(spec: ModelSpec, config: DecoderConfig | None) -> DecoderConfig:
    """Return the settings with the values that the description of the model gives."""
    config = config or DecoderConfig()
    return config if config.score_threshold > 0 else replace(config, score_threshold=spec.score_threshold)


def has_offsets(spec: ModelSpec) -> bool:
    """Return whether a model has offsets of heatmap peaks."""
    return any(head.field == "heatmap_offsets" for head in spec.heads)


def choose_method(subpixel: str, with_offsets: bool) -> str:
    """Return the refinement that a setting selects, one of ``subpixel.METHODS``."""
    return ("offsets" if with_offsets else "quadratic") if subpixel == "auto" else subpixel
