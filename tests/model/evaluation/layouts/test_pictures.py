from pathlib import Path

import pytest

from model.evaluation.layouts.pictures import Pictures, is_picture
from tests.model.evaluation.layouts.conftest import Paint


@pytest.mark.parametrize(
    ("name", "known"), [("a.JPG", True), ("a.jpeg", True), ("a.txt", False), ("Thumbs.db", False)]
)
def test_pictures_are_known_by_their_ending(name: str, known: bool) -> None:
    assert is_picture(Path(name)) is known


@pytest.mark.parametrize(
    ("folder", "picture"),
    [
        ("gts", "gts/img_1.png"),  # beside the annotations
        ("test_gts", "test_images/img_1.jpg"),  # as ICDAR has it
        ("txt_format/Test", "Images/Test/img_1.png"),  # as Total-Text has it
    ],
)
def test_photos_near_the_annotations_are_found(
    tmp_path: Path, paint: Paint, folder: str, picture: str
) -> None:
    paint(picture)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    path = tmp_path / folder / "gt_img_1.txt"
    assert Pictures(tmp_path / folder, None).of(path, "img_1") == (tmp_path / picture).resolve()


def test_a_named_folder_is_looked_through_and_no_other(tmp_path: Path, paint: Paint) -> None:
    paint("train/img_1.png", "test/part/img_1.png")
    (tmp_path / "gts").mkdir()
    found = Pictures(tmp_path / "gts", tmp_path / "test").of(tmp_path / "gts" / "gt_img_1.txt", "img_1")
    assert found == tmp_path / "test" / "part" / "img_1.png"


def test_doubt_is_an_error_that_names_both(tmp_path: Path, paint: Paint) -> None:
    paint("train/img_1.png", "test/img_1.png")
    (tmp_path / "gts").mkdir()
    pictures = Pictures(tmp_path / "gts", None)
    with pytest.raises(ValueError, match=r"gt_img_1.txt: several photos img_1.* folder.*test.*train"):
        pictures.of(tmp_path / "gts" / "gt_img_1.txt", "img_1")
    with pytest.raises(ValueError, match=r"gt_img_2.txt: no photo img_2.* name the folder"):
        pictures.of(tmp_path / "gts" / "gt_img_2.txt", "img_2")
