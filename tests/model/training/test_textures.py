import numpy as np
import pytest
from PIL import Image

from model.training import textures

SURFACES = [
    textures.plaster,
    textures.paper,
    textures.metal,
    textures.asphalt,
    textures.board,
    textures.planks,
    textures.bricks,
    textures.tiles,
    textures.sky,
    textures.discs,
]


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("size", [(160, 120), (9, 8)])  # ordinary; smaller than any cell of the noise
def test_surfaces_have_the_asked_size_and_repeat_by_seed(
    surface: textures.Surface, size: tuple[int, int]
) -> None:
    first, second = (surface(np.random.default_rng(3), *size, (120, 140, 90)) for _ in range(2))
    assert first.size == size
    assert first.mode == "RGB"
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("surface", [textures.plaster, textures.paper, textures.metal, textures.asphalt])
def test_plain_surfaces_keep_their_colour_on_average(surface: textures.Surface) -> None:
    picture = surface(np.random.default_rng(3), 400, 300, (120, 140, 90))
    np.testing.assert_allclose(np.asarray(picture).mean((0, 1)), (120, 140, 90), atol=12)


def test_gradient_runs_from_top_to_bottom() -> None:
    pixels = np.asarray(textures.gradient(4, 11, (0, 100, 200), (250, 100, 0)))
    assert pixels[0, 0].tolist() == [0, 100, 200]
    assert pixels[-1, -1].tolist() == [250, 100, 0]


def test_light_falls_off_towards_the_corners() -> None:
    lit = np.asarray(textures.light(np.random.default_rng(1), Image.new("RGB", (80, 60), (160, 160, 160)), 1))
    assert lit.shape == (60, 80, 3)
    corners = lit[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int)
    assert corners.mean() < lit[30, 40].mean() - 30


def test_grain_has_the_asked_deviation() -> None:
    picture = textures.grain(np.random.default_rng(1), Image.new("RGB", (200, 100), (128, 128, 128)), 8)
    pixels = np.asarray(picture, np.float32)
    assert abs(pixels.std() - 8) < 1
    assert abs(pixels.mean() - 128) < 1


def test_recompressing_keeps_size_and_changes_little() -> None:
    picture = textures.plaster(np.random.default_rng(1), 64, 48, (100, 150, 200))
    again = textures.recompress(picture, 90)
    assert again.size == picture.size
    assert np.abs(np.asarray(again, int) - np.asarray(picture, int)).mean() < 8
