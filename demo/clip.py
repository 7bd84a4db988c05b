"""The video of the demo: vtest.avi, pedestrians seen by a camera on a wall, out of Debian's package opencv-doc.

Debian and Ubuntu both have the package. It is downloaded with apt, without root and without installing it, and the
one file that is wanted is kept in the cache folder of the user.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2

from pose_ros.files import user_cache

sys.path.append(str(Path(__file__).resolve().parents[1] / "underlay"))
from debs import DebError, download

PACKAGE = "opencv-doc"
NAME = "vtest.avi"
FRAMES = 795
INSTALLED = Path("/usr/share/doc/opencv-doc/examples/data")
ADVICE = "check the network, or pass a video of your own: make demo VIDEO=my.mp4"


class ClipError(Exception):
    """Why there is no clip, in one sentence."""


def find_clip(cache: Path | None = None, say: Callable[[str], None] = print) -> Path:
    """The clip, from the cache or from the machine's own package if it is there, else from the network.

    Raises:
        ClipError: It is nowhere to be had.
    """
    try:
        cache = cache or user_cache()
        for known in (cache / NAME, INSTALLED / NAME):
            if is_complete(known):
                return known
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="clip-") as scratch:
            draft = _obtain(Path(scratch), say)
            if not is_complete(draft):
                raise ClipError(f"expected {NAME} with {FRAMES} frames in the package, got {_frames(draft)}")
            return draft.replace(cache / NAME)
    except (ClipError, DebError, OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise ClipError(f"the demo clip cannot be had ({error}): {ADVICE}") from error


def is_complete(path: Path) -> bool:
    """Whether this is the whole clip."""
    return path.is_file() and _frames(path) == FRAMES


def unpack(deb: Path, folder: Path) -> Path:
    """Takes the clip out of a package file into a folder. Packages may hold it gzipped.

    Raises:
        ClipError: It is not in it.
    """
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as unpacking:
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
                for member in archive:
                    name = Path(member.name).name
                    file = archive.extractfile(member) if name in (NAME, f"{NAME}.gz") else None
                    if file:
                        return _write(file.read(), name, folder)
        finally:
            unpacking.kill()  # the rest, thousands of pages, is of no use
    raise ClipError(f"{deb.name}: expected {NAME} in it, got none")


def _obtain(folder: Path, say: Callable[[str], None]) -> Path:
    installed = INSTALLED / f"{NAME}.gz"
    if installed.is_file():
        return _write(installed.read_bytes(), installed.name, folder)
    say(f"taking the demo clip out of Debian's package {PACKAGE} (a download of 96 MB, once) ...")
    return unpack(download(PACKAGE, folder), folder)


def _write(content: bytes, name: str, folder: Path) -> Path:
    target = folder / NAME
    target.write_bytes(gzip.decompress(content) if name.endswith(".gz") else content)
    return target


def _frames(path: Path) -> int:
    return int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT))
