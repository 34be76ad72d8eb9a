from pathlib import Path

import pytest

from model.evaluation.dataset import read_dataset
from model.evaluation.layouts import folders
from tests.model.evaluation.layouts.conftest import Paint


def ctr(folder: Path, queries: str, **words: str) -> Path:
    (folder / "gts").mkdir()
    (folder / "queries.txt").write_text(queries, "utf-8")
    for name, text in words.items():
        (folder / "gts" / f"{name}.txt").write_text(text, "utf-8")
    return folder


def test_ctr_has_words_of_photos_and_queries(tmp_path: Path, paint: Paint) -> None:
    paint("images/a.jpg", "images/b.jpg")
    dataset = read_dataset(ctr(tmp_path, "stop\nbus\n", a="STOP\nother\n", b=""))
    assert dataset.queries == ["stop", "bus"]
    assert [(photo.name, photo.texts) for photo in dataset.photos] == [
        ("a.jpg", ("STOP", "other")),
        ("b.jpg", ()),
    ]
    assert dataset.photos[0].path == tmp_path / "images" / "a.jpg"


def test_ctr_must_be_whole(tmp_path: Path, paint: Paint) -> None:
    paint("images/a.jpg")
    with pytest.raises(ValueError, match=r"b.txt: no photo b"):
        folders.read_ctr(ctr(tmp_path, "stop", a="stop", b="stop"), None)
    (tmp_path / "queries.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"has no words in queries.txt"):
        folders.read_ctr(tmp_path, None)
    (tmp_path / "queries.txt").unlink()
    with pytest.raises(ValueError, match=r"queries.txt cannot be read"):
        folders.read_ctr(tmp_path, None)


def test_csvtr_has_a_folder_for_each_query(tmp_path: Path, paint: Paint) -> None:
    paint("七天/1.jpg", "七天/2.png", "银行/1.jpg")
    (tmp_path / ".hidden").mkdir()
    dataset = read_dataset(tmp_path)
    assert dataset.queries == ["七天", "银行"]
    assert [(photo.name, photo.texts) for photo in dataset.photos] == [
        ("七天/1.jpg", ("七天",)),
        ("七天/2.png", ("七天",)),
        ("银行/1.jpg", ("银行",)),  # another photo of the same name
    ]


def test_csvtr_has_no_empty_query(tmp_path: Path, paint: Paint) -> None:
    paint("一/1.jpg")
    (tmp_path / "二").mkdir()
    with pytest.raises(ValueError, match="二 has no photos"):
        folders.read_csvtr(tmp_path, None)
