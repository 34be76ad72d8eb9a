from pathlib import Path

import pytest

from model.evaluation.dataset import read_dataset
from model.evaluation.layouts import svt

TAGGED = '<taggedRectangle height="75" width="236" x="375" y="253"><tag>{}</tag></taggedRectangle>'


def write(path: Path, *images: str) -> Path:
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?><tagset>{"".join(images)}</tagset>')
    return path


def image(name: str, *words: str) -> str:
    tagged = "".join(TAGGED.format(word) for word in words)
    return (
        f"<image><imageName>{name}</imageName><address>1 Street</address><lex>LIVING,ROOM,OTHER</lex>"
        f'<Resolution x="1280" y="880"/><taggedRectangles>{tagged}</taggedRectangles></image>'
    )


def test_words_are_read_and_searched_for(tmp_path: Path) -> None:
    path = write(tmp_path / "test.xml", image("img/14_03.jpg", "ROOM", "LIVING"), image("img/1.jpg", "ROOM"))
    dataset = read_dataset(path)
    assert dataset.queries == ["LIVING", "ROOM"]  # each word once, those of the lexicon not
    first = dataset.photos[0]
    assert (first.name, first.path) == ("img/14_03.jpg", tmp_path / "img" / "14_03.jpg")
    assert [(word.text, word.box.tolist()) for word in first.words] == [
        ("ROOM", [375, 253, 611, 328]),
        ("LIVING", [375, 253, 611, 328]),
    ]
    assert read_dataset(tmp_path).queries == dataset.queries  # the folder, of one file
    assert read_dataset(path, images=tmp_path.parent).photos[0].path == tmp_path.parent / "img/14_03.jpg"


def test_a_folder_with_both_files_needs_a_name(tmp_path: Path) -> None:
    for name in ("train.xml", "test.xml"):
        write(tmp_path / name, image("a.jpg", "A"))
    with pytest.raises(ValueError, match=r"has both train.xml and test.xml; name the file"):
        svt.read(tmp_path, None)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("<image></image>", "image 2: imageName is missing"),
        (image("a.jpg", ""), "image 2: tag is missing"),
        (image("a.jpg", "A").replace(' x="375"', ""), "image 2: 'A' has no 'x'"),
        (image("a.jpg", "A").replace("375", "left"), "image 2: could not convert"),
    ],
)
def test_a_broken_image_is_named(tmp_path: Path, broken: str, message: str) -> None:
    path = write(tmp_path / "test.xml", image("good.jpg", "A"), broken)
    with pytest.raises(ValueError, match=f"test.xml, {message}"):
        svt.read(path, None)


def test_a_file_that_is_no_xml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "test.xml"
    path.write_text("<image>")
    with pytest.raises(ValueError, match=r"test.xml cannot be read"):
        svt.read(path, None)
