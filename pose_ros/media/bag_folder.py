"""Find and open the storage files of a rosbag2: a folder with or without metadata.yaml, or a single file."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pose_ros.file_kind import FileKind, identify_file
from pose_ros.files import UnfinishedFolder
from pose_ros.media.mcap import McapFile
from pose_ros.media.natural_order import natural_key
from pose_ros.media.recorded_message import BagFile, is_latched
from pose_ros.media.sqlite_bag import SqliteFile
from pose_ros.media.unpack import unpack_file
from pose_ros.yaml_text import read_yaml

METADATA = "metadata.yaml"
_STORAGE: dict[FileKind, Callable[[Path], BagFile]] = {FileKind.MCAP: McapFile, FileKind.SQLITE: SqliteFile}
_PACKED_SUFFIXES = (".mcap.zstd", ".db3.zstd")


@dataclass(eq=False)
class BagFolder:
    """Storage files of a bag.

    Attributes:
        files: Files that could be opened, in recorded order.
        faults: Why the others could not.
        counts: Number of messages of each topic in metadata.yaml. Empty if there is no such file.
        latched: Topics with transient local durability in metadata.yaml.
    """

    files: list[BagFile] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    latched: set[str] = field(default_factory=set)

    def open_file(self, path: Path) -> None:
        """Open a storage file, and add it to ``files`` or ``faults``."""
        try:
            self.files.append(self._open(path))
        except Exception as error:  # also errors of sqlite and the decompressors
            self.faults.append(f"{path.name}: {error or repr(error)}")

    def _open(self, path: Path) -> BagFile:
        kind = identify_file(path)
        if kind is FileKind.ZSTD:
            folder = UnfinishedFolder(Path(tempfile.gettempdir()))
            weakref.finalize(self, folder.remove)
            packed, path = path, folder.path / path.stem
            unpack_file(packed, path)
            kind = identify_file(path)
        if kind not in _STORAGE:
            raise ValueError(f"{kind.value} in place of an MCAP or SQLite file")
        return _STORAGE[kind](path)


def open_bag(path: Path) -> BagFolder:
    """Open the storage files of a bag.

    Raises:
        ValueError: If none can be opened. The message is the reason.
    """
    bag = BagFolder()
    for file in _list_files(path, bag) if path.is_dir() else [path]:
        bag.open_file(file)
    if not bag.files:
        raise ValueError("; ".join(bag.faults) or "a folder without storage files (.mcap or .db3)")
    return bag


def is_bag(path: Path) -> bool:
    """Whether a path is a rosbag2: a folder with metadata.yaml or storage files, or a storage file of any name."""
    if path.is_dir():
        return (path / METADATA).is_file() or next(_storage_files(path), None) is not None
    return path.is_file() and (identify_file(path) in _STORAGE or path.name.endswith(_PACKED_SUFFIXES))


def _list_files(folder: Path, bag: BagFolder) -> list[Path]:
    """List the storage files of a folder as its metadata.yaml does. If it is missing or damaged, use all in it."""
    try:
        listed = _read_metadata(folder / METADATA, bag)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        bag.counts.clear()
        return sorted(_storage_files(folder), key=natural_key)
    return [file if file.exists() else file.with_name(f"{file.name}.zstd") for file in listed]


def _read_metadata(path: Path, bag: BagFolder) -> list[Path]:
    data: dict[str, Any] = read_yaml(path, "bag")["rosbag2_bagfile_information"]
    for entry in data["topics_with_message_count"]:
        topic = str(entry["topic_metadata"]["name"])
        bag.counts[topic] = int(entry["message_count"])
        if is_latched(entry["topic_metadata"].get("offered_qos_profiles")):
            bag.latched.add(topic)
    return [path.with_name(Path(str(name)).name) for name in data["relative_file_paths"]]


def _storage_files(folder: Path) -> Iterator[Path]:
    for file in folder.iterdir():
        if file.is_file() and (file.name.endswith(_PACKED_SUFFIXES) or identify_file(file) in _STORAGE):
            yield file
