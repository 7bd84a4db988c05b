"""One engine on disk: its plan, and a sidecar that says what the plan is and proves that neither has changed."""

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

from pose_ros.files import appears_whole
from pose_ros.runtime.model_checksum import sha256_of_json
from pose_ros.runtime.tensorrt.key import EngineKey

MOST_SIDECAR_BYTES = 1 << 16
NOT_BUILT = "not built yet"
_CHECKSUM = "sidecar_sha256"
_TYPES = {"model": str, "plan_sha256": str, "plan_bytes": int, "built": datetime, "build_s": float, "versions": dict}
_NAME = re.compile(r"\.?(\w[\w.-]*-[0-9a-f]{16})\.(?:plan|json)(?:\.[0-9a-f]+)?", re.ASCII)


@dataclass(frozen=True)
class Sidecar:
    """What stands beside a plan.

    Attributes:
        key: What the engine was built for.
        model: Name of the model, for people.
        plan_sha256: Checksum of the plan.
        plan_bytes: Its size.
        built: When.
        build_s: How long it took, s.
        versions: Of pose_ros and of what else took part, by name.

    Raises:
        TypeError: If one has another type.
    """

    key: EngineKey
    model: str
    plan_sha256: str
    plan_bytes: int
    built: datetime
    build_s: float
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, wanted in _TYPES.items():
            if type(value := getattr(self, name)) is not wanted:
                raise TypeError(f"{name}: expected {wanted.__name__}, got {type(value).__name__}")
        if not all(isinstance(text, str) for text in self.versions.values()):
            raise TypeError("versions: expected text")

    def to_bytes(self) -> bytes:
        """As JSON, with a checksum of its own."""
        body = {**vars(self), "key": self.key.to_dict(), "built": self.built.isoformat()}
        return json.dumps({**body, _CHECKSUM: sha256_of_json(body)}, sort_keys=True, indent=1).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Sidecar:
        """The sidecar of which ``to_bytes`` gave exactly this.

        Raises:
            ValueError: If there is none.
        """
        try:
            body = json.loads(data)
            del body[_CHECKSUM]
            key, built = EngineKey.from_dict(body["key"]), datetime.fromisoformat(body["built"])
            sidecar = cls(**{**body, "key": key, "built": built})
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise ValueError(f"its sidecar says nothing that we know ({type(error).__name__})") from error
        if sidecar.to_bytes() != data:
            raise ValueError("its sidecar has changed since it was written")
        return sidecar


def plan_name(key: EngineKey, model: str) -> str:
    """Name of the file of a plan; whatever the model is called, it lies in the folder of the others."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", model)[:80].lstrip(".-") or "model"
    return f"{plain}-{key.digest[:16]}.plan"


def plans(folder: Path) -> list[Path]:
    """Where the plans of a folder lie, also of such engines as lack a plan or a sidecar, or were never finished.

    Raises:
        OSError: If there is such a folder that cannot be read.
    """
    try:
        with os.scandir(folder) as files:
            names = [file.name for file in files if not file.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    matches = filter(None, map(_NAME.fullmatch, names))
    return [folder / f"{stem}.plan" for stem in sorted({match[1] for match in matches})]


def model_of(plan: Path) -> str:
    """The model in the name of a plan's file."""
    return plan.stem.rpartition("-")[0]


def read_sidecar(plan: Path) -> Sidecar:
    """What is known of a plan.

    Raises:
        ValueError: If that is nothing, with the reason in a few words.
    """
    sidecar = plan.with_suffix(".json")
    if not os.path.lexists(sidecar):
        raise ValueError("its sidecar is missing" if os.path.lexists(plan) else NOT_BUILT)
    return Sidecar.from_bytes(read(sidecar, "its sidecar", MOST_SIDECAR_BYTES))


def read_own_sidecar(plan: Path) -> Sidecar:
    """What is known of a plan whose key nobody has told us.

    Raises:
        ValueError: If that is nothing, or the file is not named after the key.
    """
    sidecar = read_sidecar(plan)
    if not plan.stem.endswith(f"-{sidecar.key.digest[:16]}"):
        raise ValueError("its sidecar is that of another engine")
    return sidecar


def read_plan(plan: Path, sidecar: Sidecar) -> bytes:
    """The plan that belongs to a sidecar.

    Raises:
        ValueError: If it is not there or another one, with the reason in a few words.
    """
    if not os.path.lexists(plan):
        raise ValueError("its plan is missing")
    data = read(plan, "its plan", sidecar.plan_bytes)
    if len(data) != sidecar.plan_bytes:
        raise ValueError(f"its plan has {len(data)} bytes, expected {sidecar.plan_bytes}")
    if hashlib.sha256(data).hexdigest() != sidecar.plan_sha256:
        raise ValueError("its plan has another checksum")
    return data


def write_engine(plan: Path, data: bytes, sidecar: Sidecar) -> None:
    """Put a plan and its sidecar in the place of what is there. Interrupted, it leaves nothing that can be read.

    Raises:
        OSError: If the folder cannot be written or is full; nothing is then left of the engine.
    """
    try:
        remove_engine(plan)
        write(plan, data)
        write(plan.with_suffix(".json"), sidecar.to_bytes())
    except OSError:
        remove_engine(plan)
        raise


def remove_engine(plan: Path) -> None:
    """Remove plan and sidecar, and what is left of interrupted writing; links go, what they lead to stays.

    Raises:
        OSError: If the folder cannot be written.
    """
    unfinished = [*plan.parent.glob(f".{plan.name}.*"), *plan.parent.glob(f".{plan.stem}.json.*")]
    for file in (plan, plan.with_suffix(".json"), *unfinished):
        if not file.is_dir() or file.is_symlink():
            file.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Write a file whole, through to the disk, and never through a link.

    Raises:
        OSError: If the folder cannot be written or is full.
    """
    with appears_whole(path) as unfinished, unfinished.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, what: str, most_bytes: int) -> bytes:
    """The bytes of a regular file, not of a link to one or of anything that may block or never end.

    Raises:
        ValueError: If it cannot be read or is too large.
    """
    try:
        with open(path, "rb", opener=_without_following) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise ValueError(f"{what} is no regular file")
            if state.st_size > most_bytes:
                raise ValueError(f"{what} has {state.st_size} bytes, expected {most_bytes} at most")
            return file.read(most_bytes)
    except OSError as error:
        raise ValueError(f"{what} cannot be read ({error.strerror})") from error


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
