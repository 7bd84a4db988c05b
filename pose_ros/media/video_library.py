"""Choose the library that reads and writes videos: PyAV if it is installed, otherwise OpenCV."""

from __future__ import annotations

from importlib.util import find_spec

from pose_ros.media.capture import Capture
from pose_ros.once import Once

_warn_once = Once(None)


def has_av() -> bool:
    """Whether PyAV is installed and can be imported. If only the import fails, a warning says why."""
    if find_spec("av") is None:
        return False
    try:
        import av  # noqa: F401
    except (ImportError, OSError) as error:
        _warn_once(
            f"PyAV: expected to import it, got {error}; OpenCV is used instead. Mend it: "
            "pip install --force-reinstall av, or remove it: pip uninstall av",
            topic="PyAV",
        )
        return False
    return True


def open_capture(address: str, name: str, *, is_live: bool = False, hwaccel: str = "") -> Capture:
    """Open a source of frames.

    Args:
        address: Absolute path of a file, address of a stream, or number or ``/dev/videoN`` of a camera.
        name: Name of the source in errors, without passwords.
        is_live: Whether new frames matter more than complete ones.
        hwaccel: Hardware decoder of FFmpeg, such as ``cuda``, ``vaapi``, ``videotoolbox``. Empty = software. Needs
            PyAV.

    Raises:
        OSError: If a stream or camera cannot be reached.
        ValueError: If the source cannot be read, its frames are too large, or ``hwaccel`` is not available.
    """
    if has_av():
        from pose_ros.media.av_capture import AvCapture, can_open

        if can_open(address):
            return AvCapture(address, name, is_live, hwaccel)
    if hwaccel:
        raise ValueError("--hwaccel: expected PyAV, got OpenCV only; pip install 'av>=17'")
    from pose_ros.media.opencv_capture import OpenCvCapture

    return OpenCvCapture(address, name, is_live)
