import numpy as np
import pytest
from PIL import Image

from model.evaluation.records import Photo, Word, hull, quad_around


def corners(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, np.float32)


def test_box_and_corners_follow_from_each_other() -> None:
    word = Word.of_box(np.array([1, 2, 9, 6], np.float32), "a")
    np.testing.assert_array_equal(word.quad, [[1, 2], [9, 2], [9, 6], [1, 6]])
    slanted = corners((2, 0), (4, 2), (2, 4), (0, 2))
    np.testing.assert_array_equal(Word.of_quad(slanted, None).box, [0, 0, 4, 4])
    np.testing.assert_array_equal(hull(slanted), [0, 0, 4, 4])


@pytest.mark.parametrize(
    ("polygon", "quad"),
    [
        # a rectangle is its own
        (corners((0, 0), (4, 0), (4, 2), (0, 2)), [[0, 0], [4, 0], [4, 2], [0, 2]]),
        # an arch that reads from left to right
        (
            corners((0, 4), (2, 0), (4, 0), (6, 4), (5, 5), (4, 2), (2, 2), (1, 5)),
            [[0, 0], [6, 0], [6, 5], [0, 5]],
        ),
        # reads upwards
        (corners((0, 9), (0, 0), (3, 0), (3, 9)), [[0, 9], [0, 0], [3, 0], [3, 9]]),
        # an odd number of points
        (corners((0, 0), (4, 0), (8, 0), (8, 2), (0, 2)), [[0, 0], [8, 0], [8, 2], [0, 2]]),
        # no direction
        (corners((1, 1), (1, 1), (1, 1)), [[1, 1], [1, 1], [1, 1], [1, 1]]),
    ],
)
def test_a_polygon_has_corners_along_its_direction(polygon: np.ndarray, quad: list[list[float]]) -> None:
    found = quad_around(polygon)
    assert found.dtype == np.float32
    if len(polygon) == 5:  # its direction is that of five points, nearly that of the word
        np.testing.assert_allclose(found, quad, atol=2.5)
    else:
        np.testing.assert_allclose(found, quad, atol=1e-5)


def test_readable_words_are_those_with_a_place_and_those_without(tmp_path: object) -> None:
    quad = corners((0, 0), (1, 0), (1, 1), (0, 1))
    words = [Word.of_quad(quad, "Café"), Word.of_quad(quad, "###", ignore=True), Word.of_quad(quad, None)]
    assert Photo("a", None, words, ("bar",)).readable() == ["Café", "bar"]  # type: ignore[arg-type]


def test_pixels_are_colour_and_upright(tmp_path) -> None:  # type: ignore[no-untyped-def]
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.new("L", (30, 20), 200).save(tmp_path / "a.png", exif=exif)
    pixels = Photo("a", tmp_path / "a.png", []).pixels()
    assert (pixels.shape, pixels.dtype) == ((30, 20, 3), np.uint8)
