from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.training import synthetic
from model.training.synthetic import load_words, render_scene, sample_word

WORDS = ["coffee", "Museum", "hotel", "street", "garden", "o'clock"]


def test_the_same_seed_gives_the_same_scene(font_file: Path) -> None:
    first, second, other = (
        render_scene(np.random.default_rng(seed), (160, 240), WORDS, [font_file], None) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.image, second.image)
    assert [word.text for word in first.words] == [word.text for word in second.words]
    assert first.image.shape == other.image.shape
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("photo", [None, np.full((50, 70, 3), 90, np.uint8)])  # drawn; smaller than the scene
def test_scenes_are_as_asked_and_quads_lie_inside(font_file: Path, photo: np.ndarray | None) -> None:
    words = 0
    for seed in range(8):
        scene = render_scene(np.random.default_rng(seed), (200, 320), WORDS, [font_file], photo)
        assert scene.image.shape == (200, 320, 3)
        assert scene.image.dtype == np.uint8
        for text, quad in scene.words:
            words += 1
            assert text
            assert quad.dtype == np.float32
            assert quad.shape == (4, 2)
            assert (quad >= 0).all()
            assert (quad <= (320, 200)).all()
            # Clockwise in a picture whose y axis points down: the shoelace sum is positive.
            x, y = quad.T
            assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0
    assert words > 20


def test_quads_enclose_all_ink_and_are_tight(font_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a flat photo, with plain black letters and a perfect camera, ink lies just where quads say."""
    monkeypatch.setattr(synthetic, "degrade", lambda rng, picture: picture)
    monkeypatch.setattr(synthetic, "contrasting_color", lambda rng, behind: (0, 0, 0))
    monkeypatch.setattr(
        synthetic, "_cut", lambda sheet, margin, plate, cut=synthetic._cut: cut(sheet, 1, None)
    )
    monkeypatch.setattr(synthetic, "Shadow", lambda *values: None)
    photo = np.full((300, 400, 3), 255, np.uint8)
    for seed in range(6):
        scene = render_scene(np.random.default_rng(seed), (300, 400), WORDS, [font_file], photo)
        ink = 255 - np.asarray(Image.fromarray(scene.image).convert("L"), int)
        seen = np.zeros_like(ink, bool)
        for _, quad in scene.words:
            x0, y0 = np.floor(quad.min(0) - 1.5).astype(int).clip(0)
            x1, y1 = np.ceil(quad.max(0) + 1.5).astype(int)
            seen[y0:y1, x0:x1] = True
            upright = Image.fromarray(ink.astype(np.uint8)).transform(
                (200, 100),
                Image.Transform.QUAD,
                quad[[0, 3, 2, 1]].ravel().tolist(),
                Image.Resampling.BILINEAR,
            )
            inside = np.asarray(upright)
            # Every side of the quad is touched by ink within a twelfth of its length or height.
            assert inside[:, :16].max() > 40
            assert inside[:, -16:].max() > 40
            assert inside[:9].max() > 40
            assert inside[-9:].max() > 40
        assert ink[~seen].max(initial=0) < 40


@pytest.mark.parametrize("charset", ["abcdefghijklmnopqrstuvwxyz", "0123456789", "ABCxyz.:"])
def test_words_consist_of_the_charset_when_asked(charset: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        word = sample_word(rng, WORDS, charset)
        assert word
        assert set(word) <= set(charset)


def test_without_a_list_every_word_is_made() -> None:
    rng = np.random.default_rng(2)
    made = [sample_word(rng, []) for _ in range(300)]
    assert all(made)
    assert not any(" " in word for word in made)
    assert any("%" in word for word in made)
    assert any(":" in word for word in made)


def test_a_charset_without_any_known_character_is_refused() -> None:
    with pytest.raises(ValueError, match="no word can be made"):
        sample_word(np.random.default_rng(0), WORDS, "")


def test_scene_words_follow_the_charset(font_file: Path) -> None:
    scene = render_scene(np.random.default_rng(1), (200, 200), WORDS, [font_file], None, charset="0123456789")
    assert scene.words
    assert all(word.text.isdigit() for word in scene.words)


def test_word_lists_are_read_in_order_without_repetition(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("café\n\nhotel\ntwo words\nhotel's\n", "utf-8")
    (tmp_path / "b.txt").write_text("hotel\n exit \n", "utf-8")
    assert load_words([tmp_path / "a.txt", tmp_path / "b.txt"]) == ["café", "hotel", "exit"]
    assert load_words([]) == []


def test_the_usual_list_of_words_is_said_to_be_a_package_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "ENGLISH", Path("/nowhere/words"))
    with pytest.raises(ValueError, match="apt install wamerican"):
        load_words([Path("/nowhere/words")])
