import math

import pytest
import torch

from model.detector import point_grid
from model.training.assignment import Targets, assign
from model.training.losses import (
    detection_loss,
    focal_loss,
    reading_loss,
    row_maximum_loss,
    sides_iou,
    teacher_loss,
)


def test_focal_loss_by_hand() -> None:
    logits = torch.tensor([0.0, 0.0, math.log(9)])
    loss = focal_loss(logits, torch.tensor([1.0, 0.0, 1.0]))
    expected = [0.25 * 0.25 * math.log(2), 0.75 * 0.25 * math.log(2), 0.25 * 0.01 * -math.log(0.9)]
    torch.testing.assert_close(loss, torch.tensor(expected))


@pytest.mark.parametrize(
    ("first", "second", "iou", "generalised"),
    [
        ((1, 1, 1, 1), (1, 1, 1, 1), 1.0, 1.0),
        ((1, 1, 1, 1), (2, 1, 2, 1), 0.5, 0.5),
        ((2, 1, 1, 1), (1, 1, 2, 1), 0.5, 0.5),
        ((1, 1, 1, 1), (2, 0.5, 2, 0.5), 1 / 3, 1 / 3 - 2 / 8),  # a cross: the hull is larger than the union
    ],
)
def test_overlap_of_sides_by_hand(first: object, second: object, iou: float, generalised: float) -> None:
    found = sides_iou(torch.tensor([first]), torch.tensor([second]))
    assert [float(value) for value in found] == pytest.approx([iou, generalised])


def perfect(targets: Targets, strides: torch.Tensor) -> torch.Tensor:
    raw = torch.zeros(len(strides), 7)
    raw[:, 0] = torch.where(targets.positive, 12.0, -12.0)
    raw[:, 1] = 12
    raw[:, 2:6] = (targets.sides / strides[:, None] / 2).clamp(min=1e-3).log()
    raw[:, 6] = (targets.angle / (math.pi / 4)).atanh()
    return raw[None]


def test_a_perfect_prediction_costs_nothing_and_a_worse_one_more() -> None:
    quads = torch.tensor([[[60.0, 50], [160, 60], [158, 90], [58, 80]]])
    targets = assign(quads, torch.tensor([False]), 256, 256)
    strides = point_grid(256, 256)[1]
    raw = perfect(targets, strides)
    best = detection_loss(raw, [targets], strides)
    assert set(best) == {"score", "box", "angle", "overlap"}
    assert all(float(value) == pytest.approx(0, abs=2e-3) for value in best.values())
    for column, part, change in ((0, "score", 12), (2, "box", 1), (6, "angle", 1), (1, "overlap", 12)):
        worse = raw.clone()
        worse[..., column] -= change
        assert float(detection_loss(worse, [targets], strides)[part]) > float(best[part]) + 0.01


def test_ignored_points_cost_nothing() -> None:
    quads = torch.tensor([[[60.0, 50], [160, 50], [160, 80], [60, 80]]])
    targets = assign(quads, torch.tensor([True]), 256, 256)
    strides = point_grid(256, 256)[1]
    raw = torch.full((1, len(strides), 7), -12.0)
    raw[0, ~targets.counted, 0] = 12
    losses = detection_loss(raw.requires_grad_(), [targets], strides)
    total = torch.stack(list(losses.values())).sum()
    assert total.item() == pytest.approx(0, abs=1e-4)
    total.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(raw.grad).all()  # type: ignore[arg-type]


def test_the_worst_of_each_row_counts() -> None:
    similarity = torch.tensor([[0.5, 1.0], [0.0, 0.0]])
    target = torch.tensor([[0.5, 0.0], [0.2, 0.4]])
    assert float(row_maximum_loss(similarity, target)) == pytest.approx((0.5 + 0.08) / 2)
    assert float(row_maximum_loss(similarity, target, beta=0.1)) == pytest.approx((0.95 + 0.35) / 2)


def test_reading_loss_by_hand() -> None:
    logits = torch.zeros(1, 2, 3)  # two steps, every class a third; "a" can be a_, _a, aa
    expected = -math.log(3 / 9)
    assert float(reading_loss(logits, ["a"], "ab")) == pytest.approx(expected)
    torch.testing.assert_close(reading_loss(logits.expand(2, 2, 3), ["a", "ü"], "ab"), torch.tensor(expected))


@pytest.mark.parametrize("text", ["", "abb", "aa", "ü"])  # nothing, too long, too long with a blank, unknown
def test_what_cannot_be_read_costs_nothing(text: str) -> None:
    logits = torch.randn(1, 2, 3, requires_grad=True)
    loss = reading_loss(logits, [text], "ab")
    assert float(loss.detach()) == 0
    loss.backward()


def test_what_a_teacher_sees_counts_by_direction_alone() -> None:
    taught = [(torch.tensor([[[1.0, 0], [0, 1]]]), torch.tensor([[1.0, 0]]))] * 2
    same = [(3 * steps, whole) for steps, whole in taught]
    assert float(teacher_loss(same, taught)) == pytest.approx(0, abs=1e-6)
    # In one of two crops the first step of two is turned by a right angle, and the embedding to the contrary.
    turned = (torch.tensor([[[0.0, 1], [0, 1]]]), torch.tensor([[-1.0, 0]]))
    assert float(teacher_loss([turned, same[1]], taught)) == pytest.approx(1 / 4 + 2 / 2)
