"""Fuzz the decoding of images: ``python test/fuzz/fuzz_images.py 100000``.

Every format is damaged at random. A decoder may raise ValueError. It may not end the process, nor use more memory than
twice the limit, nor print.
"""

from __future__ import annotations

import argparse
import random
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from costs import Cost, measure
from mutations import mutate

from pose_ros.media.decoding import decode_image
from pose_ros.media.headers import find_format
from pose_ros.media.quiet_codecs import hide_codec_lines

LIMIT_MB = 32
SUFFIXES = (".png", ".jpg", ".tiff", ".webp", ".bmp", ".gif", ".jp2", ".avif", ".ppm", ".pgm", ".pbm", ".pam", ".pfm")
SUFFIXES += (".hdr", ".ras")

_OPTIONS = (
    (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    (".jpg", (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
    (".tiff", (cv2.IMWRITE_TIFF_COMPRESSION, 1)),
    (".tiff", (cv2.IMWRITE_TIFF_COMPRESSION, 8)),
    (".tiff", (cv2.IMWRITE_TIFF_COMPRESSION, 7)),
    (".tiff", (cv2.IMWRITE_TIFF_COMPRESSION, 32773)),
    (".webp", (cv2.IMWRITE_WEBP_QUALITY, 50)),
    (".bmp", ()),
)
_LONGEST = 200_000


@dataclass
class Report:
    """Results of a run.

    Attributes:
        outcomes: Number of images by format and outcome.
        worst: By format, the highest time and memory, and the number of the image.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: dict[str, tuple[float, int]] = field(default_factory=dict)
    largest: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, kind: str, outcome: str, cost: Cost, number: int) -> None:
        """Count one image."""
        self.outcomes[kind, outcome] += 1
        self.slowest[kind] = max(self.slowest.get(kind, (0.0, 0)), (cost.seconds, number))
        self.largest[kind] = max(self.largest.get(kind, (0.0, 0)), (cost.megabytes, number))

    def lines(self) -> Iterator[str]:
        """Yield a table: format, decoded, refused, slowest and largest image."""
        yield f"{'format':12} {'decoded':>8} {'refused':>8} {'slowest':>20} {'largest':>20}"
        for kind in sorted(self.slowest):
            decoded, refused = self.outcomes[kind, "decoded"], self.outcomes[kind, "refused"]
            (seconds, slow), (megabytes, large) = self.slowest[kind], self.largest[kind]
            yield f"{kind:12} {decoded:8} {refused:8} {seconds:7.2f} s #{slow:<9} {megabytes:6.0f} MB #{large:<9}"


def make_images() -> list[bytes]:
    """Encode small images, and large ones of one colour, in every format, with several channels and depths."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (40, 56, 3)).astype(np.uint8), (0, 0), 2)
    wide, large = image.astype(np.uint16) * 257, np.full((1200, 1600, 3), 77, np.uint8)
    variants = [image, image[..., 0], np.dstack([image, image[..., 0]]), wide, wide[..., 0], large]
    with hide_codec_lines():
        encoded = [_encode(suffix, variant) for suffix in SUFFIXES for variant in variants]
        encoded += [_encode(suffix, image, option) for suffix, option in _OPTIONS]
        encoded += [_encode_animation(suffix, image) for suffix in (".gif", ".webp", ".png")]
    return [data for data in encoded if 0 < len(data) < _LONGEST]


def _encode(suffix: str, image: np.ndarray, option: tuple[int, ...] = ()) -> bytes:
    try:
        is_done, data = cv2.imencode(suffix, image, list(option))
    except cv2.error:
        return b""
    return data.tobytes() if is_done and cv2.imdecode(data, cv2.IMREAD_UNCHANGED) is not None else b""


def _encode_animation(suffix: str, image: np.ndarray) -> bytes:
    if not hasattr(cv2, "imencodeanimation"):  # OpenCV before 4.12
        return b""
    animation = cv2.Animation()
    animation.frames = [np.roll(np.dstack([image, image[..., :1]]), 5 * shift, 1) for shift in range(3)]
    animation.durations = [100] * 3
    is_done, data = cv2.imencodeanimation(suffix, animation)
    return data.tobytes() if is_done else b""


def _repair(data: bytes) -> bytes:
    """Make the checksums of the chunks of a png right, so that damage in them reaches the decoder."""
    repaired, at = bytearray(data), 8
    while at + 12 <= len(repaired):
        end = at + 8 + int.from_bytes(repaired[at : at + 4], "big")
        if end + 4 > len(repaired):
            break
        repaired[end : end + 4] = zlib.crc32(repaired[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(repaired)


def make_damaged(number: int, originals: list[bytes], seed: int) -> bytes:
    """Make the image of a number: always the same one."""
    rng = random.Random(seed * 1_000_000_007 + number)
    data = mutate(originals[number % len(originals)], rng, originals)
    return _repair(data) if find_format(data) == "png" and rng.random() < 0.9 else data


def try_image(data: bytes, flags: int) -> str:
    """Decode an image, and return the outcome."""
    try:
        image = decode_image(data, flags, LIMIT_MB)
    except ValueError as error:
        assert "expected" in str(error)
        return "refused"
    assert image.nbytes <= LIMIT_MB << 20
    return "decoded"


def run(count: int, seed: int = 0, first: int = 0) -> Report:
    """Try a number of damaged images.

    Args:
        count: Number of images.
        seed: Start of the random numbers.
        first: Number of the first image.
    """
    originals, report = make_images(), Report()
    for number in range(first, first + count):
        data, outcome = make_damaged(number, originals, seed), [""]
        flags = cv2.IMREAD_COLOR if number % 2 else cv2.IMREAD_UNCHANGED

        def decode(data: bytes = data, flags: int = flags, outcome: list[str] = outcome) -> None:
            outcome[0] = try_image(data, flags)

        cost = measure(decode)
        report.add(find_format(data) or "unknown", outcome[0], cost, number)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fuzz the decoding of images.")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    print("\n".join(run(options.count, options.seed, options.first).lines()))
