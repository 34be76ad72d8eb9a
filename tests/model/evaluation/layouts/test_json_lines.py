import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.evaluation.dataset import read_dataset, read_photos
from model.evaluation.layouts.json_lines import PhotoLines, line_of

QUAD = [[1, 2], [9, 2], [9, 6], [1, 6]]


def write(path: Path, *entries: object) -> Path:
    path.write_text(
        "\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries), "utf-8"
    )
    return path


def test_a_word_has_place_text_and_flag(tmp_path: Path) -> None:
    words = [
        {"quad": QUAD, "box": [1, 2, 9, 6], "text": "Café\u2028bar", "ignore": False},
        {"quad": QUAD, "text": "###", "ignore": True},
        {"box": [1, 2, 9, 6]},
    ]
    path = write(
        tmp_path / "set.jsonl", {"image": "1.png", "words": words}, "", {"image": "2.png", "words": []}
    )
    first, second = read_photos(path)
    assert (first.name, second.words) == ("1.png", [])
    assert [(word.text, word.ignore) for word in first.words] == [
        ("Café\u2028bar", False),
        ("###", True),
        (None, False),
    ]
    for word in first.words:
        assert word.quad.dtype == np.float32
        np.testing.assert_array_equal(word.quad, QUAD)
        np.testing.assert_array_equal(word.box, [1, 2, 9, 6])


@pytest.mark.parametrize("folder", ["", "set"])  # beside the file, and in a folder of its name
def test_photos_are_found_and_upright(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.new("L", (30, 20), 200).save(tmp_path / folder / "a.png", exif=exif)
    photo = read_photos(write(tmp_path / "set.jsonl", {"image": "a.png", "words": []}))[0]
    assert photo.pixels().shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: Expecting"),
        ("[]", "line 2"),
        ('{"words": []}', "line 2: 'image' is missing"),
        ('{"image": "a.png"}', "line 2: 'words' is missing"),
        ('{"image": 3, "words": []}', "line 2: image is 3"),
        ('{"image": "a.png", "words": [{"text": "x"}]}', "line 2: 'box' is missing"),
        ('{"image": "a.png", "words": [{"box": [1, 2, 3]}]}', "line 2: quad or box is"),
        ('{"image": "a.png", "words": [{"quad": [[1], [2, 3]]}]}', "line 2: quad is"),
        ('{"image": "a.png", "words": [{"box": [1, 2, 3, NaN]}]}', "line 2: quad or box is"),
        ('{"image": "a.png", "words": [{"box": [1, 2, 3, 4], "text": 5}]}', "line 2: text is 5"),
        ('{"image": "a.png", "words": 7}', "line 2"),
        ('{"image": "a.png", "words": [], "texts": "x"}', "line 2: texts is 'x'"),
        ('{"image": "a.png", "words": [], "texts": [5]}', "line 2: texts is"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "set.jsonl", {"image": "1.png", "words": []}, line)
    with pytest.raises(ValueError, match=f"set.jsonl, {message}"):
        read_photos(path)


def test_a_file_must_hold_photos(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none.jsonl cannot be read"):
        read_photos(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=r"empty.jsonl has no photos"):
        read_photos(write(tmp_path / "empty.jsonl", ""))


def test_words_without_a_place_and_photos_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", {"image": "a.png", "texts": ["bar", "baz"]})
    (tmp_path / "elsewhere").mkdir()
    (photo,) = read_dataset(path, images=tmp_path / "elsewhere").photos
    assert photo.texts == ("bar", "baz")
    assert photo.path == tmp_path / "elsewhere" / "a.png"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    words = [{"quad": QUAD, "box": [0, 2, 9, 6], "text": "Café\u2028東", "ignore": True}, {"quad": QUAD}]
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    source = write(tmp_path / "set.jsonl", {"image": "a.png", "words": words, "texts": ["bar"]})
    (photo,) = read_photos(source)
    out = tmp_path / "deep" / "out.jsonl"
    out.parent.mkdir()
    out.write_text(line_of(photo, out.parent, scores=[0.5, 0.25]), "utf-8")
    assert [word["score"] for word in json.loads(out.read_text("utf-8"))["words"]] == [0.5, 0.25]
    (again,) = read_photos(out)
    assert again.pixels().shape == (2, 3, 3)
    assert again.texts == photo.texts
    for first, second in zip(photo.words, again.words, strict=True):
        np.testing.assert_array_equal(first.quad, second.quad)
        np.testing.assert_array_equal(first.box, second.box)
        assert (first.text, first.ignore) == (second.text, second.ignore)


def test_photos_can_be_read_one_by_one(tmp_path: Path) -> None:
    words = [{"quad": QUAD, "text": text} for text in ("Café\u2028bar", "x")]
    entries = [{"image": f"{index}.png", "words": words[: index + 1]} for index in range(2)]
    path = write(tmp_path / "set.jsonl", entries[0], "", entries[1], "")
    photos = pickle.loads(pickle.dumps(PhotoLines(path)))  # as it goes to the processes that draw
    assert len(photos) == 2
    assert [photo.name for photo in photos] == ["0.png", "1.png"]
    assert [word.text for word in photos[1].words] == ["Café\u2028bar", "x"]
    assert [photo.name for photo in photos[1:]] == ["1.png"]
    assert photos[0].words[0].quad.tolist() == QUAD


def test_reading_one_by_one_tells_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.jsonl cannot be read"):
        PhotoLines(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=r"empty\.jsonl has no photos"):
        PhotoLines(write(tmp_path / "empty.jsonl", ""))
    with pytest.raises(ValueError, match=r"wrong\.jsonl, line 1: 'words' is missing"):
        PhotoLines(write(tmp_path / "wrong.jsonl", {"image": "1.png"}))[0]
