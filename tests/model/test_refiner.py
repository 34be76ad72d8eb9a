import math

import pytest
import torch
from torch import Tensor

from model import boxes
from model.refiner import COLUMNS, ROWS, Refiner, grid_places, quads_to_sides, sample, sides_to_quads

PROPOSALS = torch.tensor([[60.0, 50, 50, 20, 0.3], [90, 80, 30, 24, -0.6]])


def maps_of_places(height: int, width: int) -> list[Tensor]:
    """Maps whose features are the places of their cells in the picture."""
    maps = []
    for stride in (4, 8, 16, 32):
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        maps.append((torch.stack([x, y])[None] + 0.5) * stride)
    return maps


def test_a_new_refiner_leaves_proposals_about_as_they_are() -> None:
    torch.manual_seed(0)
    columns, rows = grid_places(PROPOSALS)
    sides, quality = Refiner(6, 8).eval()(torch.zeros(2, 6, ROWS, COLUMNS), columns, rows)
    expected = quads_to_sides(boxes.rotated_to_quads(PROPOSALS), PROPOSALS)
    torch.testing.assert_close(sides, expected, atol=0.25, rtol=0)
    assert quality.shape == (2,)


def test_sides_and_corners_are_two_views_of_one_thing() -> None:
    quads = boxes.rotated_to_quads(PROPOSALS + torch.tensor([3.0, -2, 6, 4, 0]))
    sides = quads_to_sides(quads, PROPOSALS)
    torch.testing.assert_close(sides_to_quads(sides, PROPOSALS), quads)
    unchanged = quads_to_sides(boxes.rotated_to_quads(PROPOSALS), PROPOSALS)
    torch.testing.assert_close(unchanged[0], torch.tensor([-1.25, 1.25, -0.5, 0.5, -0.5, 0.5]))


@pytest.mark.parametrize("height", [20, 60, 100, 200])  # each read from another map
def test_features_are_sampled_along_the_word(height: float) -> None:
    proposals = torch.tensor([[500.0, 520, 2 * height, height, math.radians(20)]])
    columns, rows = grid_places(proposals)
    found = sample(maps_of_places(1024, 1024), proposals, columns, rows)
    assert found.shape == (1, 2, ROWS, COLUMNS)
    for row, column in ((0, 0), (0, COLUMNS - 1), (ROWS - 1, 5)):
        along, across = columns[0, column] * height, rows[0, row] * height
        cos, sin = math.cos(math.radians(20)), math.sin(math.radians(20))
        place = torch.stack([500 + along * cos - across * sin, 520 + along * sin + across * cos])
        torch.testing.assert_close(found[0, :, row, column], place, atol=0.1, rtol=1e-3)


def test_the_grid_reaches_beyond_the_word() -> None:
    columns, rows = grid_places(PROPOSALS)
    assert (columns[:, -1] > PROPOSALS[:, 2] / PROPOSALS[:, 3] / 2 + 0.4).all()
    assert (rows[:, -1] > 0.7).all()
    torch.testing.assert_close(columns, -columns.flip(1))


def test_no_proposals_are_no_trouble() -> None:
    columns, rows = grid_places(PROPOSALS[:0])
    found = sample(maps_of_places(64, 64), PROPOSALS[:0], columns, rows)
    assert found.shape == (0, 2, ROWS, COLUMNS)
    assert sides_to_quads(torch.zeros(0, 6), PROPOSALS[:0]).shape == (0, 4, 2)
