import math

import pytest
import torch
from torch import Tensor

from model import boxes
from model.detector import STRIDES, decode_points, point_grid
from model.training.assignment import INNER, assign, upright


def quads(*rotated: tuple[float, float, float, float, float]) -> Tensor:
    return boxes.rotated_to_quads(torch.tensor(rotated, dtype=torch.float32))


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(10, (50, 20, 10)), (100, (20, 50, 10)), (-80, (20, 50, 10)), (175, (50, 20, -5)), (-44, (50, 20, -44))],
)
def test_upright_keeps_the_corners(degrees: float, expected: tuple[float, float, float]) -> None:
    rotated = torch.tensor([[100.0, 90, 50, 20, math.radians(degrees)]])
    result = upright(rotated)
    width, height, angle = expected
    torch.testing.assert_close(result[0, 2:4], torch.tensor([float(width), float(height)]))
    assert math.degrees(result[0, 4]) == pytest.approx(angle, abs=1e-4)
    before = boxes.quads_to_boxes(boxes.rotated_to_quads(rotated))
    torch.testing.assert_close(boxes.quads_to_boxes(boxes.rotated_to_quads(result)), before)


def test_targets_decode_to_the_word() -> None:
    word = (128.0, 96.0, 90.0, 30.0, 0.3)
    targets = assign(quads(word), torch.tensor([False]), 256, 256)
    centres, strides = point_grid(256, 256)
    points = torch.cat(
        [torch.ones(len(strides), 1), targets.sides / strides[:, None], targets.angle[:, None]], dim=1
    )
    found = decode_points(points, centres, strides)[targets.positive]
    assert len(found) > 4
    torch.testing.assert_close(found, torch.tensor([word]).expand_as(found), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(
    ("height", "expected"),
    [(12, {4}), (17, {4, 8}), (25, {8}), (35, {8, 16}), (60, {16}), (70, {16, 32}), (120, {32})],
)
def test_levels_share_by_the_short_side(height: float, expected: set[int]) -> None:
    targets = assign(quads((256, 256, 250, height, 0)), torch.tensor([False]), 512, 512)
    _, strides = point_grid(512, 512)
    assert set(strides[targets.positive].int().tolist()) == expected


def test_only_the_inner_points_answer() -> None:
    targets = assign(quads((128, 128, 200, 100, 0)), torch.tensor([False]), 256, 256)
    centres, _ = point_grid(256, 256)
    inner = ((centres - 128).abs() < torch.tensor([200, 100]) * INNER / 2).all(1)
    assert (targets.positive <= inner).all()
    assert targets.counted.all()


def test_small_words_win() -> None:
    large, small = (128.0, 128.0, 200.0, 36.0, 0.0), (128.0, 128.0, 60.0, 32.0, 0.0)
    targets = assign(quads(large, small), torch.tensor([False, False]), 256, 256)
    centres, _ = point_grid(256, 256)
    middle = targets.positive & ((centres - 128).abs() < torch.tensor([15.0, 8.0])).all(1)
    assert middle.any()
    torch.testing.assert_close(
        targets.sides[middle, 0] + targets.sides[middle, 2], torch.full((int(middle.sum()),), 60.0)
    )


def test_ignored_words_count_neither_way() -> None:
    targets = assign(quads((128, 128, 100, 30, 0)), torch.tensor([True]), 256, 256)
    assert not targets.positive.any()
    centres, _ = point_grid(256, 256)
    inside = ((centres - 128).abs() < torch.tensor([50.0, 15.0])).all(1)
    assert (targets.counted == ~inside).all()


def test_a_word_on_an_ignored_one_still_counts() -> None:
    both = quads((128, 128, 200, 100, 0), (128, 128, 60, 30, 0))
    targets = assign(both, torch.tensor([True, False]), 256, 256)
    assert targets.positive.any()
    assert targets.counted[targets.positive].all()


def test_without_words_everything_is_background() -> None:
    targets = assign(torch.zeros(0, 4, 2), torch.zeros(0, dtype=torch.bool), 64, 96)
    assert len(targets.counted) == sum((64 // s) * (96 // s) for s in STRIDES)
    assert targets.counted.all()
    assert not targets.positive.any()
