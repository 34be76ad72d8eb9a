"""Annotated photos in JSON lines, one photo a line.

    {"image": "images/1.jpg", "words": [{"quad": [[x, y] x 4], "box": [x0, y0, x1, y1], "text": "Café"}]}

Pixels of the upright photo. A quad runs clockwise from the reading start; of quad and box, one may be
missing. A word without `text` has a place only; one with `"ignore": true` is unreadable and counts neither
for nor against. Photos lie beside the file, or there in a folder of the file's name without `.jsonl`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps


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


@dataclass(frozen=True)
class Photo:
    """A photo of a data set: its name there, its file and its words."""

    name: str
    path: Path
    words: list[Word]

    def pixels(self) -> NDArray[np.uint8]:
        """Return the photo, uint8 RGB (H, W, 3), upright.

        Raises:
            OSError: the file is missing or no picture.
        """
        with Image.open(self.path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def read_photos(path: Path) -> list[Photo]:
    """Return the photos of a JSON lines file, in its order.

    Raises:
        ValueError: the file is missing or empty, or a line is not as described above; names file and line.
    """
    photos = [_photo(path, line, text) for line, text in _lines(path)]
    if not photos:
        raise ValueError(f"{path} has no photos")
    return photos


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ValueError(f"{path} cannot be read: {exc}") from exc
    # Not splitlines: a word may hold one of the other line breaks of Unicode.
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _photo(path: Path, line: int, text: str) -> Photo:
    try:
        entry = json.loads(text)
        name = entry["image"]
        if not isinstance(name, str):
            raise TypeError(f"image is {name!r}")
        words = [_word(word) for word in entry["words"]]
    except KeyError as exc:
        raise ValueError(f"{path}, line {line}: {exc} is missing") from exc
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{path}, line {line}: {exc}") from exc
    return Photo(name, _place(path, name), words)


def _place(path: Path, name: str) -> Path:
    beside = path.parent / name
    return beside if beside.exists() else path.with_suffix("") / name


def _word(entry: dict[str, Any]) -> Word:
    text = entry.get("text")
    if not isinstance(text, str | None):
        raise TypeError(f"text is {text!r}")
    if "quad" in entry:
        quad = _numbers(entry["quad"], (4, 2), "quad")
        box = _numbers(entry["box"], (4,), "box") if "box" in entry else np.r_[quad.min(0), quad.max(0)]
    else:
        box = _numbers(entry["box"], (4,), "quad or box")
        quad = box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
    return Word(quad, box, text, bool(entry.get("ignore", False)))


def _numbers(value: Any, shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    try:
        numbers = np.asarray(value, np.float32)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{name} is {value!r}") from exc
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise ValueError(f"{name} is {value!r}")
    return numbers
