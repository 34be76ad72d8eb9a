import math

import torch

from model import boxes
from model.detector import activate, decode_points, point_grid, select
from model.retriever import Retriever


def test_forward_gives_one_row_a_point(tiny: Retriever) -> None:
    points = tiny.detector(torch.rand(2, 3, 64, 96) * 255)[0]
    centres, strides = point_grid(64, 96)
    assert points.shape == (2, len(centres), 6)
    assert len(centres) == len(strides) == sum(64 // s * (96 // s) for s in (4, 8, 16, 32))
    assert points.isfinite().all()
    assert ((points[..., 0] >= 0) & (points[..., 0] <= 1)).all()


def test_activate_by_hand() -> None:
    row = activate(torch.tensor([[0.0, 0.0, math.log(2.0), 0.0, 9.0, -9.0, 0.0]]))[0]
    expected = [0.5, 4.0, 2.0, 2 * math.exp(5), 2 * math.exp(-4), 0.0]
    assert torch.allclose(row, torch.tensor(expected), rtol=1e-4)


def test_decode_measures_sides_along_the_turned_axes() -> None:
    # From (10, 10) at stride 4: 3 left, 1 above, 5 right, 1 below, turned by an eighth of a turn.
    point = torch.tensor([[1.0, 3.0, 1.0, 5.0, 1.0, math.pi / 4]])
    box = decode_points(point, torch.tensor([[10.0, 10.0]]), torch.tensor([4.0]))[0]
    shift = 4 * math.cos(math.pi / 4)
    assert torch.allclose(box, torch.tensor([10 + shift, 10 + shift, 32.0, 8.0, math.pi / 4]))


def test_select_keeps_the_best_of_overlapping_words() -> None:
    _, strides = point_grid(64, 64)
    points = torch.zeros(len(strides), 6)
    points[:, 1:5] = 1.0
    for index, score in ((0, 0.9), (1, 0.8), (100, 0.7), (200, 0.1)):
        points[index, 0] = score
    points[1, 1:5] = torch.tensor([2.0, 1.0, 0.0, 1.0])  # the same box as seen from the point beside
    found = select(points, 64, 64, min_score=0.5)
    assert torch.allclose(found.scores, torch.tensor([0.9, 0.7]))
    hulls = boxes.quads_to_boxes(boxes.rotated_to_quads(found.rotated))
    assert torch.allclose(hulls[0], torch.tensor([-2.0, -2.0, 6.0, 6.0]), atol=1e-4)


def test_select_keeps_at_most_top_k_and_may_find_nothing() -> None:
    points = torch.rand(len(point_grid(64, 64)[0]), 6)
    assert len(select(points, 64, 64, min_score=0.0, iou_threshold=1.0, top_k=7).scores) == 7
    assert select(points, 64, 64, min_score=1.0).rotated.shape == (0, 5)
