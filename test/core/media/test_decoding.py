"""Test the decoding of images: every format, and headers that promise more than the data or the memory hold."""

from __future__ import annotations

import os
import struct
import sys
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import recordings

from pose_ros.datasets.images import AnnotatedImage, ImageSet
from pose_ros.media.decoding import decode_image, read_image
from pose_ros.media.headers import FORMATS, find_format, read_header
from pose_ros.media.quiet_codecs import hide_codec_lines
from pose_ros.media.sources import ImageFiles, open_source
from pose_ros.skeleton import COCO_17

RAMP = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
COLOURED = np.stack([RAMP, 255 - RAMP, np.full_like(RAMP, 40)], axis=2)
WIDE = COLOURED.astype(np.uint16) * 257
SHORT, LONG, LONG8 = 3, 4, 16


def encode(image: np.ndarray, suffix: str, *options: int) -> bytes:
    """Encode an image. Skip the test if this build of OpenCV cannot."""
    try:
        is_done, data = cv2.imencode(suffix, image, options)
    except cv2.error:
        is_done = False
    if not is_done:
        pytest.skip(f"this build of OpenCV does not write {suffix}")
    return bytes(data)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        *((".jpg", "jpeg"), (".png", "png"), (".tiff", "tiff"), (".webp", "webp"), (".bmp", "bmp"), (".gif", "gif")),
        *((".jp2", "jp2"), (".avif", "avif"), (".ppm", "netpbm"), (".pam", "pam"), (".pfm", "pfm"), (".hdr", "hdr")),
        (".ras", "sun raster"),
    ],
)
def test_every_format_is_recognised_and_decoded(suffix: str, name: str) -> None:
    if suffix == ".jp2" and tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 12):
        pytest.skip("OpenCV before 4.12 cannot read JPEG 2000 safely, so it is refused")
    data = encode(COLOURED, suffix)
    header = read_header(data)
    assert (header.format, header.size_wh) == (name, (64, 48)) and name in FORMATS
    image = decode_image(data)
    assert image.shape == (48, 64, 3)
    assert header.memory_bytes >= image.nbytes
    if suffix in (".png", ".tiff", ".bmp", ".ppm", ".pam", ".ras"):
        np.testing.assert_array_equal(image, COLOURED)


@pytest.mark.parametrize(
    ("image", "suffix", "options", "pixel_bytes"),
    [
        pytest.param(np.dstack([COLOURED, RAMP]), ".png", (), 4, id="png with alpha"),
        pytest.param(WIDE, ".png", (), 6, id="png of 16 bits"),
        pytest.param(np.dstack([WIDE, WIDE[..., 0]]), ".tiff", (), 8, id="tiff of 16 bits with alpha"),
        pytest.param(COLOURED.astype(np.float32), ".tiff", (cv2.IMWRITE_TIFF_COMPRESSION, 5), 12, id="tiff of float32"),
        pytest.param(COLOURED, ".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), 3, id="progressive jpeg"),
        pytest.param(COLOURED, ".tiff", (cv2.IMWRITE_TIFF_COMPRESSION, 1), 3, id="tiff without compression"),
    ],
)
def test_decoded_bytes_include_all_bits_and_transparency(
    image: np.ndarray, suffix: str, options: tuple[int, ...], pixel_bytes: int
) -> None:
    data = encode(image, suffix, *options)
    assert read_header(data).pixel_bytes == pixel_bytes
    assert decode_image(data, cv2.IMREAD_UNCHANGED).nbytes == 64 * 48 * pixel_bytes


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, bits: int = 8, colour: int = 2, stored: bytes = bytes(400_000), more: bytes = b""
) -> bytes:
    """Make a png with any content."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", stored) + chunk(b"IEND", b"")


def tiff(tags: list[tuple[int, int, int]], order: str = "<", is_big: bool = False, padding: int = 0) -> bytes:
    """Make a tiff of tags, types and values, without pixels."""
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "2sHHHQ", mark, 43, 8, 0, 16) if is_big else struct.pack(order + "2sHI", mark, 42, 8)
    head += struct.pack(order + ("Q" if is_big else "H"), len(tags))
    entry, value_bytes = ("HHQ", 8) if is_big else ("HHI", 4)
    end = len(head) + len(tags) * (struct.calcsize(order + entry) + value_bytes) + value_bytes
    outside = b""
    for tag, kind, value in tags:
        packed = struct.pack(order + {SHORT: "H", LONG: "I", LONG8: "Q"}[kind], value)
        if len(packed) > value_bytes:
            outside += packed
            packed = struct.pack(order + "I", end + len(outside) - len(packed))
        head += struct.pack(order + entry, tag, kind, 1) + packed.ljust(value_bytes, b"\0")
    return head + bytes(value_bytes) + outside + bytes(padding)


def size_tags(side: int, kind: int = LONG) -> list[tuple[int, int, int]]:
    return [(256, kind, side), (257, kind, side)]


DEFLATE, FAX = (259, SHORT, 8), (259, SHORT, 4)
LARGE = "at most 200 MB decoded, got 20000 x 20000 px of tiff"
JP2_HEAD = b"\xff\x4f\xff\x51" + struct.pack(">HH8IH", 47, 0, 9000, 9000, 0, 0, 9000, 9000, 0, 0, 3) + b"\7\1\1" * 3
HOSTILE = {
    "a chunk beyond the data": (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)) + b"\xff\xff\xff\xf0IDAT",
        "a chunk b'IDAT' of 4294967280 bytes",
    ),
    "png without an end": (png(4, 4)[:-12], "broken header"),
    "png of 16 bits": (png(8192, 8192, 16), "at most 200 MB decoded, got 8192 x 8192 px of png with 384 MB"),
    "png with alpha": (png(8192, 8192, 8, 6), "8192 x 8192 px of png with 256 MB"),
    "png with a transparent colour": (png(8192, 8192, 8, 2, more=chunk(b"tRNS", bytes(6))), "px of png with 256 MB"),
    "png with less data than its size": (png(8192, 8192, stored=bytes(10_000)), "px of png need at least"),
    "animated png": (png(5000, 5000, more=chunk(b"acTL", bytes(8))), "px of png with"),
    "png with compressed texts": (png(4, 4, more=chunk(b"zTXt", bytes(2 << 20))), "bytes of compressed texts"),
    "png of a million chunks": (png(4, 4, more=chunk(b"tEXt", b"") * 70_000), "chunks"),
    "tiff, long numbers": (tiff([*size_tags(20_000), FAX]), LARGE),
    "tiff, LONG8": (tiff([*size_tags(20_000, LONG8), FAX]), LARGE),
    "tiff, LONG8, other order": (tiff([*size_tags(20_000, LONG8), FAX], ">"), LARGE),
    "BigTIFF": (tiff([*size_tags(20_000, LONG8), FAX], is_big=True), LARGE),
    "BigTIFF, other order": (tiff([*size_tags(20_000, SHORT), FAX], ">", is_big=True), LARGE),
    "BigTIFF, above 2**63": (tiff([*size_tags(2**63 + 1, LONG8), FAX], is_big=True), "broken header"),
    "tiff, sizes twice": (tiff([*size_tags(8), *size_tags(20_000), FAX]), "tag 256 twice"),
    "tiff, giant tiles": (tiff([*size_tags(64), FAX, (322, LONG, 2**17), (323, LONG, 2**17)]), "at most 200 MB"),
    "tiff, tiles of one pixel": (tiff([*size_tags(4000), FAX, (322, LONG, 1), (323, LONG, 1)]), "at most 200 MB"),
    "tiff, many channels": (tiff([*size_tags(4000), FAX, (277, SHORT, 60_000)]), "60000 channels"),
    "tiff, 64 bits": (tiff([*size_tags(6000), FAX, (258, SHORT, 64)]), "at most 200 MB"),
    "tiff, no pixels": (tiff(size_tags(4000)), "px of tiff need at least"),
    "tiff, fewer than deflate can hold": (tiff([*size_tags(8000), DEFLATE]), "px of tiff need at least"),
    "tiff, unknown compression": (tiff([*size_tags(64), (259, SHORT, 34925)]), "compression 34925"),
    "tiff of two sizes of offsets": (b"II+\0\4\0\0\0" + bytes(100), "offsets that are not 8 bytes"),
    "giant bmp": (b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 30_000, -30_000, 1, 24, 0) + bytes(24), "need at"),
    "giant gif": (
        b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0) + b",\0\0\0\0\1\0\1\0\0\2\0;",
        "at most 200",
    ),
    "gif, frame beyond its canvas": (b"GIF89a\4\0\4\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0;", "larger than its canvas"),
    "giant ppm": (b"P6\n# comment\n30000 30000\n255\n" + bytes(100), "netpbm need at least"),
    "giant ppm in text": (b"P3 30000 30000 255 " + b"1 " * 100, "netpbm need at least"),
    "giant pfm": (b"PF\n30000 30000\n-1.0\n" + bytes(100), "pfm need at least"),
    "giant hdr": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n" + bytes(99), "hdr need at least"),
    "giant ras": (struct.pack(">8I", 0x59A66A95, 30_000, 30_000, 24, 0, 1, 0, 0) + bytes(99), "sun raster need"),
    "giant webp": (
        b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0/" + struct.pack("<I", 16_383 | 16_383 << 14) + bytes(9),
        "at most 200 MB decoded, got 16384 x 16384 px of webp",
    ),
    "giant jp2": (
        b"\xff\x4f\xff\x51"
        + struct.pack(">HH8IH", 47, 0, 60_000, 60_000, 0, 0, 60_000, 60_000, 0, 0, 3)
        + b"\7\1\1" * 3
        + b"\xff\xd9",
        "at most 200 MB",
    ),
    "jp2 of tiles of one pixel": (
        b"\xff\x4f\xff\x51" + struct.pack(">HH8IH", 47, 0, 600, 600, 0, 0, 1, 1, 0, 0, 3) + b"\7\1\1" * 3 + b"\xff\xd9",
        "at most 200 MB",
    ),
    "jp2 of a tile that ends before its data": (
        JP2_HEAD + b"\xff\x90\0\x0a\0\0\0\0\0\x10\0\1" + b"\xff\x64\0\2" * 3 + b"\xff\x93" * 9,
        "at most 200 MB",
    ),
    "exr": (b"v/1\1" + bytes(100), "bytes that start with"),
    "svg": (b"<svg>" + bytes(100), "bytes that start with"),
}


@pytest.mark.parametrize(("data", "reason"), HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_images_are_refused_before_decoding(
    data: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "__version__", "4.12.0")  # older ones refuse every JPEG 2000
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the image was decoded"))
    with pytest.raises(ValueError, match=f"^expected .*{reason}"):
        decode_image(data)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=rf"^image .*a\.png: expected .*{reason}"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "is_refused"), [("png41.png", True), ("tiffLONG8_20000.bin", True), ("png8192g8.bin", False)]
)
def test_hostile_images_of_users(shared: Path, name: str, is_refused: bool) -> None:
    data = (shared / "cases/hostile" / name).read_bytes()
    header = read_header(data) if not is_refused else None
    if header is None:
        with pytest.raises(ValueError, match="expected"):
            decode_image(data)
    else:
        assert header.size_wh == (8192, 8192) and header.memory_bytes <= 200 << 20


def test_jpeg_2000_is_refused_where_opencv_cannot_read_it_safely(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(COLOURED, ".jp2")
    monkeypatch.setattr(cv2, "__version__", "4.11.0")
    with pytest.raises(ValueError, match=r"expected OpenCV 4\.12 or later for JPEG 2000, got 4\.11\.0"):
        decode_image(data)


def test_the_limit_can_be_changed() -> None:
    data = encode(COLOURED, ".png")
    assert decode_image(data, max_mb=0.01).shape == (48, 64, 3)
    with pytest.raises(
        ValueError, match=r"at most 0\.005 MB decoded, got 64 x 48 px of png with 0 MB; reduce the image"
    ):
        decode_image(data, max_mb=0.005)


def test_the_largest_common_image_is_within_the_limit() -> None:
    assert read_header(png(8192, 8192)).memory_bytes <= 200 << 20
    progressive = encode(COLOURED, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert read_header(progressive).memory_bytes > 2 * read_header(encode(COLOURED, ".jpg")).memory_bytes


def test_a_progressive_jpeg_of_many_scans_is_refused() -> None:
    data = encode(COLOURED, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ValueError, match="more than 100 scans"):
        decode_image(data[:last] + data[last:-2] * 200 + data[-2:])


def test_bytes_between_the_segments_of_a_jpeg_are_skipped() -> None:
    data = encode(COLOURED, ".jpg")
    assert decode_image(data[:20] + b"\0\1" + data[20:]).shape == (48, 64, 3)


def test_an_animation_gives_its_first_frame() -> None:
    if not hasattr(cv2, "imencodeanimation"):  # OpenCV before 4.12
        pytest.skip("this build of OpenCV writes no animations")
    animation = cv2.Animation()
    animation.frames, animation.durations = [np.dstack([COLOURED, RAMP | 255])] * 3, [100] * 3
    for suffix in (".gif", ".webp", ".png"):
        assert decode_image(bytes(cv2.imencodeanimation(suffix, animation)[1])).shape == (48, 64, 3)


def test_data_sets_decode_through_the_same_check(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(HOSTILE["a chunk beyond the data"][0])
    labels = np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.uint8), np.zeros((0, 4), np.float32)
    images = ImageSet("set", COCO_17, [AnnotatedImage(tmp_path / "a.png", *labels)], cache=True)
    with pytest.raises(ValueError, match=r"set: image .*a\.png: .*4294967280 bytes"):
        images[0]


def test_an_image_without_its_suffix_is_not_opened_as_a_video(tmp_path: Path) -> None:
    for name in ("a.jfif", "a.mp4", "a"):
        (tmp_path / name).write_bytes(encode(COLOURED, ".jpg"))
        source = open_source(tmp_path / name)
        assert isinstance(source, ImageFiles) and next(iter(source)).image_bgr.shape == (48, 64, 3)


def test_a_giant_gif_is_not_opened_as_a_video(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(HOSTILE["giant gif"][0])
    with pytest.raises(ValueError, match=r"image .*a\.gif: expected an image of at most 200 MB"):
        open_source(tmp_path / "a.gif")


def test_frames_of_a_video_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pose_ros.media.capture.MAX_IMAGE_MB", 0.005)
    with pytest.raises(ValueError, match=r"video .*a\.avi: expected frames of at most 0\.005 MB, got 64 x 48 px"):
        open_source(recordings.write_video(tmp_path / "a.avi"))


def test_codecs_do_not_print(capfd: pytest.CaptureFixture[str]) -> None:
    for suffix in (".png", ".jpg", ".tiff"):
        data = bytearray(encode(COLOURED, suffix))
        data[len(data) // 2 : len(data) // 2 + 8] = b"\xff\x33damage"
        try:
            decode_image(bytes(data))
        except ValueError as error:
            assert "expected" in str(error)
    assert capfd.readouterr().err == ""


def test_lines_of_other_threads_are_kept(capfd: pytest.CaptureFixture[str]) -> None:
    ctypes = pytest.importorskip("ctypes")
    libc = ctypes.CDLL(None)

    def print_line(text: bytes) -> None:
        libc.fputs(text + b"\n", ctypes.c_void_p.in_dll(libc, "stderr"))

    with hide_codec_lines():
        other = threading.Thread(target=print_line, args=(b"[INFO] of the node",))
        other.start()
        other.join()
        print_line(b"libpng error: IDAT: CRC error")
        os.write(2, b"written at once\n")
        print("from Python", file=sys.stderr)
    print_line(b"libpng error: afterwards")
    shown = capfd.readouterr().err.splitlines()
    assert sorted(shown) == sorted(["written at once", "from Python", "[INFO] of the node", "libpng error: afterwards"])


def test_a_text_is_of_no_format() -> None:
    assert find_format(b"hello, world") is None


def insert_segments(data: bytes, *segments: bytes) -> bytes:
    """Insert segments before the first segment of a JPEG."""
    return data[:2] + b"".join(segments) + data[2:]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([b"\xff\xfe\x00\x04ab"] * 200, id="many comments"),
        pytest.param([b"\xff" * 5 + b"\xfe\x00\x04ab"], id="fill bytes"),
        pytest.param([b"\xff\x01", b"\xff\xd3"], id="markers without a segment"),
        pytest.param([b"\xff\xc8\x00\x04ab"], id="reserved marker"),
    ],
)
def test_a_jpeg_with_unusual_segments_has_its_size(more: list[bytes]) -> None:
    header = read_header(insert_segments(encode(COLOURED, ".jpg"), *more))
    assert (header.format, header.size_wh) == ("jpeg", (64, 48))


def test_a_jpeg_with_endless_segments_or_without_an_end_is_refused() -> None:
    data = encode(COLOURED, ".jpg")
    with pytest.raises(ValueError, match="more than 1000 segments"):
        read_header(insert_segments(data, *[b"\xff\xfe\x00\x04ab"] * 1001))
    with pytest.raises(ValueError, match="no end marker, damaged or truncated"):
        read_header(data[:-2])
