from pathlib import Path

import numpy as np
import pytest

from model.evaluation.dataset import read_dataset
from model.evaluation.layouts import text_files
from model.evaluation.records import Word
from tests.model.evaluation.layouts.conftest import Paint

BOM = "\ufeff"
LINES = {  # a file of each layout, and what it says: text, box, unreadable
    "icdar2013": (
        '38, 43, 920, 215, "Tiredness"\r\n\r\n158 128 411 181 "say "hi", 5"\r\n',
        [("Tiredness", [38, 43, 920, 215], False), ('say "hi", 5', [158, 128, 411, 181], False)],
    ),
    "icdar2015": (
        BOM + "10,5,30,5,30,15,10,15,Hello, you\r\n0,0,9,1,9,4,0,3,###\r\n1,1,2,1,2,2,1,2,\r\n",
        [
            ("Hello, you", [10, 5, 30, 15], False),
            ("###", [0, 0, 9, 4], True),
            ("", [1, 1, 2, 2], False),
        ],
    ),
    "mlt": (
        "1,1,9,1,9,5,1,5,Latin,one, two\n1,6,9,6,9,9,1,9,Korean,서울\n0,0,1,0,1,1,0,1,None,###\n",
        [("one, two", [1, 1, 9, 5], False), ("서울", [1, 6, 9, 9], False), ("###", [0, 0, 1, 1], True)],
    ),
    "total-text": (
        "x: [[0 2 4 6 5 4\n  2 1]], y: [[4 0 0 4 5 2 2 5]], ornt: [u'c'], transcriptions: [u\"Joe's\"]\n"
        "x: [[1 9 9 1]], y: [[1 1 5 5]], ornt: [u'#'], transcriptions: [u'#']\n"
        "x: [[1 9 9 1]], y: [[1 1 5 5]], ornt: [u'm'], transcriptions: [u'caf\\xe9']\n"
        "x: [[ 7]], y: [[3]], ornt: [u'#'], transcriptions: [u'#']\n",  # without an area: left out
        [("Joe's", [0, 0, 6, 5], False), ("#", [1, 1, 9, 5], True), ("café", [1, 1, 9, 5], False)],
    ),
}
READERS = {
    "icdar2013": text_files.read_icdar2013,
    "icdar2015": text_files.read_icdar2015,
    "mlt": text_files.read_mlt,
    "total-text": text_files.read_total_text,
}


def write(folder: Path, text: str, name: str = "gt_img_1.txt") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(text.encode())
    return folder


def told(word: Word) -> tuple[str | None, list[float], bool]:
    return word.text, word.box.tolist(), word.ignore


@pytest.mark.parametrize("layout", LINES)
def test_each_layout_is_recognised_and_read(tmp_path: Path, paint: Paint, layout: str) -> None:
    text, words = LINES[layout]
    paint("images/img_1.jpg", "images/img_2.jpg")
    folder = write(tmp_path / "gts", text)
    write(folder, "", "gt_img_2.txt")  # a photo without words
    assert text_files.recognise(folder) == layout
    first, second = read_dataset(folder).photos
    assert (first.name, first.path) == ("img_1.jpg", (tmp_path / "images" / "img_1.jpg").resolve())
    assert [told(word) for word in first.words] == words
    assert list(second.words) == []
    assert all(word.quad.shape == (4, 2) and word.quad.dtype == np.float32 for word in first.words)


def test_corners_keep_their_order(tmp_path: Path, paint: Paint) -> None:
    paint("img_1.png")
    folder = write(tmp_path, "9,9,1,9,1,1,9,1,upside down\n")
    (word,) = text_files.read_icdar2015(folder, None).photos[0].words
    assert word.quad.tolist() == [[9, 9], [1, 9], [1, 1], [9, 1]]


@pytest.mark.parametrize(
    ("layout", "text", "message"),
    [
        ("icdar2013", '1, 2, 3, 4, "a"\n1, 2, 3, "b"', "line 2: .* is not x0, y0, x1, y1"),
        ("icdar2013", "1, 2, 3, 4, a", "line 1: .* is not x0"),  # without quotes
        ("icdar2015", "1,1,2,1,2,2,1,2,a\n\n1,1,2,1,2,2,a", "line 3: .* is not x, y four times"),
        ("icdar2015", "1,1,2,1,2,2,1,x,a", "line 1: could not convert string to float"),
        ("icdar2015", "1,1,2,1,2,2,1,nan,a", "line 1: .* are no corners"),
        ("mlt", "1,1,2,1,2,2,1,2,Latin", "line 1: .* the script and the text"),
        ("total-text", LINES["total-text"][0] + "x: [[1 2]]", "line 6: .* is not x, y, ornt"),
        ("total-text", "x: [[1 2]], y: [[1 2]], ornt: [u'c'], transcriptions: [u'a']", "line 1: .* 2 points"),
        ("total-text", "x: [[1 2 3]], y: [[1 2]], ornt: [u'c'], transcriptions: [u'a']", "line 1: "),
        (
            "total-text",
            "\nx: [[1 2 a]], y: [[1 2 3]], ornt: [u'c'], transcriptions: [u'a']",
            "line 2: could not",
        ),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, paint: Paint, layout: str, text: str, message: str) -> None:
    paint("img_1.png")
    with pytest.raises(ValueError, match=f"gt_img_1.txt, {message}"):
        READERS[layout](write(tmp_path, text), None)


def test_a_file_that_is_no_text_is_named(tmp_path: Path, paint: Paint) -> None:
    paint("img_1.png")
    (tmp_path / "gt_img_1.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"gt_img_1.txt cannot be read"):
        text_files.read_icdar2015(tmp_path, None)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("gt_img_1.txt", "img_1"),  # ICDAR
        ("poly_gt_img1.mat", "img1"),  # Total-Text
        ("tr_img_00001.txt", "tr_img_00001"),  # MLT 2019
        ("gt_100.txt", "100"),  # ICDAR 2013, training
    ],
)
def test_photos_are_named_by_their_files(name: str, stem: str) -> None:
    assert text_files.photo_stem(Path(name)) == stem


@pytest.mark.parametrize("text", ["", "hello\n", "1,2,3\n"])
def test_other_text_is_of_no_layout(tmp_path: Path, text: str) -> None:
    assert text_files.recognise(write(tmp_path, text)) is None


def test_words_of_total_text_without_a_text_are_unreadable(tmp_path: Path, paint: Paint) -> None:
    paint("img1.png")
    line = "x: [[1 9 9 1]], y: [[1 1 5 5]], ornt: [], transcriptions: []\n"
    (word,) = text_files.read_total_text(write(tmp_path, line, "poly_gt_img1.txt"), None).photos[0].words
    assert word.ignore
