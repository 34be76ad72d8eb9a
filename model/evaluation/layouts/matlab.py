"""Data sets in MATLAB's files (version 5): IIIT-STR, SynthText, Total-Text.

| layout | variables |
|---|---|
| iiit-str | `data.mat`: `data`, for each query the word and the names of its photos in `imgDatabase` |
| synthtext | `gt.mat`: `imnames`; `wordBB`, 2 x 4 x words, clockwise; `txt`, lines of these words |
| total-text | a file for each photo: `polygt` or `gt`, rows of `x:`, x, `y:`, y, text, orientation |
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import scipy.io
from numpy.typing import NDArray

from model.evaluation.layouts.pictures import Pictures, is_picture
from model.evaluation.layouts.text_files import photo_stem, polygon_word
from model.evaluation.records import Dataset, Photo, Word


def read_iiit_str(path: Path, images: Path | None) -> Dataset:
    """Return the photos and queries of IIIT-STR.

    Args:
        path: `data.mat`, or the folder that holds it.
        images: Folder of the photos; by default `imgDatabase` beside the file.

    Raises:
        ValueError: file or folder are not as described above; names the file and the entry.
    """
    path = path / "data.mat" if path.is_dir() else path
    data = _variables(path, "data")[0]
    folder = images or path.parent / "imgDatabase"
    texts: dict[str, list[str]] = defaultdict(list)
    queries = []
    for number, entry in enumerate(data.reshape(-1), start=1):
        try:
            word, names = _text(entry[0]), [_text(name) for name in np.asarray(entry[1]).reshape(-1)]
        except (IndexError, TypeError, ValueError) as exc:
            raise ValueError(f"{path}, entry {number}: it is not a word and the names of photos") from exc
        lost = [name for name in names if not (folder / name).is_file()]
        if lost or not names:
            reason = f"there is no photo {folder / lost[0]}" if lost else f"{word!r} has no photos"
            raise ValueError(f"{path}, entry {number}: {reason}")
        queries.append(word)
        for name in names:
            texts[name].append(word)
    pictures = sorted(picture for picture in folder.iterdir() if is_picture(picture))
    return Dataset([Photo(p.name, p, [], tuple(texts[p.name])) for p in pictures], queries)


def read_synthtext(path: Path, images: Path | None) -> Dataset:
    """Return the photos of SynthText, whose words are made when they are asked for: there are seven million.

    Args:
        path: `gt.mat`, or the folder that holds it.
        images: Folder of the photos; by default that of the file.

    Raises:
        ValueError: the file is not as described above; names the file and the entry.
    """
    path = path / "gt.mat" if path.is_dir() else path
    columns = [column.reshape(-1) for column in _variables(path, "imnames", "wordBB", "txt")]
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"{path}: imnames, wordBB and txt differ in length")
    photos = []
    for number, (name, corners, lines) in enumerate(zip(*columns, strict=True), start=1):
        try:
            words = CompactWords(_quads(corners), [w for line in np.ravel(lines) for w in str(line).split()])
            photos.append(Photo(_text(name), (images or path.parent) / _text(name), words))
        except (TypeError, ValueError) as exc:
            raise ValueError(f"{path}, entry {number}: {exc}") from exc
    return Dataset(photos)


def read_total_text(folder: Path, images: Path | None) -> Dataset:
    """Return the photos of a folder of Total-Text's files.

    Args:
        folder: Of the files.
        images: Folder of the photos; see `Pictures`.

    Raises:
        ValueError: a file is not as described above, or its photo cannot be found; names file and row.
    """
    pictures = Pictures(folder, images)
    photos = []
    for path in sorted(folder.glob("*.mat")):
        picture = pictures.of(path, photo_stem(path))
        words = []
        for number, row in enumerate(_rows(path), start=1):
            try:
                points = np.array([np.ravel(row[1]), np.ravel(row[3])], np.float32).T
                word = polygon_word(points, _text(row[4]) or "#", unreadable=_text(row[5]) == "#")
            except (IndexError, TypeError, ValueError) as exc:
                raise ValueError(f"{path}, row {number}: {exc}") from exc
            words += [word] if word else []
        photos.append(Photo(picture.name, picture, words))
    return Dataset(photos)


def variables(path: Path) -> list[str]:
    """Return the names of the variables in a file.

    Raises:
        ValueError: the file cannot be read.
    """
    return [name for name, *_ in _call(scipy.io.whosmat, path)]


class CompactWords(Sequence[Word]):
    """Words that are kept as one array and their texts."""

    def __init__(self, quads: NDArray[np.float32], texts: list[str]) -> None:
        """Keep corners (N, 4, 2) and N texts.

        Raises:
            ValueError: there are more of the one than of the other.
        """
        if len(quads) != len(texts):
            raise ValueError(f"there are {len(quads)} boxes and {len(texts)} words")
        self._quads = quads
        self._texts = "\n".join(texts)

    def __len__(self) -> int:
        return len(self._quads)

    @overload
    def __getitem__(self, index: int) -> Word: ...
    @overload
    def __getitem__(self, index: slice) -> list[Word]: ...
    def __getitem__(self, index: int | slice) -> Word | list[Word]:
        texts = self._texts.split("\n") if self._texts else []
        if isinstance(index, slice):
            chosen = zip(self._quads[index], texts[index], strict=True)
            return [Word.of_quad(quad, text) for quad, text in chosen]
        return Word.of_quad(self._quads[index], texts[index])


def _quads(corners: Any) -> NDArray[np.float32]:
    points = np.asarray(corners, np.float32)
    points = points[..., None] if points.ndim == 2 else points  # a single word
    if points.shape[:2] != (2, 4) or not np.isfinite(points).all():
        raise ValueError(f"wordBB has the shape {points.shape}")
    return np.ascontiguousarray(points.transpose(2, 1, 0))


def _rows(path: Path) -> Any:
    named = variables(path)
    name = next((name for name in ("polygt", "gt") if name in named), "polygt")
    return _variables(path, name)[0]


def _text(value: Any) -> str:
    """Return what an array in arrays says; an empty one says nothing."""
    while isinstance(value, np.ndarray):
        value = value.flat[0] if value.size else ""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return str(value)


def _variables(path: Path, *names: str) -> list[NDArray[Any]]:
    # SynthText's file has the characters' boxes too, many times as large as all else.
    found = _call(scipy.io.loadmat, path, variable_names=names)
    lost = [name for name in names if name not in found]
    if lost:
        raise ValueError(f"{path} has no {lost[0]}")
    return [found[name] for name in names]


def _call(function: Any, path: Path, **options: Any) -> Any:
    try:
        return function(path, **options)
    except NotImplementedError as exc:
        raise ValueError(f"{path} is of MATLAB 7.3; save it with -v7 to have it read") from exc
    except Exception as exc:  # scipy raises nearly everything on damaged files
        raise ValueError(f"{path} cannot be read: {exc}") from exc
