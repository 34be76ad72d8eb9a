import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model import boxes

rotated_boxes = st.tuples(
    st.floats(0, 500), st.floats(0, 500), st.floats(5, 200), st.floats(5, 200), st.floats(-0.78, 0.78)
)


@given(rotated_boxes)
def test_quads_and_rotated_boxes_are_two_forms_of_one_thing(values: tuple[float, ...]) -> None:
    rotated = torch.tensor([values])
    assert torch.allclose(boxes.quads_to_rotated(boxes.rotated_to_quads(rotated)), rotated, atol=1e-2)


def test_quad_runs_clockwise_from_the_reading_start() -> None:
    quad = boxes.rotated_to_quads(torch.tensor([[10.0, 20.0, 8.0, 4.0, 0.0]]))[0]
    assert quad.tolist() == [[6, 18], [14, 18], [14, 22], [6, 22]]


def test_hull_of_a_turned_square() -> None:
    quad = boxes.rotated_to_quads(torch.tensor([[0.0, 0.0, 2.0, 2.0, math.pi / 4]]))
    assert torch.allclose(boxes.quads_to_boxes(quad), torch.tensor([[-1, -1, 1, 1]]) * math.sqrt(2))


def test_box_corners_have_the_box_as_hull() -> None:
    box = torch.tensor([[1.0, 2.0, 5.0, 9.0]])
    assert torch.equal(boxes.quads_to_boxes(boxes.boxes_to_quads(box)), box)


def test_widen_grows_by_multiples_of_the_height() -> None:
    quad = boxes.boxes_to_quads(torch.tensor([[10.0, 10.0, 50.0, 20.0]]))
    wide = boxes.quads_to_boxes(boxes.widen_quads(quad, along=0.5, across=0.1))
    assert torch.allclose(wide, torch.tensor([[5.0, 9.0, 55.0, 21.0]]))


def test_widen_keeps_a_point_finite() -> None:
    assert boxes.widen_quads(torch.zeros(1, 4, 2), 0.1, 0.1).isfinite().all()


def test_clip_stays_in_the_picture() -> None:
    clipped = boxes.clip_boxes(torch.tensor([[-5.0, -5.0, 200.0, 50.0]]), width=100, height=40)
    assert clipped.tolist() == [[0, 0, 100, 40]]


def test_pairwise_iou_by_hand() -> None:
    first = torch.tensor([[0.0, 0.0, 2.0, 2.0], [10.0, 10.0, 11.0, 11.0]])
    second = torch.tensor([[1.0, 0.0, 3.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
    assert torch.allclose(boxes.pairwise_iou(first, second), torch.tensor([[1 / 3, 1.0], [0.0, 0.0]]))


def test_parts_of_a_quad_lie_between_shares_of_its_width() -> None:
    quad = torch.tensor([[0.0, 0], [100, 10], [100, 30], [0, 20]])
    parts = boxes.cut_quad(quad, torch.tensor([[0.0, 0.5], [0.5, 1], [0, 1]]))
    torch.testing.assert_close(parts[0], torch.tensor([[0.0, 0], [50, 5], [50, 25], [0, 20]]))
    torch.testing.assert_close(parts[1], torch.tensor([[50.0, 5], [100, 10], [100, 30], [50, 25]]))
    torch.testing.assert_close(parts[2], quad)


def test_pairwise_cover_is_the_share_of_the_second_boxes() -> None:
    first = torch.tensor([[0.0, 0, 4, 2]])
    second = torch.tensor([[1.0, 0, 2, 1], [3, 0, 5, 2], [5, 5, 6, 6]])
    assert torch.allclose(boxes.pairwise_cover(first, second), torch.tensor([[1.0, 0.5, 0.0]]))


def test_followers_are_the_nearest_ahead_on_the_line() -> None:
    spans = [(0, 0, 20), (70, 2, 20), (30, 0, 20), (30, 30, 20), (95, 0, 60)]  # left, top, side
    quads = boxes.rotated_to_quads(
        torch.tensor([[left + side / 2, top + side / 2, side, side, 0.0] for left, top, side in spans])
    )
    # Not to the word below, nor to the one that is too large.
    assert boxes.followers(quads, (0, 1.2), 2.0) == [(0, 2), (2, 1)]
    assert boxes.followers(quads, (0, 0.4), 2.0) == []
    assert boxes.followers(quads[:0], (0, 1.2), 2.0) == []


def test_enclosing_quad_has_the_direction_of_the_first() -> None:
    quads = boxes.rotated_to_quads(
        torch.tensor([[0.0, 0, 4, 2, 0.5], [6 * math.cos(0.5), 6 * math.sin(0.5), 4, 4, 0.5]])
    )
    (found,) = boxes.quads_to_rotated(boxes.enclosing_quad(quads)[None]).tolist()
    assert found == pytest.approx([3 * math.cos(0.5), 3 * math.sin(0.5), 10, 4, 0.5], abs=1e-4)
