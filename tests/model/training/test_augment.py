import numpy as np
import pytest

from model.evaluation.dataset import Word
from model.training.augment import Augmentation, random_view, visible_share, whole_view


def word(x0: float, y0: float, x1: float, y1: float, *, text: str | None = "x", ignore: bool = False) -> Word:
    quad = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
    return Word(quad, np.array([x0, y0, x1, y1], np.float32), text, ignore)


def photo_with_white_word() -> tuple[np.ndarray, Word]:
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[100:160, 120:280] = 255
    return pixels, word(120, 100, 280, 160)


@pytest.mark.parametrize("seed", range(8))
def test_quads_follow_the_pixels(seed: int) -> None:
    pixels, white = photo_with_white_word()
    settings = Augmentation(size=512, longer_side=(300, 500))
    view = random_view(np.random.default_rng(seed), pixels, [white], settings)
    assert view.image.shape == (512, 512, 3)
    assert view.image.dtype == np.uint8
    rows, columns = np.nonzero(view.image[..., 0] > 90)
    low, high = view.quads[0].min(0), view.quads[0].max(0)
    np.testing.assert_allclose([columns.min(), rows.min()], low, atol=4)
    np.testing.assert_allclose([columns.max() + 1, rows.max() + 1], high, atol=4)


def test_the_same_seed_gives_the_same_view() -> None:
    pixels, white = photo_with_white_word()
    first, second = (random_view(np.random.default_rng(5), pixels, [white], Augmentation()) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.quads, second.quads)


def test_ranges_are_kept() -> None:
    """First the turn, then the height: a word's edges are no longer at right angles."""
    pixels, white = photo_with_white_word()
    settings = Augmentation(size=640, longer_side=(400, 800), degrees=10, height=(0.8, 1.2))
    for seed in range(40):
        view = random_view(np.random.default_rng(seed), pixels, [white], settings)
        for quad in view.quads:
            along, down = (quad[1] - quad[0]) / 160, (quad[3] - quad[0]) / 60
            scale = np.hypot(along[0], down[0])  # widths stay as they are
            assert 0.99 <= scale <= 2.01
            assert 0.79 <= np.hypot(along[1], down[1]) / scale <= 1.21
            assert abs(np.degrees(np.arctan2(-down[0], along[0]))) <= 10.1


def test_as_in_the_paper_light_stays_and_sizes_are_even() -> None:
    pixels, white = photo_with_white_word()
    plain = Augmentation(size=640, longer_side=(100, 500), degrees=0, height=(1, 1), light=False, even=True)
    views = [random_view(np.random.default_rng(seed), pixels, [white], plain) for seed in range(300)]
    assert {view.image.max() for view in views} == {255}
    sides = [np.ptp(view.quads[0, :, 0]) / 160 * 400 for view in views]
    assert np.mean(sides) == pytest.approx(300, abs=25)  # 249 if their logarithms were even


def test_a_whole_photo_is_a_view_in_other_proportions() -> None:
    pixels, white = photo_with_white_word()
    hidden = word(0, 0, 40, 30, text="###", ignore=True)
    view = whole_view(pixels, [white, hidden], 200)
    assert view.image.shape == (200, 200, 3)
    assert view.quads[0].tolist() == pytest.approx(
        np.array([[60, 200 / 3], [140, 200 / 3], [140, 320 / 3], [60, 320 / 3]])
    )
    assert (view.texts, view.ignore.tolist()) == (["x", "###"], [False, True])
    assert view.image[80, 100, 0] == 255
    assert view.image[50, 100, 0] == 0
    assert whole_view(pixels, [], 32).quads.shape == (0, 4, 2)


def test_words_outside_are_dropped_and_cut_ones_ignored() -> None:
    pixels = np.zeros((640, 1280, 3), np.uint8)
    words = [word(x, 300, x + 100, 330, text=str(x)) for x in range(0, 1200, 40)]
    words.append(word(600, 100, 640, 130, text="###", ignore=True))
    settings = Augmentation(size=320, longer_side=(1280, 1280), degrees=0, height=(1, 1))
    view = random_view(np.random.default_rng(1), pixels, words, settings)
    share = visible_share(view.quads, 320)
    assert 0 < len(view.texts) < len(words)
    assert (share > 0).all()
    for text, ignore, visible in zip(view.texts, view.ignore, share, strict=True):
        assert ignore == (text == "###" or visible < settings.min_visible)


def test_a_photo_without_words_is_a_view() -> None:
    view = random_view(np.random.default_rng(0), np.zeros((50, 90, 3), np.uint8), [], Augmentation(size=64))
    assert (view.quads.shape, view.texts, view.ignore.shape) == ((0, 4, 2), [], (0,))
