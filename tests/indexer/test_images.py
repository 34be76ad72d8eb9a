import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indexer import images

MAX_PIXELS = 1_000_000
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
CAMERA_MODEL, ORIENTATION, EXIF_IFD, TIME_TAKEN, TIME_OFFSET = 0x0110, 0x0112, 0x8769, 0x9003, 0x9011


def quadrants(mode: str = "RGB", width: int = 64, height: int = 48) -> Image.Image:
    """Red and green above, blue and white below."""
    pixels = np.empty((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    pixels[:top, :left], pixels[:top, left:] = RED, GREEN
    pixels[top:, :left], pixels[top:, left:] = BLUE, WHITE
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, file_format: str, **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer


def corners(array: np.ndarray) -> np.ndarray:
    """Middle pixels of the quadrants: above left, above right, below left, below right."""
    height, width = array.shape[:2]
    return np.stack(
        [array[y, x] for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    )


def assert_corners(array: np.ndarray, expected: list[tuple[int, int, int]], tolerance: int = 12) -> None:
    assert array.dtype == np.uint8
    assert array.ndim == 3
    assert array.shape[2] == 3
    np.testing.assert_allclose(corners(array).astype(int), expected, atol=tolerance)


def decode(source: io.BytesIO) -> np.ndarray:
    return images.decode(source, MAX_PIXELS)


@pytest.mark.parametrize(
    ("file_format", "options", "media_type"),
    [
        ("JPEG", {"quality": 95}, "image/jpeg"),
        ("JPEG", {"quality": 95, "progressive": True}, "image/jpeg"),
        # two pictures in a JPEG, as phones make them
        ("MPO", {"quality": 95, "save_all": True, "append_images": [quadrants()]}, "image/jpeg"),
        ("PNG", {}, "image/png"),
        ("WEBP", {}, "image/webp"),
        ("WEBP", {"lossless": True}, "image/webp"),
        ("GIF", {}, "image/gif"),
        ("BMP", {}, "image/bmp"),
        ("TIFF", {}, "image/tiff"),
        ("TIFF", {"compression": "tiff_lzw"}, "image/tiff"),
        ("TIFF", {"compression": "jpeg", "quality": 95}, "image/tiff"),
        ("AVIF", {"quality": 90}, "image/avif"),
        ("HEIF", {"quality": 90}, "image/heic"),
    ],
)
def test_every_format_from_file_and_stream(
    tmp_path: Path, file_format: str, options: dict[str, Any], media_type: str
) -> None:
    stream = encoded(quadrants(), file_format, **options)
    path = tmp_path / "misleading.txt"
    path.write_bytes(stream.getvalue())
    for source in (stream, path):
        assert images.inspect(source, MAX_PIXELS) == (media_type, 64, 48, None)
        array = images.decode(source, MAX_PIXELS)
        assert array.shape == (48, 64, 3)
        assert array.flags.writeable  # torch.from_numpy warns otherwise
        assert_corners(array, [RED, GREEN, BLUE, WHITE])
    assert not stream.closed


@pytest.mark.parametrize("brand", [b"mif1", b"heix"])
def test_heic_of_other_brands(brand: bytes) -> None:
    data = bytearray(encoded(quadrants(), "HEIF", quality=90).getvalue())
    data[8:12] = brand
    assert images.inspect(io.BytesIO(data), MAX_PIXELS).media_type == "image/heic"
    assert_corners(decode(io.BytesIO(data)), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [
        ("P", "PNG"),
        ("P", "BMP"),
        ("RGBA", "PNG"),
        ("RGBA", "TIFF"),
        ("YCbCr", "TIFF"),
        ("CMYK", "TIFF"),
        ("CMYK", "JPEG"),  # Pillow writes it inverted with Adobe's marker, as Photoshop does
    ],
)
def test_colour_modes(mode: str, file_format: str) -> None:
    stream = encoded(quadrants(mode), file_format)
    with Image.open(stream) as check:
        assert check.mode == mode or file_format == "TIFF"
    assert_corners(decode(stream), [RED, GREEN, BLUE, WHITE])


def test_cmyk_jpeg_carries_the_adobe_marker() -> None:
    assert b"Adobe" in encoded(quadrants("CMYK"), "JPEG").getvalue()


def test_lab() -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, :, 0] = 255  # full lightness, no colour: white
    pixels[:24, :32, 0] = 0
    lab = Image.frombytes("LAB", (64, 48), pixels.tobytes())
    assert_corners(decode(encoded(lab, "TIFF")), [BLACK, WHITE, WHITE, WHITE])


@pytest.mark.parametrize(
    ("dtype", "values", "file_format"),
    [
        (np.uint16, (0, 65535, 32896, 257), "PNG"),
        (np.uint16, (0, 65535, 32896, 257), "TIFF"),
        (np.dtype(">u2"), (0, 65535, 32896, 257), "TIFF"),
        (np.int32, (0, 65535, 32896, 257), "TIFF"),
        (np.int32, (0, 255, 128, 1), "TIFF"),  # eight bits in a wide type
        (np.int32, (-5, 2_000_000_000, 1_003_921_569, 7_843_137), "TIFF"),
        (np.float32, (0.0, 1.0, 0.502, 0.004), "TIFF"),
        (np.float32, (float("nan"), 255.0, 128.0, 1.0), "TIFF"),
    ],
)
def test_deep_greys(dtype: Any, values: tuple[float, ...], file_format: str) -> None:
    pixels = np.array(values, dtype).reshape(2, 2).repeat(24, axis=0).repeat(32, axis=1)
    array = decode(encoded(Image.fromarray(pixels), file_format))
    assert_corners(array, [(grey, grey, grey) for grey in (0, 255, 128, 1)], tolerance=1)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, depth: int = 8) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_sixteen_bit_colour() -> None:
    rows = np.asarray(quadrants()).astype(">u2") * 257
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    stream = io.BytesIO(png(64, 48, data, depth=16))
    assert_corners(decode(stream), [RED, GREEN, BLUE, WHITE], tolerance=0)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "GIF"])
def test_one_bit(file_format: str) -> None:
    pixels = np.zeros((48, 64), np.uint8)
    pixels[:24, 32:] = 255
    array = decode(encoded(Image.fromarray(pixels).convert("1"), file_format))
    assert_corners(array, [BLACK, WHITE, BLACK, BLACK], tolerance=0)


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("RGBA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "AVIF"), ("RGBA", "HEIF"), ("LA", "PNG"), ("PA", "TIFF")],
)
def test_transparency_lies_over_white(mode: str, file_format: str) -> None:
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[..., 3] = 255  # opaque black
    pixels[:24, :32, 3] = 0  # black too, but nobody sees it
    image = Image.fromarray(pixels).convert(mode if mode != "PA" else "LA")
    if mode == "PA":  # `convert` would lose the transparency
        image = Image.frombytes("PA", image.size, image.tobytes())
        image.putpalette([0, 0, 0])
    array = decode(encoded(image, file_format, quality=95))
    assert_corners(array, [WHITE, BLACK, BLACK, BLACK])


@pytest.mark.parametrize(
    ("mode", "file_format", "transparent"),
    [
        ("P", "PNG", 0),
        ("P", "GIF", 0),
        ("P", "PNG", b"\0\xff"),
        ("RGB", "PNG", (10, 10, 10)),
        ("L", "PNG", 10),
    ],
)
def test_a_transparent_colour_lies_over_white(mode: str, file_format: str, transparent: Any) -> None:
    pixels = np.zeros((48, 64), np.uint8)
    pixels[:24, :32] = 10
    image = Image.fromarray(pixels).convert(mode)
    if mode == "P":
        image = Image.fromarray((pixels == 0).astype(np.uint8)).convert("L")
        image.putpalette([10, 10, 10, 0, 0, 0])
    array = decode(encoded(image, file_format, transparency=transparent))
    assert_corners(array, [WHITE, BLACK, BLACK, BLACK])


STORED = {  # orientation -> how the upright picture lies in the file
    1: lambda array: array,
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.transpose(1, 0, 2),
    6: lambda array: np.rot90(array, 1),
    7: lambda array: array[::-1, ::-1].transpose(1, 0, 2),
    8: lambda array: np.rot90(array, -1),
}


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation(file_format: str, orientation: int) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](np.asarray(quadrants()))))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stream = encoded(stored, file_format, exif=exif.tobytes(), quality=95)
    info = images.inspect(stream, MAX_PIXELS)
    assert (info.width, info.height) == (64, 48)
    array = decode(stream)
    assert array.shape == (48, 64, 3)
    assert_corners(array, [RED, GREEN, BLUE, WHITE])
    with Image.open(io.BytesIO(images.thumbnail(stream, MAX_PIXELS, side=32))) as small:
        assert small.size == (32, 24)
        assert not small.getexif()
        assert_corners(np.asarray(small), [RED, GREEN, BLUE, WHITE], tolerance=30)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_first_frame_of_animations(file_format: str) -> None:
    others = [Image.new("RGB", (64, 48), colour) for colour in ("yellow", "black")]
    stream = encoded(quadrants(), file_format, save_all=True, append_images=others)
    assert_corners(decode(stream), [RED, GREEN, BLUE, WHITE])
    assert images.inspect(stream, MAX_PIXELS)[1:3] == (64, 48)


@pytest.mark.parametrize("size", [(1, 1), (10000, 30), (3, 9000)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_odd_shapes(size: tuple[int, int], file_format: str) -> None:
    stream = encoded(Image.new("RGB", size, "red"), file_format)
    assert images.inspect(stream, MAX_PIXELS)[1:3] == size
    assert decode(stream).shape == (size[1], size[0], 3)
    with Image.open(io.BytesIO(images.thumbnail(stream, MAX_PIXELS))) as small:
        assert max(small.size) == min(480, max(size))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "HEIF"])
@pytest.mark.parametrize("max_side", [40, 100, 400, 5000])
def test_max_side_shrinks_and_never_enlarges(file_format: str, max_side: int) -> None:
    array = images.decode(encoded(quadrants(width=800, height=600), file_format), MAX_PIXELS, max_side)
    side = min(800, max_side)
    assert array.shape == (side * 3 // 4, side, 3)
    assert_corners(array, [RED, GREEN, BLUE, WHITE], tolerance=20)


def exif_of(taken: str, offset: str | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif[CAMERA_MODEL] = "box"  # without any plain tag Pillow writes nothing
    details = exif.get_ifd(EXIF_IFD)
    details[TIME_TAKEN] = taken
    if offset is not None:
        details[TIME_OFFSET] = offset
    return exif


@pytest.mark.parametrize(
    ("taken", "offset", "expected"),
    [
        ("2024:05:06 07:08:09", None, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024:05:06 07:08:09", "+02:00", datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)),
        ("2024:05:06 07:08:09", "-03:30", datetime(2024, 5, 6, 10, 38, 9, tzinfo=UTC)),
        ("2024:05:06 07:08:09", "   :  ", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),  # cameras write that
        ("0000:00:00 00:00:00", None, None),
        ("    :  :     :  :  ", None, None),
        ("0001:01:01 00:00:00", "+14:00", None),  # before the first year
        ("yesterday", "+02:00", None),
    ],
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_time_taken(file_format: str, taken: str, offset: str | None, expected: datetime | None) -> None:
    stream = encoded(quadrants(), file_format, exif=exif_of(taken, offset).tobytes())
    assert images.inspect(stream, MAX_PIXELS).taken_at == expected


def test_thumbnail_keeps_nothing_private() -> None:
    stream = encoded(quadrants(), "JPEG", exif=exif_of("2024:05:06 07:08:09"), comment=b"secret")
    with Image.open(io.BytesIO(images.thumbnail(stream, MAX_PIXELS))) as small:
        assert small.format == "JPEG"
        assert not small.getexif()
        assert "comment" not in small.info


FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"]


def test_threads_share_nothing() -> None:
    streams = [encoded(quadrants(), file_format) for file_format in FORMATS * 4]
    barrier = threading.Barrier(8)

    def work(part: int) -> None:
        barrier.wait()
        for stream in streams[part::8]:
            assert_corners(decode(stream), [RED, GREEN, BLUE, WHITE], tolerance=40)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


@pytest.mark.parametrize("kind_and_value", [(3, 0), (3, 9), (3, 65535), (2, 0x00786973), (12, 1)])
@pytest.mark.filterwarnings("ignore:::PIL")  # as the module does; pytest puts its "error" before that
def test_orientation_that_makes_no_sense(kind_and_value: tuple[int, int]) -> None:
    kind, value = kind_and_value  # 3 is a short, 2 a text ("six"), 12 a double, which would need more bytes
    entry = struct.pack("<HHHII", 1, ORIENTATION, kind, 4 if kind == 2 else 1, value)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + entry + bytes(4)
    for file_format in ("JPEG", "WEBP"):
        stream = encoded(quadrants(), file_format, exif=exif, quality=95)
        assert images.inspect(stream, MAX_PIXELS)[1:3] == (64, 48)
        assert_corners(decode(stream), [RED, GREEN, BLUE, WHITE])
