"""Flat drawings with lettering, and how they are mounted into a picture in perspective.

Coordinates are continuous pixels: (0, 0) is the corner of the first pixel, not its centre.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Points = npt.NDArray[np.float32]
Color = tuple[int, int, int]

FONT_SUFFIXES = {".ttf", ".otf", ".ttc", ".woff"}
SIMPLIFIED = ("SC", "CN")  # how the families of simplified Chinese end in a file of several
LETTERS_AND_DIGITS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
WRITTEN = LETTERS_AND_DIGITS + ".,-:!/()&@#%$'"
# A private code point that no text font fills: its glyph is the one drawn for every missing character.
MISSING = "\uf8fe"


class Word(NamedTuple):
    """A written word; quad is float32 (4, 2), pixels, clockwise from the reading start."""

    text: str
    quad: Points


class Shadow(NamedTuple):
    """A cast shadow: offset and blur in pixels, strength in [0, 1]."""

    dx: float
    dy: float
    blur: float
    strength: float


@lru_cache(maxsize=2048)
def load_font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """Return the font at `size` pixels per em; of a file of several the one of simplified Chinese, if any.

    Raises:
        OSError: the file is no font that FreeType reads.
    """
    return ImageFont.truetype(str(path), size, index=_face(path))


@lru_cache
def _face(path: Path) -> int:
    """Return the number of the font in a file of several (`.ttc`), 0 in any other."""
    number = 0
    while path.suffix == ".ttc":
        try:
            family = ImageFont.truetype(str(path), 24, index=number).getname()[0] or ""
        except OSError:  # there are no more
            break
        if family.endswith(SIMPLIFIED):
            return number
        number += 1
    return 0


def find_fonts(
    folders: Iterable[Path], needed: str = WRITTEN, skip: Sequence[str] = ("DSEG", "Isabella")
) -> list[Path]:
    """Return the fonts below `folders`, sorted by name, that draw every character of `needed`.

    Fonts whose file name contains a string of `skip` are left out (by default those whose letters people
    can hardly read), and so are unreadable files and second copies of the same family and style.
    """
    files = (path for folder in folders for path in Path(folder).rglob("*") if path.suffix in FONT_SUFFIXES)
    found: dict[tuple[str | None, str | None], Path] = {}
    for path in sorted(files, key=lambda path: (path.name, str(path))):
        if any(part in path.name for part in skip):
            continue
        try:
            font = load_font(path, 24)
            if has_glyphs(font, needed):
                found.setdefault(font.getname(), path)
        except OSError:
            continue
    return list(found.values())


def has_glyphs(font: ImageFont.FreeTypeFont, needed: str) -> bool:
    """Say whether the font draws ink of its own for every character of `needed`."""
    missing = bytes(font.getmask(MISSING))
    for character in needed:
        ink = bytes(font.getmask(character))
        if ink == missing or not any(ink):
            return False
    return True


def homography(source: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the 3 x 3 matrix that takes the four `source` points to the four `target` points.

    Raises:
        numpy.linalg.LinAlgError: three of the points lie on one line.
    """
    rows, values = [], []
    for (x, y), (u, v) in zip(np.asarray(source, float), np.asarray(target, float), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)


def project(matrix: npt.NDArray[np.float64], points: npt.ArrayLike) -> Points:
    """Return points (N, 2) moved by a homography, float32 (N, 2)."""
    moved: npt.NDArray[np.float64] = (
        np.c_[np.asarray(points, float), np.ones(len(np.asarray(points)))] @ matrix.T
    )
    return np.asarray(moved[:, :2] / moved[:, 2:], np.float32)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Return the corners of a box, float32 (4, 2), clockwise from the upper left."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)


def word_mask(
    text: str, font: ImageFont.FreeTypeFont, spacing: float = 0, stroke: int = 0
) -> tuple[Image.Image, int, int]:
    """Draw one word and cut it to its ink.

    Args:
        text: the word.
        font: the font at its size.
        spacing: extra pixels between letters.
        stroke: pixels by which the letters are thickened.

    Returns:
        The ink (mode L, width 0 without any ink) and where its upper left corner lies from the
        start of the baseline, x and y in pixels.
    """
    pad = int(font.size) + stroke
    length = int(font.getlength(text) + max(0.0, spacing) * len(text))
    canvas = Image.new("L", (length + 2 * pad, 3 * pad))
    draw = ImageDraw.Draw(canvas)
    x = float(pad)
    for piece in text if spacing else [text]:
        draw.text((x, 2 * pad), piece, 255, font, anchor="ls", stroke_width=stroke)
        x += font.getlength(piece) + spacing
    box = canvas.getbbox() or (0, 0, 0, 0)
    return canvas.crop(box), box[0] - pad, box[1] - 2 * pad


class Sheet:
    """A drawing (RGBA) that remembers the words written on it and on the sheets mounted on it."""

    def __init__(self, width: int, height: int, fill: Color | None = None) -> None:
        self.image = Image.new("RGBA", (width, height), (*fill, 255) if fill else (0, 0, 0, 0))
        self.words: list[Word] = []

    @classmethod
    def of(cls, picture: Image.Image) -> "Sheet":
        """Return a sheet that starts as a copy of `picture`."""
        sheet = cls(1, 1)
        sheet.image = picture.convert("RGBA")
        return sheet

    @property
    def draw(self) -> ImageDraw.ImageDraw:
        """A pencil for lines and shapes, which record nothing."""
        return ImageDraw.Draw(self.image)

    def write(
        self,
        text: str,
        x: float,
        y: float,
        font: ImageFont.FreeTypeFont,
        fill: Color,
        *,
        align: float = 0,
        spacing: float = 0,
        outline: Color | None = None,
        outline_width: int = 0,
    ) -> float:
        """Write one line with its baseline at y and record its words, split at blanks.

        Args:
            text: the line.
            x: where it starts (align 0), is centred (0.5) or ends (1), in pixels.
            y: its baseline, in pixels.
            font: the font at its size.
            fill: colour of the letters.
            align: share of the line's length that lies left of x.
            spacing: extra pixels between letters.
            outline: colour of an outline of `outline_width` pixels around the letters.
            outline_width: see `outline`.

        Returns:
            The x at which the line ends.
        """
        blank = font.getlength(" ") + spacing
        words = text.split()
        lengths = [font.getlength(word) + spacing * len(word) for word in words]
        x -= align * (sum(lengths) + blank * (len(words) - 1))
        for word, length in zip(words, lengths, strict=True):
            masks = [(word_mask(word, font, spacing), fill)]
            if outline:
                masks.insert(0, (word_mask(word, font, spacing, outline_width), outline))
            for (mask, dx, dy), color in masks:
                self.stamp(mask, round(x) + dx, round(y) + dy, color)
            (mask, dx, dy), _ = masks[0]
            if mask.width:
                left, top = round(x) + dx, round(y) + dy
                self.words.append(Word(word, rectangle(left, top, left + mask.width, top + mask.height)))
            x += length + blank
        return x - blank

    def stamp(self, mask: Image.Image, x: int, y: int, color: Color) -> None:
        """Paint `color` through a mask (mode L) whose upper left corner lies at (x, y)."""
        region = (
            max(0, -x),
            max(0, -y),
            min(mask.width, self.image.width - x),
            min(mask.height, self.image.height - y),
        )
        if region[0] < region[2] and region[1] < region[3]:
            layer = Image.new("RGBA", mask.size, (*color, 255))
            layer.putalpha(mask)
            self.image.alpha_composite(layer, (x + region[0], y + region[1]), region)

    def veil(self, corners: npt.ArrayLike, color: Color, opacity: float) -> None:
        """Lay a see-through polygon (N, 2) over the drawing; opacity in [0, 1]."""
        mask = Image.new("L", self.image.size)
        points = [(float(x), float(y)) for x, y in np.asarray(corners, float)]
        ImageDraw.Draw(mask).polygon(points, fill=round(255 * opacity))
        self.stamp(mask, 0, 0, color)

    def mount(self, sheet: "Sheet", quad: npt.ArrayLike, shadow: Shadow | None = None) -> None:
        """Put another sheet's drawing and words at `quad` (4, 2), clockwise from its upper left corner."""
        source = rectangle(0, 0, *sheet.image.size)
        matrix = homography(source, quad)
        left, top = np.floor(np.min(np.asarray(quad, float), 0)).astype(int) - 1
        right, bottom = np.ceil(np.max(np.asarray(quad, float), 0)).astype(int) + 1
        shift = np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])
        back = np.linalg.inv(matrix) @ shift
        coefficients = tuple((back / back[2, 2]).ravel()[:8])
        size = (int(right - left), int(bottom - top))
        warped = sheet.image.transform(
            size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC
        )
        if shadow:
            self.cast(warped.getchannel("A"), int(left), int(top), shadow)
        self.overlay(warped, int(left), int(top))
        self.words += [Word(word.text, project(matrix, word.quad)) for word in sheet.words]

    def cast(self, mask: Image.Image, x: int, y: int, shadow: Shadow) -> None:
        """Darken what lies behind a mask (mode L) at (x, y)."""
        pad = int(3 * shadow.blur) + 1
        soft = Image.new("L", (mask.width + 2 * pad, mask.height + 2 * pad))
        soft.paste(mask.point(lambda value: value * shadow.strength), (pad, pad))
        soft = soft.filter(ImageFilter.GaussianBlur(shadow.blur))
        self.stamp(soft, x - pad + round(shadow.dx), y - pad + round(shadow.dy), (0, 0, 0))

    def overlay(self, layer: Image.Image, x: int = 0, y: int = 0) -> None:
        """Lay an RGBA picture over this one with its upper left corner at (x, y); what sticks out is cut."""
        cut = (
            max(0, -x),
            max(0, -y),
            min(layer.width, self.image.width - x),
            min(layer.height, self.image.height - y),
        )
        if cut[0] < cut[2] and cut[1] < cut[3]:
            self.image.alpha_composite(layer, (x + cut[0], y + cut[1]), cut)
