"""Find or download the video of the demo: vtest.avi, pedestrians in front of a wall-mounted camera.

The video is part of the package opencv-doc of Debian and Ubuntu. apt downloads the package without root and without
installing it. Only the video is kept, in the cache folder of the user.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from pose_ros.cli.demo import FRAME_COUNT, INSTALLED, NAME, count_frames, is_complete
from pose_ros.files import user_cache

sys.path.append(str(Path(__file__).resolve().parents[1] / "underlay"))
from debs import DebError, download

PACKAGE = "opencv-doc"
PASSAGES = 20
"""How often about a person enters the view of the clip and leaves it, counted by hand."""
ADVICE = "check the network, or use your own video: make demo VIDEO=my.mp4"

Notify = Callable[[str], None]


class ClipError(Exception):
    """The demo clip is missing and cannot be downloaded. The message is one line."""


def find_clip(cache: Path | None = None, notify: Notify = print) -> Path:
    """Find the clip in the cache or in the installed package. Download it if it is missing.

    Args:
        cache: Cache folder. None = the cache folder of the user.
        notify: Called with one line of text before a download.

    Raises:
        ClipError: The clip cannot be found or downloaded.
    """
    try:
        cache = cache or user_cache()
        for known in (cache / NAME, INSTALLED / NAME):
            if is_complete(known):
                return known
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="clip-") as scratch:
            draft = _fetch_clip(Path(scratch), notify)
            if not is_complete(draft):
                raise ClipError(f"expected {NAME} with {FRAME_COUNT} frames in the package, got {count_frames(draft)}")
            return draft.replace(cache / NAME)
    except (ClipError, DebError, OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise ClipError(f"the demo clip could not be loaded ({error}): {ADVICE}") from error


def unpack(deb: Path, folder: Path) -> Path:
    """Extract the clip from a package file into a folder. Some packages contain it gzipped.

    Raises:
        ClipError: The package does not contain the clip.
    """
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as unpacking:
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
                for member in archive:
                    name = Path(member.name).name
                    file = archive.extractfile(member) if name in (NAME, f"{NAME}.gz") else None
                    if file:
                        return _write_clip(file.read(), name, folder)
        finally:
            unpacking.kill()  # skip the rest of the package, thousands of files
    raise ClipError(f"{deb.name}: expected a package that contains {NAME}, got one without it")


def _fetch_clip(folder: Path, notify: Notify) -> Path:
    installed = INSTALLED / f"{NAME}.gz"
    if installed.is_file():
        return _write_clip(installed.read_bytes(), installed.name, folder)
    notify(f"downloading the demo clip from the Debian package {PACKAGE} (96 MB, only once) ...")
    return unpack(download(PACKAGE, folder), folder)


def _write_clip(content: bytes, name: str, folder: Path) -> Path:
    target = folder / NAME
    target.write_bytes(gzip.decompress(content) if name.endswith(".gz") else content)
    return target
