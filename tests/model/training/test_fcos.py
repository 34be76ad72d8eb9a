import math

import pytest
import torch

from model.paper.head import points_of
from model.training.fcos import assign, centerness, fcos_loss

STRIDES = points_of(256, 256)[1]


def box(*corners: float) -> list[list[float]]:
    x0, y0, x1, y1 = corners
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def test_points_around_the_middle_answer() -> None:
    """Of a word 40 x 16 around (100, 60), points within 12 pixels of the middle, and inside."""
    targets = assign(torch.tensor([box(80, 52, 120, 68)]), torch.tensor([False]), 256, 256)
    places, strides = points_of(256, 256)
    found = {tuple(place) for place in places[targets.positive].int().tolist()}
    assert found == {(x, y) for x in (92, 100, 108) for y in (60,)}
    assert (strides[targets.positive] == 8).all()
    middle = (places == torch.tensor([100.0, 60.0])).all(1) & (strides == 8)
    assert targets.sides[middle].tolist() == [[2.5, 1, 2.5, 1]]
    assert targets.counted.all()


@pytest.mark.parametrize(
    ("length", "strides"), [(60, {8}), (124, {8, 16}), (132, {16}), (250, {32})]
)  # farthest side from the middle: 30, 62, 66, 125; from the points around it some more
def test_the_level_follows_the_farthest_side(length: int, strides: set[int]) -> None:
    quads = torch.tensor([box(0, 100, length, 128)])
    targets = assign(quads, torch.tensor([False]), 256, 256)
    assert set(STRIDES[targets.positive].tolist()) == strides


def test_of_two_words_the_smaller_is_meant() -> None:
    quads = torch.tensor([box(60, 40, 140, 84), box(84, 54, 116, 70)])
    targets = assign(quads, torch.tensor([False, False]), 256, 256)
    place = (points_of(256, 256)[0] == torch.tensor([100.0, 60.0])).all(1) & (STRIDES == 8)
    assert targets.sides[place].tolist() == [[2, 0.75, 2, 1.25]]


def test_words_to_be_ignored_do_not_count() -> None:
    targets = assign(torch.tensor([box(80, 52, 120, 68)]), torch.tensor([True]), 256, 256)
    assert not targets.positive.any()
    assert int((~targets.counted).sum()) == 3
    nothing = assign(torch.zeros(0, 4, 2), torch.zeros(0, dtype=torch.bool), 256, 256)
    assert nothing.counted.all()
    assert not nothing.positive.any()


def test_centerness_by_hand() -> None:
    sides = torch.tensor([[2.0, 1, 2, 1], [1, 1, 4, 1], [1, 1, 4, 2]])
    torch.testing.assert_close(centerness(sides), torch.tensor([1, 0.5, math.sqrt(1 / 8)]))


def test_loss_by_hand() -> None:
    """One word of one point on each of two pictures; the prediction is off by half a box in one of them."""
    targets = [
        assign(torch.tensor([box(96, 56, 104, 64)]), torch.tensor([False]), 256, 256),  # (100, 60) in it
        assign(torch.tensor([box(92, 56, 112, 64)]), torch.tensor([False]), 256, 256),  # and (108, 60)
    ]
    assert [int(target.positive.sum()) for target in targets] == [1, 2]
    points = torch.zeros(2, len(STRIDES), 6)
    points[..., 0] = -30  # no word, for certain
    points[0, targets[0].positive] = torch.tensor([0.0, 0.5, 0.5, 0.5, 0.5, 0.0])
    points[1, targets[1].positive, 1:5] = targets[1].sides[targets[1].positive]
    points[1, targets[1].positive, 0] = 0.0
    points[1, targets[1].positive, 3] *= 2  # too long to the right
    # Weights: 1 at the middle; (100 - 92) : (112 - 100) = 2 / 3 under a root, and 1 / 4.
    weights = [1.0, math.sqrt(2 / 3), math.sqrt(1 / 4)]
    iou = [1.0, 20 / 32, 20 / 24]  # the longer box covers the word: GIoU = IoU
    found = fcos_loss(points, targets)
    expected_box = sum(w * (1 - i) for w, i in zip(weights, iou, strict=True)) / sum(weights)
    assert float(found["box"]) == pytest.approx(expected_box, rel=1e-5)
    assert float(found["score"]) == pytest.approx(0.25 * 0.25 * math.log(2), rel=1e-5)  # focal, at 1 / 2
    assert float(found["centerness"]) == pytest.approx(math.log(2), rel=1e-5)


def test_no_word_costs_the_false_alarms_only() -> None:
    targets = [assign(torch.zeros(0, 4, 2), torch.zeros(0, dtype=torch.bool), 256, 256)]
    points = torch.zeros(1, len(STRIDES), 6)
    points[..., 0] = -30
    points[0, 7, 0] = 0
    points.requires_grad_()
    found = fcos_loss(points, targets)
    assert float(found["score"].detach()) == pytest.approx(0.75 * 0.25 * math.log(2), rel=1e-5)
    assert float(found["box"].detach()) == float(found["centerness"].detach()) == 0
    torch.stack(list(found.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(points.grad).all()  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees() -> None:
    quads, ignore = torch.tensor([box(80, 52, 120, 68), box(10, 10, 200, 90)]), torch.tensor([False, True])
    points = torch.randn(1, len(STRIDES), 6)
    points[..., 1:5].abs_()
    here = fcos_loss(points, [assign(quads, ignore, 256, 256)])
    there = fcos_loss(points.cuda(), [assign(quads.cuda(), ignore.cuda(), 256, 256)])
    for name, value in here.items():
        assert there[name].item() == pytest.approx(value.item(), rel=1e-4)
