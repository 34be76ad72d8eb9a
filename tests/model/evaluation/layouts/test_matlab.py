from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from model.evaluation.dataset import read_dataset
from model.evaluation.layouts import matlab
from model.evaluation.layouts.matlab import CompactWords
from tests.model.evaluation.layouts.conftest import Paint

SQUARE = [[0, 8, 8, 0], [0, 0, 4, 4]]  # x, then y


def cells(*values: Any) -> np.ndarray:
    """Return values as MATLAB's cells."""
    array = np.empty((1, len(values)), object)
    for index, value in enumerate(values):
        array[0, index] = value
    return array


def iiit_str(path: Path, *queries: tuple[str, list[str]]) -> Path:
    data = np.zeros((1, len(queries)), [("query", object), ("imgs", object)])
    for index, (word, names) in enumerate(queries):
        data[0, index] = (cells(word), cells(*names).T)
    scipy.io.savemat(path, {"data": data})
    return path


def test_iiit_str_has_queries_and_their_photos(tmp_path: Path, paint: Paint) -> None:
    paint(*(f"imgDatabase/img_{number}.jpg" for number in (1, 2, 3)))
    iiit_str(
        tmp_path / "data.mat",
        ("coffee", ["img_1.jpg", "img_3.jpg"]),
        ("hotel", ["img_3.jpg"]),
    )
    dataset = read_dataset(tmp_path)
    assert dataset.queries == ["coffee", "hotel"]
    assert [(photo.name, photo.texts) for photo in dataset.photos] == [
        ("img_1.jpg", ("coffee",)),
        ("img_2.jpg", ()),  # shows no query, and has to be ranked below
        ("img_3.jpg", ("coffee", "hotel")),
    ]
    assert read_dataset(tmp_path / "data.mat").queries == dataset.queries


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([("coffee", ["img_1.jpg"]), ("hotel", ["img_9.jpg"])], r"data.mat, entry 2: there is no photo"),
        ([("coffee", [])], r"data.mat, entry 1: 'coffee' has no photos"),
    ],
)
def test_iiit_str_without_its_photos(
    tmp_path: Path, paint: Paint, queries: list[tuple[str, list[str]]], message: str
) -> None:
    paint("imgDatabase/img_1.jpg")
    with pytest.raises(ValueError, match=message):
        matlab.read_iiit_str(iiit_str(tmp_path / "data.mat", *queries), None)


def test_iiit_str_of_another_form(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "data.mat", {"data": np.arange(3.0)})
    with pytest.raises(ValueError, match=r"data.mat, entry 1: it is not a word and"):
        matlab.read_iiit_str(tmp_path, None)


def synthtext(folder: Path, **changes: Any) -> Path:
    two = np.stack([np.array(SQUARE, np.float32), np.array(SQUARE, np.float32) + 10], axis=2)
    values = {
        "imnames": cells("8/a.jpg", "9/b.jpg"),
        "wordBB": cells(two, np.array(SQUARE, np.float32)),  # a single word has no third dimension
        "txt": cells(np.array(["Lines:\n  of  ", "   "]), np.array(["one "])),
        "charBB": cells(0, 0),
    }
    scipy.io.savemat(folder / "gt.mat", values | changes)
    return folder


def test_synthtext_has_words_in_lines(tmp_path: Path) -> None:
    first, second = read_dataset(synthtext(tmp_path)).photos
    assert (first.name, first.path) == ("8/a.jpg", tmp_path / "8" / "a.jpg")
    assert [(word.text, word.box.tolist()) for word in first.words] == [
        ("Lines:", [0, 0, 8, 4]),
        ("of", [10, 10, 18, 14]),
    ]
    assert second.words[0].quad.tolist() == [[0, 0], [8, 0], [8, 4], [0, 4]]
    assert matlab.read_synthtext(tmp_path / "gt.mat", Path("x")).photos[0].path == Path("x/8/a.jpg")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"txt": cells(np.array(["a b"]), np.array(["a b"]))}, "entry 2: there are 1 boxes and 2 words"),
        ({"wordBB": cells(np.zeros((2, 3)), np.zeros((2, 4)))}, r"entry 1: wordBB has the shape \(2, 3, 1\)"),
        ({"imnames": cells("a")}, "differ in length"),
        ({"imnames": cells(5, 6)}, "entry 1: .* is no text"),
    ],
)
def test_synthtext_of_another_form(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"gt.mat(,|:) .*{message.removeprefix('entry ')}"):
        matlab.read_synthtext(synthtext(tmp_path, **changes), None)


def total_text(folder: Path, rows: list[list[Any]], name: str = "polygt") -> None:
    table = np.empty((len(rows), 6), object)
    for index, row in enumerate(rows):
        table[index] = row
    scipy.io.savemat(folder / "poly_gt_img1.mat", {name: table})


@pytest.mark.parametrize("name", ["polygt", "gt"])  # the first edition and the second
def test_total_text_has_polygons(tmp_path: Path, paint: Paint, name: str) -> None:
    paint("img1.jpg")
    x, y = np.array([SQUARE[0]]), np.array([SQUARE[1]])
    total_text(
        tmp_path,
        [
            ["x:", x, "y:", y, "PETROSAINS", "c"],
            ["x:", x, "y:", y, "#", "#"],
            ["x:", x, "y:", y, np.array([]), np.array([])],  # nothing written down
            ["x:", np.array([[3]]), "y:", np.array([[3]]), "#", "#"],  # without an area: left out
        ],
        name,
    )
    (photo,) = read_dataset(tmp_path).photos
    assert [(word.text, word.ignore) for word in photo.words] == [
        ("PETROSAINS", False),
        ("#", True),
        ("#", True),
    ]
    assert photo.words[0].box.tolist() == [0, 0, 8, 4]


def test_a_broken_row_is_named(tmp_path: Path, paint: Paint) -> None:
    paint("img1.jpg")
    x = np.array([SQUARE[0]])
    total_text(tmp_path, [["x:", x, "y:", x, "a", "c"], ["x:", x, "y:", x[:, :2], "b", "c"]])
    with pytest.raises(ValueError, match=r"poly_gt_img1.mat, row 2: "):
        matlab.read_total_text(tmp_path, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "gt.mat cannot be read"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(64), "gt.mat is of MATLAB 7.3"),
        (None, "gt.mat has no imnames"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "gt.mat"
    if content is None:
        scipy.io.savemat(path, {"other": 1})
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        matlab.read_synthtext(path, None)


def test_compact_words_are_a_sequence() -> None:
    words = CompactWords(np.arange(24, dtype=np.float32).reshape(3, 4, 2), ["a", "b", "c"])
    assert len(words) == 3
    assert [word.text for word in words] == [word.text for word in words[:]] == ["a", "b", "c"]
    assert words[-1].text == "c"
    assert words[1].quad[0].tolist() == [8, 9]
    assert list(CompactWords(np.zeros((0, 4, 2), np.float32), [])) == []
    assert CompactWords(np.zeros((0, 4, 2), np.float32), [])[:] == []
