"""A text file of words for each photo: ICDAR 2013 and 2015, MLT 2017 and 2019, Total-Text.

| layout | line | unreadable |
|---|---|---|
| icdar2013 | `x0, y0, x1, y1, "text"`, or with spaces alone | |
| icdar2015 | `x, y` four times, `,text`; the text may have commas | `###` |
| mlt | the same with the script before the text | `###` |
| total-text | `x: [[...]], y: [[...]], ornt: [u'c'], transcriptions: [u'text']`, may have breaks | `#` |

The file of `img_1.jpg` is `gt_img_1.txt`, `poly_gt_img_1.txt` or `img_1.txt`. Files may begin with a byte
order mark.
"""

import ast
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.evaluation.layouts.pictures import Pictures
from model.evaluation.records import Dataset, Photo, Word, hull, quad_around

UNREADABLE = "###"
SCRIPTS = {  # of MLT 2017 and 2019
    *("arabic", "latin", "chinese", "japanese", "korean"),
    *("bangla", "hindi", "symbols", "mixed", "none"),
}
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_ICDAR2013 = re.compile(rf'\s*{_NUMBER}[,\s]+{_NUMBER}[,\s]+{_NUMBER}[,\s]+{_NUMBER}[,\s]+"(.*)"\s*')
_STRING = r"""\[\s*(u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*")?\s*\]"""
_TOTAL_TEXT = re.compile(
    rf"x: \[\[([^\]]*)\]\],\s*y: \[\[([^\]]*)\]\],\s*ornt: {_STRING},\s*transcriptions: {_STRING}\s*"
)
_PREFIX = re.compile("(poly_)?gt_")


def read_icdar2013(folder: Path, images: Path | None) -> Dataset:
    """Return the photos of a folder of ICDAR 2013's files; `images` is the folder of the photos.

    Raises:
        ValueError: a file is not as described above, or its photo cannot be found; names file and line.
    """
    return _read(folder, images, lambda text: _by_line(text, _icdar2013))


def read_icdar2015(folder: Path, images: Path | None) -> Dataset:
    """Return the photos of a folder of ICDAR 2015's files; arguments and errors as for `read_icdar2013`."""
    return _read(folder, images, lambda text: _by_line(text, _icdar2015))


def read_mlt(folder: Path, images: Path | None) -> Dataset:
    """Return the photos of a folder of MLT's files; arguments and errors as for `read_icdar2013`."""
    return _read(folder, images, lambda text: _by_line(text, _mlt))


def read_total_text(folder: Path, images: Path | None) -> Dataset:
    """Return the photos of a folder of Total-Text's files; arguments and errors as for `read_icdar2013`."""
    return _read(folder, images, _total_text)


def recognise(folder: Path) -> str | None:
    """Return the layout of a folder's text files by the first lines in them; None if it is unknown."""
    files = sorted(folder.glob("*.txt"))[:20]
    lines = [line for path in files for line in islice(read_text(path).split("\n"), 20) if line.strip()]
    if not lines:
        return None
    if lines[0].startswith("x: [["):
        return "total-text"
    if _ICDAR2013.fullmatch(lines[0]):
        return "icdar2013"
    fields = [line.split(",") for line in lines]
    if all(len(line) > 9 and line[8].strip().lower() in SCRIPTS for line in fields):
        return "mlt"
    return "icdar2015" if all(len(line) > 8 for line in fields) else None


def photo_stem(path: Path) -> str:
    """Return the name, without its ending, of the photo that a file of annotations is of."""
    return _PREFIX.sub("", path.stem, count=1) if _PREFIX.match(path.stem) else path.stem


def _read(folder: Path, images: Path | None, parse: Callable[[str], Iterator[Word]]) -> Dataset:
    pictures = Pictures(folder, images)
    photos = []
    for path in sorted(folder.glob("*.txt")):
        picture = pictures.of(path, photo_stem(path))
        try:
            words = list(parse(read_text(path)))
        except _LineError as exc:
            raise ValueError(f"{path}, line {exc.line}: {exc}") from exc
        photos.append(Photo(picture.name, picture, words))
    return Dataset(photos)


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, without a byte order mark.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ValueError(f"{path} cannot be read: {exc}") from exc


class _LineError(ValueError):
    """A line is not as it should be."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def _by_line(text: str, parse: Callable[[str], Word]) -> Iterator[Word]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield parse(line.rstrip("\r"))
            except ValueError as exc:
                raise _LineError(number, str(exc)) from exc


def _icdar2013(line: str) -> Word:
    found = _ICDAR2013.fullmatch(line)
    if not found:
        raise ValueError(f'{line[:80]!r} is not x0, y0, x1, y1, "text"')
    return Word.of_box(np.array(found.groups()[:4], np.float32), found[5])


def _icdar2015(line: str) -> Word:
    fields = line.split(",", 8)
    if len(fields) < 9:
        raise ValueError(f"{line[:80]!r} is not x, y four times and the text")
    return Word.of_quad(_corners(fields[:8]), fields[8], fields[8].strip() == UNREADABLE)


def _mlt(line: str) -> Word:
    fields = line.split(",", 9)
    if len(fields) < 10:
        raise ValueError(f"{line[:80]!r} is not x, y four times, the script and the text")
    return Word.of_quad(_corners(fields[:8]), fields[9], fields[9].strip() == UNREADABLE)


def _corners(fields: list[str]) -> NDArray[np.float32]:
    corners = np.array(fields, np.float32).reshape(4, 2)
    if not np.isfinite(corners).all():
        raise ValueError(f"{','.join(fields)} are no corners")
    return corners


def _total_text(text: str) -> Iterator[Word]:
    start = len(text) - len(text.lstrip())
    while start < len(text):
        found = _TOTAL_TEXT.match(text, start)
        try:
            if not found:
                raise ValueError(f"{text[start : start + 80]!r} is not x, y, ornt and transcriptions")
            word = polygon_word(
                np.array([found[1].split(), found[2].split()], np.float32).T,
                ast.literal_eval(found[4]) if found[4] else "#",
                unreadable=found[3] is not None and ast.literal_eval(found[3]) == "#",
            )
        except (ValueError, SyntaxError) as exc:
            raise _LineError(text.count("\n", 0, start) + 1, str(exc)) from exc
        if word:
            yield word
        start = found.end()


def polygon_word(points: NDArray[np.float32], text: str, *, unreadable: bool) -> Word | None:
    """Return a word of Total-Text.

    Args:
        points: Of the polygon (N, 2).
        text: `#` is unreadable.
        unreadable: Whether it is marked so.

    Returns:
        The word; None for what is unreadable and has no area, of which the data set has some.

    Raises:
        ValueError: a readable word has fewer than three points.
    """
    unreadable = unreadable or text == "#"
    if len(points) < 3:
        if unreadable:
            return None
        raise ValueError(f"{text!r} has {len(points)} points")
    return Word(quad_around(points), hull(points), text, unreadable)
