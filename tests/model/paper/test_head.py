import math

import pytest
import torch

from model.paper.head import FcosHead, points_of, select


def test_points_lie_in_the_middle_of_their_strides() -> None:
    places, strides = points_of(64, 96)
    assert [int((strides == stride).sum()) for stride in (8, 16, 32, 64, 128)] == [96, 24, 6, 2, 1]
    assert places[0].tolist() == [4, 4]
    assert places[1].tolist() == [12, 4]
    assert places[-1].tolist() == [64, 64]


def test_a_new_head_finds_words_with_the_prior() -> None:
    torch.manual_seed(0)
    head = FcosHead(32)
    points = head([torch.randn(1, 32, 64 // stride, 64 // stride) for stride in (8, 16, 32, 64)])
    assert points.shape == (1, 64 + 16 + 4 + 1, 6)
    assert points[..., 0].sigmoid().mean().item() == pytest.approx(0.01, rel=0.5)
    assert (points[..., 1:5] >= 0).all()


def test_all_levels_share_the_tower() -> None:
    head = FcosHead(32).eval()
    x = torch.randn(1, 32, 8, 8)
    both = head([x, x])
    torch.testing.assert_close(both[:, :64], both[:, 64:])


def one_word(score: float, sides: tuple[float, float, float, float] = (2, 1, 2, 1)) -> torch.Tensor:
    """Return points of a 64 x 64 picture, of which the first says a word."""
    points = torch.zeros(len(points_of(64, 64)[0]), 6)
    points[:, 0] = -20
    points[0, 0] = math.log(score / (1 - score))
    points[0, 1:5] = torch.tensor(sides)
    return points


def test_boxes_are_clipped_to_the_picture() -> None:
    found, scores = select(one_word(0.5, (2, 1, 2, 9)), 64, 64, min_score=0.2)
    assert found.tolist() == [[0, 0, 20, 64]]
    assert scores.tolist() == pytest.approx([0.5])


@pytest.mark.parametrize(("score", "least", "count"), [(0.3, 0.2, 1), (0.1, 0.2, 0), (0.005, 0.0, 0)])
def test_weak_boxes_are_dropped(score: float, least: float, count: int) -> None:
    assert len(select(one_word(score), 64, 64, min_score=least)[0]) == count


def test_a_box_without_area_is_dropped() -> None:
    assert len(select(one_word(0.9, (0, 1, 0, 1)), 64, 64, min_score=0.2)[0]) == 0


def test_of_overlapping_boxes_the_best_stays_and_centerness_does_not_count() -> None:
    points = one_word(0.6, (0, 0, 4, 4))
    points[1] = points[0]
    points[1, 0] = 2.0
    points[1, 1:5] = torch.tensor([1.0, 0, 3, 4])  # the same box from the next point
    points[1, 5] = -9
    found, scores = select(points, 64, 64, min_score=0.2)
    assert found.tolist() == [[4, 4, 36, 36]]
    assert scores.tolist() == pytest.approx([torch.tensor(2.0).sigmoid().item()])


def test_at_most_so_many_and_the_best_first() -> None:
    points = torch.zeros(len(points_of(256, 256)[0]), 6)
    points[:, 0] = torch.linspace(-1, 1, len(points))
    points[:, 1:5] = 0.4
    found, scores = select(points, 256, 256, min_score=0.2, top_k=20)
    assert found.shape == (20, 4)
    assert (scores.diff() <= 0).all()
    assert scores[0] == points[-1, 0].sigmoid()
