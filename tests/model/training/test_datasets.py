import json
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.evaluation.dataset import read_photos
from model.evaluation.layouts.json_lines import PhotoLines
from model.training.augment import Augmentation, View
from model.training.datasets import (
    Batch,
    Mix,
    PaperSource,
    PhotoSource,
    SceneSource,
    Views,
    loader,
    read_word_crops,
    text_free_cuts,
)
from model.training.lettering import find_fonts

VIEW = Augmentation(size=64, longer_side=(80, 120))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos, one of them without a readable word, its right half free of text."""
    path = tmp_path / "train.jsonl"
    entries = []
    for index, ignore in enumerate((False, True, False)):
        Image.new("RGB", (120, 80), (90 * index, 0, 0)).save(tmp_path / f"{index}.png")
        words = [{"box": [10, 10, 50, 24], "text": f"word{index}", "ignore": ignore}]
        entries.append(json.dumps({"image": f"{index}.png", "words": words}))
    path.write_text("\n".join(entries))
    return path


@dataclass(frozen=True)
class Numbers:
    """A source of views with a random text."""

    def draw(self, rng: np.random.Generator) -> View:
        number = str(rng.integers(10**9))
        return View(
            np.zeros((8, 8, 3), np.uint8), np.zeros((1, 4, 2), np.float32), [number], np.zeros(1, bool)
        )


def texts(batches: list[Batch]) -> list[str | None]:
    return [text for batch in batches for view in batch.views for text in view.texts]


def test_photos_without_words_are_left_out(photos: Path) -> None:
    source = PhotoSource.read(photos, VIEW)
    assert [photo.name for photo in source.photos] == ["0.png", "2.png"]
    view = source.draw(np.random.default_rng(0))
    assert view.image.shape == (64, 64, 3)
    assert set(view.texts) <= {"word0", "word2"}


def test_a_data_set_needs_words(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text('{"image": "a.png", "words": []}')
    with pytest.raises(ValueError, match=r"none.jsonl has no words"):
        PhotoSource.read(path, VIEW)


def test_scenes_are_views() -> None:
    fonts = find_fonts([Path("/usr/share/fonts")])[:3]
    if not fonts:
        pytest.skip("no fonts here")
    view = SceneSource(["Word", "other"], fonts, [], 128).draw(np.random.default_rng(3))
    assert view.image.shape == (128, 128, 3)
    assert len(view.texts) == len(view.quads) == len(view.ignore)
    assert not view.ignore.any()


def test_a_mix_keeps_the_shares() -> None:
    class Named(Numbers):
        def draw(self, rng: np.random.Generator) -> View:
            return View(
                np.zeros((8, 8, 3), np.uint8), np.zeros((1, 4, 2), np.float32), ["named"], np.zeros(1, bool)
            )

    rng = np.random.default_rng(0)
    mix = Mix([Named(), Numbers()], [3, 1])
    named = sum(mix.draw(rng).texts == ["named"] for _ in range(400))
    assert 270 < named < 330


def test_streams_depend_on_seed_and_start() -> None:
    def first(seed: int, start: int) -> list[str | None]:
        return [view.texts[0] for view in islice(Views(Numbers(), seed, start), 5)]

    assert first(1, 0) == first(1, 0)
    assert len({*first(1, 0), *first(2, 0), *first(1, 7)}) == 15


def test_batches_hold_float_images_and_views() -> None:
    batches = list(islice(loader(Numbers(), batch=3, workers=0, seed=0), 4))
    assert all(batch.images.shape == (3, 3, 8, 8) and batch.images.is_floating_point() for batch in batches)
    assert len(set(texts(batches))) == 12


SEVERAL_PROCESSES = """
from itertools import islice
from tests.model.training.test_datasets import Numbers, loader, texts

if __name__ == "__main__":
    batches = list(islice(loader(Numbers(), batch=3, workers=2, seed=0), 4))
    print(len(set(texts(batches))))
"""


def test_no_process_of_several_repeats_another(tmp_path: Path) -> None:
    # A program of its own: when torch ends the processes of a loader, its handlers may end all tests.
    script = tmp_path / "several.py"
    script.write_text(SEVERAL_PROCESSES)
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "12", done.stderr


def test_word_crops_are_photos_of_one_word(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(
        '{"image": "1.png", "width": 40, "height": 12, "text": "Bar"}\n\n'
        '{"image": "2.png", "width": 40, "height": 9, "text": "Foo", '
        '"quad": [[1, 0], [39, 2], [39, 9], [1, 7]]}'
    )
    first, second = read_word_crops(path)
    assert first.path == tmp_path / "1.png"
    np.testing.assert_array_equal(first.words[0].quad, [[0, 0], [40, 0], [40, 12], [0, 12]])
    assert second.words[0].quad[1].tolist() == [39, 2]
    assert [crop.words[0].text for crop in (first, second)] == ["Bar", "Foo"]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"image": "1.png", "text": "x"}', '{"image": "1.png", "width": 4, "height": 5}']
)
def test_a_broken_crop_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("\n" + line)
    with pytest.raises(ValueError, match=r"train.jsonl, line 2"):
        read_word_crops(path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_word_crops(tmp_path / "none.jsonl")


def test_cuts_are_free_of_text(photos: Path) -> None:
    cuts = text_free_cuts(read_photos(photos), 48, seed=0, limit=2)
    assert len(cuts) == 2
    assert all(cut.shape == (48, 48, 3) for cut in cuts)
    assert text_free_cuts(read_photos(photos), 300, seed=0, limit=2) == []


@pytest.mark.parametrize("augmentation", [None, VIEW])
def test_photos_of_the_paper_are_drawn_whole_or_in_part(
    photos: Path, augmentation: Augmentation | None
) -> None:
    source = PaperSource(PhotoLines(photos), 64, augmentation)
    views = [source.draw(np.random.default_rng(seed)) for seed in range(12)]
    assert {view.image.shape for view in views} == {(64, 64, 3)}
    shown = [
        text for view in views for text, ignore in zip(view.texts, view.ignore, strict=True) if not ignore
    ]
    assert set(shown) == {"word0", "word2"}  # where nothing can be read, another photo is drawn
    again = source.draw(np.random.default_rng(3))
    np.testing.assert_array_equal(again.image, views[3].image)
