import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rapidfuzz.distance import Levenshtein

from model.evaluation.dataset import read_photos
from model.training import tiles
from model.training.tiles import SIDE, draw_tile, vocabulary, write_tiles

WORDS = [f"{first}a{second}e" for first in "bdfghklmnprst" for second in "dklmnprstvz"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TRAINING": 3, "HELD_BACK": 2, "KNOWN": 40, "QUERIES": 12}.items():
        monkeypatch.setattr(tiles, name, value)


def test_half_of_what_is_asked_was_never_trained_on(few: None) -> None:
    known, asked = vocabulary([*WORDS, "A", "don't", "extraordinarily", "Zoë"], seed=0)
    assert len(known) == 40
    assert set(known) < set(WORDS)
    assert len(set(asked) - set(known)) >= 6
    assert len(set(asked) & set(known)) >= 6
    for word in asked:  # something to be confused with
        assert min(Levenshtein.distance(word, other) for other in asked if other != word) <= 2
    assert vocabulary(WORDS, seed=0) != vocabulary(WORDS, seed=1)


def test_words_lie_in_their_boxes_apart_from_each_other() -> None:
    picture, shown = draw_tile(np.random.default_rng(3), ["bade", "kale"])
    assert picture.size == (SIDE, SIDE)
    assert len(shown) > 5
    pixels = np.asarray(picture).astype(int)
    outside = np.ones((SIDE, SIDE), bool)
    for word in shown:
        x0, y0, x1, y1 = map(int, word["box"])
        assert 0 <= x0 < x1 <= SIDE
        assert 0 <= y0 < y1 <= SIDE
        assert np.abs(pixels[y0:y1, x0:x1] - pixels[0, 0]).max() > 20
        assert outside[y0:y1, x0:x1].all()
        outside[y0:y1, x0:x1] = False
        outside[max(0, y0 - 3) : y1 + 3, max(0, x0 - 3) : x1 + 3] = False
    assert (pixels[outside] == pixels[0, 0]).all()


def test_the_same_seed_gives_the_same_pictures(tmp_path: Path, few: None) -> None:
    assert len(list(write_tiles(tmp_path / "one", WORDS, 0))) == 5
    list(write_tiles(tmp_path / "two", WORDS, 0))
    for name, count in (("train", 3), ("test", 2)):
        photos = read_photos(tmp_path / "one" / f"{name}.jsonl")
        assert len(photos) == count
        lines = [(tmp_path / folder / f"{name}.jsonl").read_text() for folder in ("one", "two")]
        assert lines[0] == lines[1]
        image = json.loads(lines[0].splitlines()[0])["image"]
        with Image.open(tmp_path / "one" / image) as first, Image.open(tmp_path / "two" / image) as second:
            assert first.tobytes() == second.tobytes()
