from pathlib import Path
from typing import Any

import pytest

from app.annotating import Drawing, Found, find_all, show
from indexer.errors import ImageRejected
from model.charset import Charset
from model.evaluation.dataset import Photo, Word
from tests.app.conftest import MAX_PIXELS, spell
from tests.integration.conftest import RandomEncoder


class Network(RandomEncoder):
    """The random network with an alphabet."""

    charset = Charset()


def find(folder: Path, shown: str, *texts: str, words: list[Word] | None = None) -> Any:
    path = folder / "a.png"
    path.write_bytes(spell(shown))
    (found,) = find_all(Network(), [Photo("a", path, words or [], texts)], max_pixels=MAX_PIXELS)
    return found


def test_words_have_a_place_or_stay_without(tmp_path: Path) -> None:
    found = find(tmp_path, "coffee shop", "Shop", "東", "coffee", "tea")
    assert [(word.text, word.box.tolist()) for word in found.photo.words] == [
        ("Shop", [10, 0, 18, 4]),
        ("coffee", [0, 0, 8, 4]),
    ]
    assert found.photo.texts == ("tea", "東")
    assert found.transcripts == ["shop", "coffee"]
    assert found.scores == pytest.approx([1, 1], abs=1e-5)
    assert found.pixels.shape == (8, 64, 3)


def test_places_that_were_known_are_not_looked_at(tmp_path: Path) -> None:
    words = [Word.of_box(find(tmp_path, "bar", "bar").photo.words[0].box + 50, "bar")]
    assert find(tmp_path, "bar", words=words).photo.words[0].box.tolist() == [0, 0, 8, 4]


def test_what_is_no_photo_is_told(tmp_path: Path) -> None:
    photos = [Photo("a", tmp_path / "nowhere.png", [], ("a",))]
    (found,) = find_all(Network(), photos, max_pixels=MAX_PIXELS)
    assert isinstance(found, ImageRejected)
    with pytest.raises(ImageRejected):
        show(found, Drawing(None))


def test_a_drawing_takes_but_so_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = find(tmp_path, "bar", "bar", "tea")
    assert isinstance(found, Found)
    drawing = Drawing(tmp_path / "sheet.png")
    for _ in range(20):
        drawing.add(found)
    drawing.write()
    assert (tmp_path / "sheet.png").exists()
    Drawing(None).write()
    show(found, drawing)
    assert "no region is left" in capsys.readouterr().out
