"""What `indexer.images` refuses, and what refusing costs."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from indexer import images
from indexer.errors import ImageRejected

MAX_PIXELS = 1_000_000


def noise(width: int = 64, height: int = 48) -> Image.Image:
    return Image.effect_noise((width, height), 90).convert("RGB")


def encoded(image: Image.Image, file_format: str, **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer


def assert_rejected(source: io.BytesIO | Path, *reasons: str, max_pixels: int = MAX_PIXELS) -> None:
    for read in (images.inspect, images.decode, images.thumbnail):
        with pytest.raises(ImageRejected) as caught:
            read(source, max_pixels)
        for reason in reasons:
            assert reason in str(caught.value)
        assert "/" not in str(caught.value)  # no path


SUPPORTED = "supported are JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC and AVIF"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/x) (w) file closefile\n"


@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        (b"", ["empty"]),
        (b"hello, I am a text\n" * 100, ["not a picture", SUPPORTED]),
        (bytes(4096), ["not a picture", SUPPORTED]),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', ["SVG", SUPPORTED]),
        (b"%PDF-1.7\n1 0 obj", ["PDF", SUPPORTED]),
        (EPS, ["EPS", SUPPORTED]),
        (b"\0\0\0\x18ftypisom\0\0\2\0", ["video", SUPPORTED]),
        (b"\0\0\0\x0cJXL \r\n\x87\n", ["JPEG XL", SUPPORTED]),
        (b"BM, says the text", ["damaged"]),
        (b"\xff\xd8\xff", ["damaged"]),
        (b"\x89PNG\r\n\x1a\n", ["damaged"]),
    ],
)
def test_what_is_no_picture(tmp_path: Path, data: bytes, reasons: list[str]) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data)
    assert_rejected(path, *reasons)
    assert_rejected(io.BytesIO(data), *reasons)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert_rejected(tmp_path / "gone.jpg", "cannot be read", "No such file")
    assert_rejected(tmp_path, "cannot be read")


FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"]


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("file_format", [*FORMATS, "progressive JPEG", "TIFF in LZW"])
@pytest.mark.filterwarnings("ignore:::PIL")  # as the module does; pytest puts its "error" before that
def test_truncated(file_format: str, kept: float) -> None:
    options = {"progressive JPEG": {"progressive": True}, "TIFF in LZW": {"compression": "tiff_lzw"}}
    name = {"progressive JPEG": "JPEG", "TIFF in LZW": "TIFF"}.get(file_format, file_format)
    data = encoded(noise(), name, **options.get(file_format, {})).getvalue()
    assert_rejected(io.BytesIO(data[: int(len(data) * kept)]), "damaged")


def test_jpeg_that_lacks_its_last_bytes() -> None:
    data = encoded(noise(640, 480), "JPEG").getvalue()
    assert_rejected(io.BytesIO(data[:-40]), "truncated")


def test_png_with_a_flipped_byte() -> None:
    data = bytearray(encoded(noise(), "PNG").getvalue())
    data[len(data) // 2] ^= 0xFF
    assert_rejected(io.BytesIO(data), "damaged")


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("file_format", FORMATS)
def test_random_damage_gives_a_picture_or_a_reason(file_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    random = np.random.default_rng(7)
    good = np.frombuffer(encoded(noise(), file_format, exif=exif.tobytes()).getvalue(), np.uint8)
    for _ in range(40):
        data = good.copy()
        data[random.integers(0, min(len(data), 400), 3)] = random.integers(0, 256, 3)
        try:
            info = images.inspect(io.BytesIO(data.tobytes()), MAX_PIXELS)
            array = images.decode(io.BytesIO(data.tobytes()), MAX_PIXELS)
        except ImageRejected:
            continue  # nothing else may be raised
        assert array.shape == (info.height, info.width, 3)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, depth: int = 8) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_no_pixels() -> None:
    assert_rejected(io.BytesIO(png(0, 10, b"")), "no pixels")


@pytest.mark.parametrize("file_format", FORMATS)
def test_limit_on_pixels_is_exact(file_format: str) -> None:
    stream = encoded(noise(), file_format)
    assert images.inspect(stream, 64 * 48).width == 64
    assert_rejected(stream, "3,072 pixels (64 x 48)", "3,071", max_pixels=64 * 48 - 1)


def test_pictures_beyond_the_limit_of_pillow_itself() -> None:
    assert Image.MAX_IMAGE_PIXELS == 1024 * 1024 * 1024 // 4 // 3  # nobody changed it
    stream = encoded(Image.new("1", (14000, 13000)), "PNG")
    assert decode_size(stream) == (14000, 13000)


def decode_size(stream: io.BytesIO) -> tuple[int, int]:
    info = images.inspect(stream, 200_000_000)
    return info.width, info.height


def test_tile_larger_than_the_picture() -> None:
    tags = [
        (256, 16),
        (257, 16),
        (258, 8),
        (259, 8),
        (262, 1),
        (277, 1),
        (322, 40000),
        (323, 40000),
        (324, 8),
        (325, 4),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = b"II*\0" + struct.pack("<I", 12) + b"data" + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert_rejected(io.BytesIO(data), "1,600,000,000 pixels")


def test_camera_raw() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1  # "reduced resolution": as in NEF and DNG, the picture itself follows elsewhere
    assert_rejected(encoded(noise(), "TIFF", tiffinfo=tags), "raw", SUPPORTED)


def test_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    stream = encoded(noise(), "WEBP")
    monkeypatch.setattr(Image.Image, "load", fail)
    assert_rejected(stream, "memory")


CHILD = """
import re, sys
from pathlib import Path
from indexer import images

def peak_kib():
    # Not getrusage: its peak is that of the parent too, if that was larger.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

good, huge = (Path(name) for name in sys.argv[1:])
assert images.inspect(good, 1000).width == 8
assert images.decode(good, 1000).shape == (8, 8, 3)
before = peak_kib()
for read in (images.inspect, images.decode):
    try:
        read(huge, 64_000_000)
    except images.ImageRejected as error:
        print(error)
print((peak_kib() - before) // 1024)
filled = b"1" * 100_000_000
print((peak_kib() - before) // 1024)
"""


def test_huge_header_costs_no_memory_and_no_warning_escapes(tmp_path: Path) -> None:
    good, huge = tmp_path / "good.jpg", tmp_path / "huge.png"
    good.write_bytes(
        encoded(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\0").getvalue()
    )
    huge.write_bytes(png(20_000, 10_000, zlib.compress(bytes(10_000_000))))
    command = [sys.executable, "-W", "error", "-c", CHILD, good, huge]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    *reasons, extra_mib, with_100_mb = result.stdout.splitlines()
    assert reasons == ["the picture has 200,000,000 pixels (20000 x 10000), the limit is 64,000,000"] * 2
    assert int(extra_mib) < 50
    assert int(with_100_mb) >= 90  # what is measured is what is used
