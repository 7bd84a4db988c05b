"""Find settings that have no effect, because the model or another setting overrules them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from pose_ros.config import AUTO, DecoderConfig, EstimatorConfig, PreprocessConfig, RefinementConfig
from pose_ros.decoder import can_use_centres
from pose_ros.decoder.partition import can_solve
from pose_ros.fields import ModelSpec

READERS = {
    **dict.fromkeys(("paf_threshold", "paf_fraction", "max_stretch"), ("paf",)),
    **dict.fromkeys(("matching", "partition_ms"), ("paf", "tag")),
    **dict.fromkeys(("tag_threshold", "tag_spatial", "complete"), ("tag",)),
    **dict.fromkeys(("centre_threshold", "snap_threshold", "snap_distance"), ("centernet", "centres")),
    "half_cell": ("centernet",),
    **dict.fromkeys(("hough_radius", "refinement_steps", "nms_radius"), ("personlab",)),
    **dict.fromkeys(("masks", "mask_threshold", "mask_distance"), ("personlab",)),
    "soft_argmax": ("single",),
    "with_centres": ("centres",),
    "min_keypoints": ("paf", "tag", "centernet"),
    "duplicate_oks": ("paf", "personlab", "centernet", "centres"),
    "min_person_score": ("paf", "tag", "personlab", "centernet"),
    **dict.fromkeys(("subpixel", "dark_kernel"), ("paf", "tag", "centernet", "single")),
}
"""Groupings that read a decoder setting. ``centres``: PAF and tags of a model with centres. Others: all groupings."""


def overruled_settings(
    spec: ModelSpec, grouping: str, config: EstimatorConfig, front_peaks: int | None = None, batch: int | None = None
) -> Iterator[str]:
    """Describe settings without effect, one line of text each. A setting at its default is no request.

    Args:
        spec: Description of the model, with the input size of a network of fixed size.
        grouping: Grouping of the model.
        config: Settings of all stages.
        front_peaks: Peaks of the decode front that is used. None = no front.
        batch: Batch size of a network of fixed batch. None = any.
    """
    if batch is not None and config.runtime.max_batch > batch:
        yield (
            f"runtime.max_batch: {config.runtime.max_batch} has no effect, because model {spec.name} takes {batch} "
            "image per run; export it without --batch"
        )
    yield from _overruled_sizes(spec, config.preprocess)
    yield from _overruled_by_grouping(spec, grouping, config.decoder)
    yield from _overruled_matching(spec, grouping, config.decoder)
    yield from _overruled_limits(grouping, config.decoder, front_peaks)
    yield from _unused_refinement(config.refinement)


def _overruled_sizes(spec: ModelSpec, config: PreprocessConfig) -> Iterator[str]:
    size_wh = spec.input.size_wh
    if size_wh is None:
        if config.scales != (0,) and config.short_side > 0:
            yield (
                f"preprocess.short_side: {config.short_side} px has no effect, because preprocess.scales "
                f"{list(config.scales)} replace it; remove one of them"
            )
        return
    obeyed = {
        "short_side": config.short_side in (0, min(size_wh)),
        "max_long_side": config.max_long_side == 0 or config.max_long_side >= max(size_wh),
    }
    for name, is_obeyed in obeyed.items():
        if not is_obeyed:
            value = getattr(config, name)
            given = "auto" if value == AUTO else f"{value} px"
            yield (
                f"preprocess.{name}: {given} has no effect, because the input of model {spec.name} "
                f"is always {size_wh[0]} x {size_wh[1]} px; export the model with another --size, or with --dynamic"
            )


def _overruled_by_grouping(spec: ModelSpec, grouping: str, config: DecoderConfig) -> Iterator[str]:
    default = DecoderConfig()
    has_centres = grouping in ("paf", "tag") and can_use_centres(spec, DecoderConfig())
    present = {grouping, "centres"} if has_centres else {grouping}
    for field in fields(config):
        value = getattr(config, field.name)
        if value != getattr(default, field.name) and present.isdisjoint(READERS.get(field.name, present)):
            yield f"decoder.{field.name}: {value} has no effect with grouping {grouping} of model {spec.name}"


def _overruled_matching(spec: ModelSpec, grouping: str, config: DecoderConfig) -> Iterator[str]:
    if grouping not in READERS["matching"]:
        return
    if config.matching == "partition" and not can_solve():
        yield (
            "decoder.matching: partition has no effect, because SciPy 1.9 or newer is not installed, and greedy is "
            "used instead; run pip install scipy"
        )
    if grouping == "tag" and config.matching not in (DecoderConfig().matching, "partition"):
        yield f"decoder.matching: {config.matching} has no effect with grouping tag of model {spec.name}"


def _overruled_limits(grouping: str, config: DecoderConfig, front_peaks: int | None) -> Iterator[str]:
    peaks = config.most_peaks if front_peaks is None else front_peaks
    if grouping == "single" or config.max_people <= peaks:
        return
    fix = "raise max_peaks, or set it to 0" if front_peaks is None else f"export with --max-peaks {config.max_people}"
    yield (
        f"decoder.max_people: {config.max_people} people cannot be found, because there are at most {peaks} keypoints "
        f"of each type; {fix}"
    )


def _unused_refinement(config: RefinementConfig) -> Iterator[str]:
    if config.model:
        return
    for field in fields(config):
        value = getattr(config, field.name)
        if value != getattr(RefinementConfig(), field.name):
            yield f"refinement.{field.name}: {value} has no effect without refinement.model"
