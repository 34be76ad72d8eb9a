from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from model.training.lettering import (
    Shadow,
    Sheet,
    Word,
    find_fonts,
    homography,
    load_font,
    project,
    rectangle,
    word_mask,
)


def ink_box(image: Image.Image, background: tuple[int, int, int]) -> np.ndarray:
    """The box around everything that differs clearly from the background."""
    rows, columns = np.nonzero(np.abs(np.asarray(image.convert("RGB"), int) - background).max(-1) > 60)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_homography_takes_each_corner_to_its_target() -> None:
    target = np.array([[3, 4], [50, 9], [60, 44], [1, 30]], np.float32)
    matrix = homography(rectangle(0, 0, 10, 20), target)
    moved = project(matrix, rectangle(0, 0, 10, 20))
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, target, atol=1e-4)


def test_homography_refuses_points_on_one_line() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        homography([[0, 0], [1, 1], [2, 2], [3, 3]], rectangle(0, 0, 1, 1))


def test_quads_of_a_written_line_are_tight_to_each_word(font_file: Path) -> None:
    sheet = Sheet(400, 120, (255, 255, 255))
    sheet.write("pay Glyph", 200, 80, load_font(font_file, 48), (0, 0, 0), align=0.5)
    assert [word.text for word in sheet.words] == ["pay", "Glyph"]
    for word in sheet.words:
        x0, y0, x1, y1 = (int(value) for value in (*word.quad[0], *word.quad[2]))
        # The second word starts right of the first, so a cut around one holds nothing of the other.
        cut = sheet.image.crop((x0 - 4, y0 - 4, x1 + 4, y1 + 4))
        np.testing.assert_allclose(ink_box(cut, (255, 255, 255)), [4, 4, x1 - x0 + 4, y1 - y0 + 4], atol=1)


@pytest.mark.parametrize(
    "quad",
    [
        rectangle(40, 30, 240, 130),  # upright
        np.array([[60, 40], [250, 70], [240, 150], [50, 120]]),  # turned
        np.array([[40, 30], [260, 60], [260, 110], [40, 150]]),  # right side far away
        rectangle(-20, 30, 180, 130),  # partly outside
    ],
)
def test_mounting_moves_words_with_their_ink(font_file: Path, quad: np.ndarray) -> None:
    inner = Sheet(200, 100)
    inner.write("HELM", 100, 70, load_font(font_file, 50), (0, 0, 0), align=0.5)
    stage = Sheet(300, 180, (255, 255, 255))
    stage.mount(inner, quad)
    (word,) = stage.words
    assert word.text == "HELM"
    expected = [*word.quad.min(0), *word.quad.max(0)]
    found = ink_box(stage.image, (255, 255, 255))
    assert (found[:2] >= np.subtract(expected[:2], 1.5)).all()
    assert (found[2:] <= np.add(expected[2:], 1.5)).all()
    # Letters touch all four sides of a word's box, so ink is found nearly as wide.
    assert found[2] - found[0] > 0.9 * (expected[2] - expected[0])


def test_shadow_darkens_beside_the_sheet_only() -> None:
    stage = Sheet(100, 100, (200, 200, 200))
    stage.mount(Sheet(20, 20, (200, 200, 200)), rectangle(20, 20, 40, 40), Shadow(15, 15, 2, 0.5))
    pixels = np.asarray(stage.image.convert("L"))
    assert pixels[30, 30] == 200
    assert pixels[48, 48] < 140
    assert pixels[90, 90] == 200


def test_spacing_and_outline_widen_the_recorded_ink(font_file: Path) -> None:
    font = load_font(font_file, 30)
    plain, _, _ = word_mask("wide", font)
    spaced, _, _ = word_mask("wide", font, spacing=6)
    outlined, _, _ = word_mask("wide", font, stroke=3)
    assert spaced.width > plain.width + 15
    assert outlined.height >= plain.height + 5


def test_blank_text_records_nothing(font_file: Path) -> None:
    sheet = Sheet(50, 50)
    sheet.write("   ", 10, 30, load_font(font_file, 20), (0, 0, 0))
    assert sheet.words == []


def test_painting_outside_the_sheet_is_cut_off() -> None:
    sheet = Sheet(20, 20, (9, 9, 9))
    sheet.stamp(Image.new("L", (10, 10), 255), 100, 100, (255, 0, 0))
    sheet.overlay(Image.new("RGBA", (10, 10), (255, 0, 0, 255)), -30, 0)
    assert sheet.image.getextrema()[:3] == ((9, 9), (9, 9), (9, 9))


def test_veil_lets_the_ground_shine_through() -> None:
    sheet = Sheet(20, 20, (200, 200, 200))
    sheet.veil(rectangle(0, 0, 10, 20), (0, 0, 0), 0.5)
    assert sheet.image.getpixel((4, 10)) == (100, 100, 100, 255)
    assert sheet.image.getpixel((15, 10)) == (200, 200, 200, 255)


def test_fonts_are_found_once_and_only_if_they_draw_what_is_needed(font_file: Path) -> None:
    folder = font_file.parent
    (folder / "copy.ttf").write_bytes(font_file.read_bytes())
    (folder / "broken.ttf").write_bytes(b"no font")
    (folder / "notes.txt").write_text("text")
    assert find_fonts([folder], "AZaz09") == [font_file]
    assert find_fonts([folder], "\u4e2d") == []  # a Chinese character the font has not got
    assert find_fonts([folder], "AZ", skip=["aileron", "copy"]) == []
    assert find_fonts([], "AZ") == []


def test_of_a_file_of_several_fonts_the_chinese_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    families = ["Sans JP", "Sans SC", "Sans TC"]

    def open_font(path: str, size: int, index: int = 0) -> SimpleNamespace:
        if index >= len(families):
            raise OSError("no such face")
        return SimpleNamespace(getname=lambda: (families[index], "Regular"))

    monkeypatch.setattr("PIL.ImageFont.truetype", open_font)
    assert load_font(tmp_path / "several.ttc", 24).getname()[0] == "Sans SC"
    families.remove("Sans SC")
    assert load_font(tmp_path / "others.ttc", 24).getname()[0] == "Sans JP"
    assert load_font(tmp_path / "one.ttf", 24).getname()[0] == "Sans JP"


def test_word_is_a_pair() -> None:
    text, quad = Word("a", rectangle(0, 0, 1, 1))
    assert text == "a"
    assert quad.shape == (4, 2)
