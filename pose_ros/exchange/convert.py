"""Convert a JSON Lines file of people into files of other tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pose_ros.exchange.openpose import write_openpose
from pose_ros.exchange.stored_people import StoredFrame, read_people
from pose_ros.exchange.trajectories import collect_trajectories
from pose_ros.exchange.trc import to_opensim_axes, write_trc
from pose_ros.files import atomic_folder
from pose_ros.skeleton import BODY_25, COCO_17, Skeleton

FORMATS = ("openpose", "pose2sim", "trc")


def convert_people(files: Sequence[Path], output: Path, form: str, skeleton: Skeleton | None = None) -> int:
    """Convert files into a new folder, which appears complete or not at all.

    Args:
        files: JSON Lines files. For ``pose2sim`` one for each camera, with equal numbers of frames.
        output: Folder to write.
        form: ``"openpose"``: one JSON file per frame. ``"pose2sim"``: the folder ``pose`` of a project, with a
            folder of OpenPose's files for each camera. ``"trc"``: one file per person with keypoints in metres.
        skeleton: Order of the keypoints in OpenPose's files. None = BODY_25, and COCO-17 for ``pose2sim``.

    Returns:
        The number of files that were written.

    Raises:
        FileExistsError: If the folder exists.
        FileNotFoundError: If a file does not exist.
        ValueError: If a file has another form, has no people in metres (``trc``), or the names of the files are equal.
    """
    if form not in FORMATS:
        raise ValueError(f"format: expected {', '.join(FORMATS)}, got {form!r:.80}")
    if output.exists():
        raise FileExistsError(f"--output: expected a new folder, got {output}, which exists")
    names = [re.sub(r"[^A-Za-z0-9_.-]", "_", file.stem) for file in files]
    if len(set(names)) < len(names):
        raise ValueError(f"people: expected files of different names, got {', '.join(names)}")
    with atomic_folder(output) as draft:
        draft.mkdir()
        if form == "trc":
            return sum(_write_trajectories(*each, draft) for each in zip(files, names, strict=True))
        return _write_frames(files, names, draft, form, skeleton)


def _write_frames(
    files: Sequence[Path], names: Sequence[str], folder: Path, form: str, skeleton: Skeleton | None
) -> int:
    is_project = form == "pose2sim"
    target = skeleton or (COCO_17 if is_project else BODY_25)
    counts = []
    for file, name in zip(files, names, strict=True):
        place = folder / "pose" / f"{name}_json" if is_project else folder
        place.mkdir(parents=True, exist_ok=True)
        counts.append(_write_numbered(read_people(file), place, name, target))
    if is_project and len(set(counts)) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True))
        raise ValueError(f"people: expected the same number of frames for each camera, got {listed}")
    return sum(counts)


def _write_numbered(frames: Iterable[StoredFrame], folder: Path, name: str, target: Skeleton) -> int:
    """Write frames. Those of folders of images all count from 0, so that their number must not repeat."""
    written: set[int] = set()
    for frame in frames:
        if frame.index in written:
            raise ValueError(
                f"index: expected each frame once, got {frame.index} again; convert one recording at a time"
            )
        written.add(frame.index)
        write_openpose(frame, folder, name, target)
    return len(written)


def _write_trajectories(file: Path, name: str, folder: Path) -> int:
    found, skeleton = collect_trajectories(read_people(file))
    for number, trajectory in found.items():
        stamps_ns = np.array(trajectory.stamps_ns, np.int64)
        steps_s = np.diff(stamps_ns) / 1e9
        rate_hz = round(float(1 / np.median(steps_s)), 3) if len(steps_s) else 1.0
        times_s = ((stamps_ns - stamps_ns[0]) / 1e9).tolist()
        points = to_opensim_axes(np.stack(trajectory.points))
        write_trc(folder / f"{name}_person{number}.trc", times_s, points, skeleton, rate_hz)
    return len(found)
