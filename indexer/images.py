"""Read pictures of many kinds as upright RGB arrays, and refuse with a reason what cannot be read."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, JpegImagePlugin, TiffImagePlugin
from pillow_heif import register_heif_opener

from indexer.errors import ImageRejected

Image.init()  # Pillow's own decoders
register_heif_opener()
# Pillow warns about odd metadata in pictures that it reads well; nobody could act on it. A filter set once,
# because `warnings.catch_warnings` around each picture is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Pillow's format -> media type. AVIF before HEIF: both claim a file of brand `mif1`, and
# only Pillow's own AVIF decoder knows AV1. What is left for HEIF is HEVC, hence image/heic.
_FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
}
_SUPPORTED = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC and AVIF"
# Found near the start of files that people take for pictures; named in the refusal.
_UNSUPPORTED = {
    b"%PDF-": "PDF",
    b"%!PS": "EPS",
    b"<svg": "SVG",
    b"8BPS": "Photoshop",
    b"JXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"jP  ": "JPEG 2000",
    b"ftypqt": "video",
    b"ftypisom": "video",
    b"ftypmp4": "video",
}
_UPRIGHT = {  # EXIF orientation -> what turns the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageInfo(NamedTuple):
    """What the file of a picture tells; width and height are those of the upright picture, in pixels."""

    media_type: str
    width: int
    height: int
    taken_at: datetime | None


def inspect(source: Path | BinaryIO, max_pixels: int) -> ImageInfo:
    """Read the facts of a picture, and make sure that all of it can be decoded.

    Args:
        source: Path of the file, or the file open for reading; it stays open.
        max_pixels: Largest allowed width x height, checked before anything is decoded.

    Returns:
        The facts; `taken_at` is in UTC, and a picture that names no time zone is taken for UTC.

    Raises:
        ImageRejected: Not a picture, not a supported format, truncated, damaged or too large.
    """
    with _opened(source, max_pixels) as (image, file_format):
        width, height = image.size
        # A JPEG at an eighth of its size, without colour: every byte is still read and every code decoded.
        _draft(image, "L", max_side=max(1, max(image.size) // 8))
        image.load()
        if _orientation(image) in (5, 6, 7, 8):
            width, height = height, width
        return ImageInfo(_FORMATS[file_format], width, height, _taken_at(image))


def decode(source: Path | BinaryIO, max_pixels: int, max_side: int | None = None) -> np.ndarray:
    """Read a picture (of an animation the first frame) as people see it.

    Args:
        source: Path of the file, or the file open for reading; it stays open.
        max_pixels: Largest allowed width x height, checked before anything is decoded.
        max_side: Shrink the picture until its longer side has at most this many pixels.

    Returns:
        uint8 (H, W, 3) RGB, upright, what is transparent laid over white.

    Raises:
        ImageRejected: Not a picture, not a supported format, truncated, damaged or too large.
    """
    with _opened(source, max_pixels) as (image, _):
        if max_side:
            _draft(image, None, max_side=2 * max_side)  # the rest is left to a better filter
        image.load()
        rgb = _to_rgb(image)
        if max_side:
            rgb.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        turn = _UPRIGHT.get(_orientation(image))
        return np.array(rgb if turn is None else rgb.transpose(turn))


def thumbnail(source: Path | BinaryIO, max_pixels: int, side: int = 480) -> bytes:
    """Return a small upright JPEG without metadata, its longer side at most `side` pixels.

    Raises:
        ImageRejected: As for `decode`.
    """
    buffer = io.BytesIO()
    Image.fromarray(decode(source, max_pixels, max_side=side)).save(buffer, "JPEG", quality=82)
    return buffer.getvalue()


@contextmanager
def _opened(source: Path | BinaryIO, max_pixels: int) -> Iterator[tuple[ImageFile.ImageFile, str]]:
    """Open a picture without decoding it; any failure, also in the body, becomes ImageRejected."""
    try:
        with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
            image, file_format = _identify(file)
            _check_pixels(*image.size, max_pixels)
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                _check_tiff(image, max_pixels)
            yield image, file_format
    except ImageRejected:
        raise
    except MemoryError as exc:
        raise ImageRejected("the picture needs more memory than is free") from exc
    except Image.DecompressionBombError as exc:
        raise ImageRejected(f"the picture has too many pixels, the limit is {max_pixels:,}") from exc
    except Exception as exc:  # decoders raise nearly everything
        if isinstance(exc, OSError) and exc.errno is not None:  # from the file system, not from a decoder
            raise ImageRejected(f"the file cannot be read: {exc.strerror}") from exc
        raise ImageRejected("the picture is truncated or damaged") from exc


def _identify(file: BinaryIO) -> tuple[ImageFile.ImageFile, str]:
    """Read the header. Not by `Image.open`, which holds pictures against a limit of its own."""
    file.seek(0)
    head = file.read(512)
    if not head:
        raise ImageRejected("the file is empty")
    failure: Exception | None = None
    for file_format in _FORMATS:
        factory, accept = Image.OPEN[file_format]
        if accept is None or accept(head[:16]):
            file.seek(0)
            try:
                return factory(file, ""), file_format
            except SyntaxError as exc:
                failure = exc
    if failure:
        raise ImageRejected("the picture is damaged, has no pixels or is of too rare a kind") from failure
    kinds = [name for signature, name in _UNSUPPORTED.items() if signature in head]
    what = f"{kinds[0]} is not supported" if kinds else "this is not a picture, or of a kind not supported"
    raise ImageRejected(f"{what}; supported are {_SUPPORTED}")


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageRejected(
            f"the picture has {width * height:,} pixels ({width} x {height}), the limit is {max_pixels:,}"
        )


def _check_tiff(image: TiffImagePlugin.TiffImageFile, max_pixels: int) -> None:
    tags = image.tag_v2
    # Decoding needs a buffer for a whole tile, which may be far larger than the picture.
    _check_pixels(tags.get(TiffImagePlugin.TILEWIDTH, 0), tags.get(TiffImagePlugin.TILELENGTH, 0), max_pixels)
    if tags.get(ExifTags.Base.NewSubfileType, 0) & 1:  # the first picture is but a preview of another
        raise ImageRejected(f"camera raw is not supported; supported are {_SUPPORTED}")


def _draft(image: ImageFile.ImageFile, mode: str | None, max_side: int) -> None:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8, its longer side not below `max_side`."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):  # HEIF would decode its embedded small picture
        shrink = max(1, max(image.size) // max_side)
        image.draft(mode, (max(1, image.width // shrink), max(1, image.height // shrink)))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata do not make a picture unreadable
        return 1


def _taken_at(image: Image.Image) -> datetime | None:
    try:
        details = image.getexif().get_ifd(ExifTags.IFD.Exif)
        taken = str(details[ExifTags.Base.DateTimeOriginal])[:19]
        zone = str(details.get(ExifTags.Base.OffsetTimeOriginal))[:6]
        zone = zone if re.fullmatch(r"[+-]\d\d:\d\d", zone) else "+00:00"
        return datetime.strptime(f"{taken} {zone}", "%Y:%m:%d %H:%M:%S %z").astimezone(UTC)
    except Exception:  # absent, all zeros, or damaged
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _eight_bits(image).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return ImageCms.applyTransform(image, transform) or image
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit, 32-bit and float grey as 8 bits; of 16 bits alone is it certain which value is white."""
    grey = np.nan_to_num(np.array(image, dtype=np.float32), copy=False, posinf=0.0, neginf=0.0)
    white = 65535.0
    if image.mode in ("I", "F"):
        brightest = float(grey.max())
        usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        white = next((value for value in usual if value >= brightest), brightest)
    grey.clip(0, white, out=grey)
    grey *= 255.0 / white
    return Image.fromarray(grey.round(out=grey).astype(np.uint8))
