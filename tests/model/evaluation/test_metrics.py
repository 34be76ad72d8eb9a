import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.metrics import average_precision, best_overlaps, photo_scores


@pytest.mark.parametrize(
    ("relevant", "expected"),
    [
        ([1, 1, 0, 0], 1.0),
        ([0, 0, 0, 1], 1 / 4),
        ([1, 0, 1, 0], (1 + 2 / 3) / 2),
        ([1, 1, 1, 1], 1.0),
    ],
)
def test_average_precision_by_hand(relevant: list[int], expected: float) -> None:
    scores = np.array([0.9, 0.8, 0.7, -1], np.float32)
    assert average_precision(scores, np.array(relevant, bool), list("abcd")) == pytest.approx(expected)


def test_equal_scores_are_ordered_by_name() -> None:
    scores = np.zeros(3, np.float32)
    assert average_precision(scores, np.array([True, False, False]), ["b", "c", "a"]) == pytest.approx(1 / 2)


def test_a_query_needs_a_relevant_photo() -> None:
    with pytest.raises(ValueError, match="no photo is relevant"):
        average_precision(np.zeros(2, np.float32), np.zeros(2, bool), ["a", "b"])


@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any), st.randoms())
def test_average_precision_is_a_share_and_knows_no_input_order(
    flags: list[bool], random: st.DataObject
) -> None:
    scores = np.linspace(1, 0, len(flags), dtype=np.float32)
    names = [f"{index:02}" for index in range(len(flags))]
    value = average_precision(scores, np.array(flags), names)
    order = np.random.default_rng(len(flags)).permutation(len(flags))
    assert 0 < value <= 1
    assert average_precision(scores[order], np.array(flags)[order], [names[i] for i in order]) == value


def test_a_photo_scores_by_its_best_proposal() -> None:
    words = np.eye(2, dtype=np.float32)
    proposals = np.array([[0.6, 0.8], [1, 0]], np.float32)
    np.testing.assert_allclose(photo_scores(words, proposals), [1, 0.8])
    np.testing.assert_array_equal(photo_scores(words, np.empty((0, 2), np.float32)), [-1, -1])


def test_overlaps_are_those_of_the_best_box() -> None:
    truth = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    found = np.array([[0, 0, 10, 5], [2, 0, 12, 10]], np.float32)
    np.testing.assert_allclose(best_overlaps(truth, found), [80 / 120, 0])
    np.testing.assert_array_equal(best_overlaps(truth, found[:0]), [0, 0])
    assert best_overlaps(truth[:0], found).shape == (0,)
