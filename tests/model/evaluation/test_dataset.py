import json
from pathlib import Path

import pytest
import scipy.io
from PIL import Image

from model.evaluation.dataset import LAYOUTS, read_dataset, read_photos


def test_a_layout_that_is_named_is_not_guessed(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "1.png")
    (tmp_path / "1.txt").write_text("0,0,1,0,1,1,0,1,Latin,word")
    texts = [read_dataset(tmp_path, name).photos[0].words[0].text for name in (None, "mlt", "icdar2015")]
    assert texts == ["word", "word", "Latin,word"]


@pytest.mark.parametrize(
    ("name", "layout", "message"),
    [
        ("nowhere", None, "nowhere cannot be read: there is no such file or folder"),
        ("set.jsonl", "nonsense", f"'nonsense' is no layout; there are {', '.join(LAYOUTS)}"),
        ("set.jsonl", "mlt", "set.jsonl is no folder; a data set of the layout mlt is one"),
        (".", "json-lines", "is a folder; name the file of JSON lines"),
        ("other", None, "other has none of the known layouts"),  # an empty folder
        ("other.mat", None, "other.mat has none of the known layouts"),
        ("other", "icdar2015", "other has no photos"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, layout: str | None, message: str) -> None:
    (tmp_path / "set.jsonl").write_text(json.dumps({"image": "a.png", "words": []}))
    (tmp_path / "other").mkdir()
    scipy.io.savemat(tmp_path / "other.mat", {"x": 1})
    with pytest.raises(ValueError, match=message):
        read_dataset(tmp_path / name, layout)


def test_photos_alone(tmp_path: Path) -> None:
    path = tmp_path / "any-name"
    path.write_text(json.dumps({"image": "a.png", "words": []}))
    assert [photo.name for photo in read_photos(path)] == ["a.png"]


def test_the_folder_of_the_photos_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere is no folder of photos"):
        read_dataset(tmp_path, images=tmp_path / "nowhere")
