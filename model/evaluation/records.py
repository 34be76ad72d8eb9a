"""What a data set holds: photos, the words in them, and the words they are searched for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

# EXIF orientation -> where x and y of the stored photo come to lie in the upright one: which of both is x,
# and whether x and y of the result count from the other end.
_TURNS = {
    2: (0, True, False),
    3: (0, True, True),
    4: (0, False, True),
    5: (1, False, False),
    6: (1, True, False),
    7: (1, True, True),
    8: (1, False, True),
}


@dataclass(frozen=True)
class Word:
    """A word in a photo.

    Attributes:
        quad: float32 (4, 2), pixels, clockwise from the reading start.
        box: float32 (4,) xyxy, pixels.
        text: What it says; None if nobody wrote it down.
        ignore: Whether it is unreadable.
    """

    quad: NDArray[np.float32]
    box: NDArray[np.float32]
    text: str | None
    ignore: bool

    @classmethod
    def of_quad(cls, quad: NDArray[np.float32], text: str | None, ignore: bool = False) -> "Word":
        """Return a word with the hull of its corners (4, 2) as its box."""
        return cls(quad, hull(quad), text, ignore)

    @classmethod
    def of_box(cls, box: NDArray[np.float32], text: str | None, ignore: bool = False) -> "Word":
        """Return an upright word with the corners of its box (4,) xyxy."""
        return cls(box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2), box, text, ignore)


@dataclass(frozen=True)
class Photo:
    """A photo of a data set.

    Attributes:
        name: In the data set.
        path: Its file.
        words: With their places.
        texts: Words that are in it, too, but nobody knows where.
        as_stored: Whether places are in pixels of the photo as its file has it, and not of the upright one.
    """

    name: str
    path: Path
    words: Sequence[Word]
    texts: Sequence[str] = ()
    as_stored: bool = False

    def pixels(self) -> NDArray[np.uint8]:
        """Return the photo, uint8 RGB (H, W, 3), upright unless its places are those of the stored one.

        Raises:
            OSError: the file is missing or no picture.
        """
        with Image.open(self.path) as image:
            shown = image if self.as_stored else ImageOps.exif_transpose(image)
            return np.asarray(shown.convert("RGB"))

    def upright(self) -> "Photo":
        """Return it with places in pixels of the upright photo.

        Raises:
            OSError: the file is missing or no picture.
        """
        if not self.as_stored:
            return self
        with Image.open(self.path) as image:
            turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
            size = np.array(image.size, np.float32)
        words = [_turned(word, size, *turn) for word in self.words] if turn else self.words
        return replace(self, words=words, as_stored=False)

    def readable(self) -> list[str]:
        """Return the texts of its readable words, with and without a place."""
        return [word.text for word in self.words if word.text and not word.ignore] + list(self.texts)


@dataclass(frozen=True)
class Dataset:
    """Photos, and the words they are searched for if the data set names some."""

    photos: list[Photo]
    queries: list[str] | None = None


def _turned(word: Word, size: NDArray[np.float32], x: int, from_right: bool, from_below: bool) -> Word:
    """Return a word of a stored photo of a size (width, height) where it is in the upright one."""
    order, other_end = [x, 1 - x], np.array([from_right, from_below])

    def turned(points: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = np.where(other_end, size[order] - points[:, order], points[:, order])
        return result

    return replace(word, quad=turned(word.quad), box=hull(turned(word.box.reshape(2, 2))))


def hull(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the box (4,) xyxy around points (N, 2)."""
    box: NDArray[np.float32] = np.r_[points.min(0), points.max(0)]
    return box


def quad_around(polygon: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the corners (4, 2) of the smallest box along the reading direction around a polygon (N, 2).

    The polygon runs along one side of the word from the reading start and back along the other, as in
    Total-Text; its direction is that from the middle of its first edge to the middle of the opposite one.
    """
    half = len(polygon) // 2
    start, end = (polygon[0] + polygon[-1]) / 2, (polygon[half - 1] + polygon[half]) / 2
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length if length else np.array([1, 0], np.float32)
    axes = np.array([along, [-along[1], along[0]]], np.float32)
    x0, y0, x1, y1 = hull(polygon @ axes.T)
    corners: NDArray[np.float32] = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32) @ axes
    return corners
