"""Read and write an engine on disk: its plan, and a sidecar with key and checksums."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pose_ros.files import atomic_write
from pose_ros.runtime.model_checksum import sha256_of_json
from pose_ros.runtime.tensorrt.key import EngineKey

MAX_SIDECAR_BYTES = 1 << 16
NOT_BUILT = "not built yet"
_CHECKSUM = "sidecar_sha256"
_TYPES = {"model": str, "plan_sha256": str, "plan_bytes": int, "built": datetime, "build_s": float, "versions": dict}
_NAME = re.compile(r"\.?(\w[\w.-]*-[0-9a-f]{16})\.(?:plan|json)(?:\.[0-9a-f]+)?", re.ASCII)


@dataclass(frozen=True)
class Sidecar:
    """Description of a plan, stored next to it.

    Attributes:
        key: Key of the engine.
        model: Name of the model, for people.
        plan_sha256: Checksum of the plan.
        plan_bytes: Size of the plan, bytes.
        built: Time of the build.
        build_s: Duration of the build, s.
        versions: Versions of pose_ros and the other software of the build, by name.

    Raises:
        TypeError: If an attribute has the wrong type.
    """

    key: EngineKey
    model: str
    plan_sha256: str
    plan_bytes: int
    built: datetime
    build_s: float
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, expected in _TYPES.items():
            if type(value := getattr(self, name)) is not expected:
                raise TypeError(f"{name}: expected {expected.__name__}, got {type(value).__name__}")
        if not all(isinstance(text, str) for text in self.versions.values()):
            raise TypeError("versions: expected text")

    def to_bytes(self) -> bytes:
        """Serialise as JSON, with a checksum of the sidecar itself."""
        body = {**vars(self), "key": self.key.to_dict(), "built": self.built.isoformat()}
        return json.dumps({**body, _CHECKSUM: sha256_of_json(body)}, sort_keys=True, indent=1).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Sidecar:
        """Read a sidecar that ``to_bytes`` has written.

        Raises:
            ValueError: If the data differ from what ``to_bytes`` writes.
        """
        try:
            body = json.loads(data)
            del body[_CHECKSUM]
            key, built = EngineKey.from_dict(body["key"]), datetime.fromisoformat(body["built"])
            sidecar = cls(**{**body, "key": key, "built": built})
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise ValueError(f"its sidecar is not valid ({type(error).__name__})") from error
        if sidecar.to_bytes() != data:
            raise ValueError("its sidecar has changed since it was written")
        return sidecar


def plan_name(key: EngineKey, model: str) -> str:
    """Return the file name of a plan. Special characters are replaced, so it never points to another folder."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", model)[:80].lstrip(".-") or "model"
    return f"{plain}-{key.digest[:16]}.plan"


def list_plans(folder: Path) -> list[Path]:
    """List the paths of all plans in a folder. Includes engines without plan or sidecar, and unfinished ones.

    Raises:
        OSError: If the folder exists but cannot be read.
    """
    try:
        with os.scandir(folder) as files:
            names = [file.name for file in files if not file.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    matches = filter(None, map(_NAME.fullmatch, names))
    return [folder / f"{stem}.plan" for stem in sorted({match[1] for match in matches})]


def model_of(plan: Path) -> str:
    """Return the model name in the file name of a plan."""
    return plan.stem.rpartition("-")[0]


def read_sidecar(plan: Path) -> Sidecar:
    """Read the sidecar of a plan.

    Raises:
        ValueError: If it is missing or not valid, with the reason in a few words.
    """
    sidecar = plan.with_suffix(".json")
    if not os.path.lexists(sidecar):
        raise ValueError("its sidecar is missing" if os.path.lexists(plan) else NOT_BUILT)
    return Sidecar.from_bytes(read(sidecar, "its sidecar", MAX_SIDECAR_BYTES))


def read_verified_sidecar(plan: Path) -> Sidecar:
    """Read the sidecar of a plan, and check that the file name matches its key.

    Raises:
        ValueError: If the sidecar is missing or not valid, or if the file name does not match.
    """
    sidecar = read_sidecar(plan)
    if not plan.stem.endswith(f"-{sidecar.key.digest[:16]}"):
        raise ValueError("its sidecar belongs to another engine")
    return sidecar


def read_plan(plan: Path, sidecar: Sidecar) -> bytes:
    """Read a plan and check it with its sidecar.

    Raises:
        ValueError: If it is missing or does not match the sidecar, with the reason in a few words.
    """
    if not os.path.lexists(plan):
        raise ValueError("its plan is missing")
    data = read(plan, "its plan", sidecar.plan_bytes)
    if len(data) != sidecar.plan_bytes:
        raise ValueError(f"its plan has {len(data)} bytes, expected {sidecar.plan_bytes}")
    if hashlib.sha256(data).hexdigest() != sidecar.plan_sha256:
        raise ValueError("its plan has the wrong checksum")
    return data


def write_engine(plan: Path, data: bytes, sidecar: Sidecar) -> None:
    """Replace a plan and its sidecar. If interrupted, it leaves no engine that can be loaded.

    Raises:
        OSError: If the folder cannot be written or the disk is full. The engine is then removed.
    """
    try:
        remove_engine(plan)
        write(plan, data)
        write(plan.with_suffix(".json"), sidecar.to_bytes())
    except OSError:
        remove_engine(plan)
        raise


def remove_engine(plan: Path) -> None:
    """Remove plan, sidecar and unfinished files. Of a symbolic link only the link is removed.

    Raises:
        OSError: If the folder cannot be written.
    """
    unfinished = [*plan.parent.glob(f".{plan.name}.*"), *plan.parent.glob(f".{plan.stem}.json.*")]
    for file in (plan, plan.with_suffix(".json"), *unfinished):
        if not file.is_dir() or file.is_symlink():
            file.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Write a whole file and flush it to disk. Symbolic links are not followed.

    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    with atomic_write(path, follow_links=False) as unfinished, unfinished.open("xb") as file:
        file.write(data)


def read(path: Path, what: str, most_bytes: int) -> bytes:
    """Read a regular file. Links, pipes and devices are refused.

    Args:
        path: The file.
        what: Name of the file in error messages.
        most_bytes: Largest accepted size, bytes.

    Raises:
        ValueError: If it cannot be read, is not a regular file, or is too large.
    """
    try:
        with open(path, "rb", opener=_open_nofollow) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise ValueError(f"{what} is not a regular file")
            if state.st_size > most_bytes:
                raise ValueError(f"{what} has {state.st_size} bytes, expected {most_bytes} at most")
            return file.read(most_bytes)
    except OSError as error:
        raise ValueError(f"{what} cannot be read ({error.strerror})") from error


def _open_nofollow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
