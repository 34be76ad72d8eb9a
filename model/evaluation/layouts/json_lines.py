"""Our own layout: JSON lines, one photo a line.

    {"image": "images/1.jpg", "words": [{"quad": [[x, y] x 4], "box": [x0, y0, x1, y1], "text": "Café"}]}

Pixels of the upright photo. A quad runs clockwise from the reading start; of quad and box, one may be
missing. A word without `text` has a place only; one with `"ignore": true` is unreadable and counts neither
for nor against. Words in the photo whose place nobody knows stand in `"texts": ["Café"]`, beside `words` or
instead. Photos lie beside the file, or there in a folder of the file's name without `.jsonl`.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from model.evaluation.records import Dataset, Photo, Word


def read(path: Path, images: Path | None) -> Dataset:
    """Return the photos of a JSON lines file, in its order; `images` is the folder they lie in.

    Raises:
        ValueError: the file is missing, or a line is not as described above; names file and line.
    """
    return Dataset([_photo(path, images, line, text) for line, text in _lines(path)])


class PhotoLines(Sequence[Photo]):
    """The photos of a JSON lines file, each read when it is asked for: a million of them take 8 MB."""

    def __init__(self, path: Path) -> None:
        """Find where the lines begin.

        Raises:
            ValueError: the file is missing or empty.
        """
        self._path = path
        starts, place = [], 0
        try:
            with path.open("rb") as file:
                for line in file:
                    if line.strip():
                        starts.append(place)
                    place += len(line)
        except OSError as exc:
            raise ValueError(f"{path} cannot be read: {exc}") from exc
        if not starts:
            raise ValueError(f"{path} has no photos")
        self._starts = np.array(starts, np.int64)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Photo: ...
    @overload
    def __getitem__(self, index: slice) -> list[Photo]: ...
    def __getitem__(self, index: int | slice) -> Photo | list[Photo]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        with self._path.open("rb") as file:
            file.seek(int(self._starts[index]))
            text = file.readline().decode("utf-8", "replace")
        return _photo(self._path, None, index + 1, text)


def line_of(photo: Photo, folder: Path, scores: Sequence[float] | None = None) -> str:
    """Return the line of a photo in a JSON lines file that lies in a folder; the photo stays where it is.

    Args:
        photo: The photo.
        folder: In which the file is to lie.
        scores: How sure the places of the words are, if somebody wants to know.

    Raises:
        OSError: the photo would have to be looked at for its orientation, and cannot be read.
    """
    words = [_entry(word) for word in photo.upright().words]
    if scores is not None:
        words = [entry | {"score": round(score, 4)} for entry, score in zip(words, scores, strict=True)]
    entry = {"image": Path(os.path.relpath(photo.path, folder)).as_posix(), "words": words}
    if photo.texts:
        entry["texts"] = list(photo.texts)
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _entry(word: Word) -> dict[str, Any]:
    places: dict[str, Any] = {"quad": _rounded(word.quad), "box": _rounded(word.box)}
    text = {} if word.text is None else {"text": word.text}
    return places | text | {"ignore": word.ignore}


def _rounded(values: NDArray[np.float32]) -> Any:
    return values.astype(float).round(2).tolist()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ValueError(f"{path} cannot be read: {exc}") from exc
    # Not splitlines: a word may hold one of the other line breaks of Unicode.
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _photo(path: Path, images: Path | None, line: int, text: str) -> Photo:
    try:
        entry = json.loads(text)
        name = entry["image"]
        if not isinstance(name, str):
            raise TypeError(f"image is {name!r}")
        texts = _texts(entry.get("texts", []))
        words = [_word(word) for word in (entry.get("words", []) if texts else entry["words"])]
    except KeyError as exc:
        raise ValueError(f"{path}, line {line}: {exc} is missing") from exc
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{path}, line {line}: {exc}") from exc
    return Photo(name, images / name if images else _place(path, name), words, texts)


def _place(path: Path, name: str) -> Path:
    beside = path.parent / name
    return beside if beside.exists() else path.with_suffix("") / name


def _texts(value: Any) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"texts is {value!r}")
    return tuple(value)


def _word(entry: dict[str, Any]) -> Word:
    text = entry.get("text")
    if not isinstance(text, str | None):
        raise TypeError(f"text is {text!r}")
    ignore = bool(entry.get("ignore", False))
    if "quad" not in entry:
        return Word.of_box(_numbers(entry["box"], (4,), "quad or box"), text, ignore)
    quad = _numbers(entry["quad"], (4, 2), "quad")
    if "box" not in entry:
        return Word.of_quad(quad, text, ignore)
    return Word(quad, _numbers(entry["box"], (4,), "box"), text, ignore)


def _numbers(value: Any, shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    try:
        numbers = np.asarray(value, np.float32)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{name} is {value!r}") from exc
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise ValueError(f"{name} is {value!r}")
    return numbers
