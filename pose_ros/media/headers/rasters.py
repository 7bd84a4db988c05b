"""Read the headers of simple formats: bmp, Sun raster, netpbm, pfm and Radiance."""

from __future__ import annotations

import re
import struct

from pose_ros.media.headers.header import BrokenHeaderError, ImageHeader

BMP, SUN = b"BM", b"\x59\xa6\x6a\x95"
NETPBM = re.compile(rb"P[1-6]\s")
PAM, PFM = re.compile(rb"P7\n"), re.compile(rb"P[Ff]\s")
RADIANCE = (b"#?RGBE", b"#?RADIANCE")
_NUMBER = rb"(?:\s|#[^\n\r]*[\n\r])*(\d{1,9})"
_NETPBM_SIZE = re.compile(rb"P[1-6]\s" + _NUMBER + _NUMBER)
_NETPBM_MAXIMUM = re.compile(_NUMBER)
_PFM_SIZE = re.compile(rb"P[Ff]\s+(\d{1,9})\s+(\d{1,9})\s+[-+]?[\d.eE+-]+\s")
_PAM_FIELD = re.compile(rb"\b(WIDTH|HEIGHT|DEPTH|MAXVAL)\s+(\d{1,9})\b")
_RADIANCE_SIZE = re.compile(rb"-Y +(\d{1,9}) +\+X +(\d{1,9})\n")
_LONGEST_HEAD = 4096
_RADIANCE_LINE = 100
_BMP_UNCOMPRESSED = (0, 3, 6)


def read_bmp(data: bytes) -> ImageHeader:
    """Read the header of a Windows or OS/2 bitmap."""
    (offset, head) = struct.unpack_from("<II", data, 10)
    if head == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    elif head >= 36:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise BrokenHeaderError(f"a header of {head} bytes")
    if bits not in (1, 4, 8, 15, 16, 24, 32) or width < 0:
        raise BrokenHeaderError(f"{width} x {height} px of {bits} bits")
    height = abs(height)  # below 0: the first row is the top row
    stored = (width * bits + 31) // 32 * 4 * height if compression in _BMP_UNCOMPRESSED else 0
    return ImageHeader("bmp", (width, height), 4 if bits == 32 else 3, data_bytes=offset + stored if stored else 0)


def read_sun_raster(data: bytes) -> ImageHeader:
    """Read the header of a Sun raster file."""
    width, height, bits, _, kind, _, colours = struct.unpack_from(">7I", data, 4)
    if bits not in (1, 8, 24, 32):
        raise BrokenHeaderError(f"{bits} bits")
    stored = (width * bits + 15) // 16 * 2 * height if kind != 2 else width * height * bits // 8 // 128
    return ImageHeader("sun raster", (width, height), 3, data_bytes=32 + colours + stored)


def read_netpbm(data: bytes) -> ImageHeader:
    """Read the header of a pbm, pgm or ppm, in text or binary."""
    kind = data[1] - ord("0")
    found = _NETPBM_SIZE.match(data, 0, _LONGEST_HEAD)
    if found is None:
        raise BrokenHeaderError("no size")
    width, height, at = int(found[1]), int(found[2]), found.end()
    channels, is_text, maximum = (3 if kind in (3, 6) else 1), kind <= 3, 1
    if kind not in (1, 4):
        limit = _NETPBM_MAXIMUM.match(data, at, at + _LONGEST_HEAD)
        if limit is None:
            raise BrokenHeaderError("no maximum")
        maximum, at = int(limit[1]), limit.end()
    sample = 1 if maximum < 256 else 2
    if is_text:
        stored = width * height * channels * (1 if kind == 1 else 2) - 1
    else:
        stored = (width + 7) // 8 * height if kind == 4 else width * height * channels * sample
    return ImageHeader("netpbm", (width, height), channels * sample, data_bytes=at + stored)


def read_pam(data: bytes) -> ImageHeader:
    """Read the header of a pam."""
    end = data.find(b"ENDHDR\n", 0, _LONGEST_HEAD)
    found = _PAM_FIELD.findall(data, 0, max(end, 0))
    values = {name: int(value) for name, value in found}
    if len(found) != 4 or len(values) != 4:
        raise BrokenHeaderError("no size, or two")
    width, height, channels = values[b"WIDTH"], values[b"HEIGHT"], values[b"DEPTH"]
    if not 1 <= channels <= 4:
        raise BrokenHeaderError(f"{channels} channels")
    sample = 1 if values[b"MAXVAL"] < 256 else 2
    stored = width * height * channels * sample
    # one bit per pixel may be packed
    return ImageHeader("pam", (width, height), max(3, channels) * sample, data_bytes=end + stored // 8)


def read_pfm(data: bytes) -> ImageHeader:
    """Read the header of a pfm."""
    found = _PFM_SIZE.match(data, 0, _LONGEST_HEAD)
    if found is None:
        raise BrokenHeaderError("no size")
    width, height, channels = int(found[1]), int(found[2]), 3 if data[1:2] == b"F" else 1
    return ImageHeader(
        "pfm",
        (width, height),
        4 * channels,
        codec_bytes=4 * channels * width * height,
        data_bytes=found.end() + 4 * width * height * channels,
    )


def read_radiance(data: bytes) -> ImageHeader:
    """Read the header of a Radiance picture (.hdr)."""
    head, blank, rest = data[:_LONGEST_HEAD].partition(b"\n\n")
    found = _RADIANCE_SIZE.match(rest)
    if not blank or found is None or max(map(len, head.split(b"\n"))) > _RADIANCE_LINE:
        raise BrokenHeaderError("no size")
    height, width = int(found[1]), int(found[2])
    return ImageHeader("hdr", (width, height), 12, data_bytes=width * height // 16)
