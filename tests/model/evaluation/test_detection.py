import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.detection import Tally, deteval, matched, shared_area

NONE: list[list[float]] = []


def boxes(*values: list[float]) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 4)


def quads(*values: list[float]) -> np.ndarray:
    return boxes(*values)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


WORD = [0, 0, 10, 10]
CASES = [
    # a word and a box alone: 10 of 10 of the word, 10 of 12 of the box
    ([WORD], [[0, 0, 10, 12]], NONE, Tally(1, 1, 1, 1)),
    # 7 of 10 of the word are too few
    ([WORD], [[0, 0, 7, 10]], NONE, Tally(0, 0, 1, 1)),
    # 8 of 10 are enough
    ([WORD], [[0, 0, 8, 10]], NONE, Tally(1, 1, 1, 1)),
    # a third of the box is too little
    ([WORD], [[0, 0, 10, 30]], NONE, Tally(0, 0, 1, 1)),
    # found in halves: 0.8 for the word, 0.8 for each half
    ([WORD], [[0, 0, 5, 10], [5, 0, 10, 10]], NONE, Tally(0.8, 1.6, 1, 2)),
    # found in pieces, 3 + 3 of 10: too little
    ([WORD], [[0, 0, 3, 10], [5, 0, 8, 10]], NONE, Tally(0, 0, 1, 2)),
    # two words found as a line, 4 + 4 of its 10: 1 each, 1 for the line
    ([[0, 0, 4, 10], [6, 0, 10, 10]], [WORD], NONE, Tally(2, 1, 2, 1)),
    # two small words in a box that is far too large
    ([[0, 0, 2, 5], [4, 0, 6, 5]], [[0, 0, 10, 10]], NONE, Tally(0, 0, 2, 1)),
    # a second box that touches the word: the pair still counts 1, the second box nothing
    ([WORD], [WORD, [9, 0, 20, 10]], NONE, Tally(1, 1, 1, 2)),
    # a box over a word and a corner of the next one: the same from the other side
    ([WORD, [9, 0, 20, 10]], [WORD], NONE, Tally(1, 1, 2, 1)),
    # the same box twice: pieces of which each is the whole word
    ([WORD], [WORD, WORD], NONE, Tally(0.8, 1.6, 1, 2)),
    # on an unreadable word, 5 of 10 of the box: left out
    ([WORD], [WORD, [50, 0, 60, 10]], [[55, 0, 70, 10]], Tally(1, 1, 1, 1)),
    # 4 of 10 are not more than 0.4: a false alarm
    ([WORD], [WORD, [50, 0, 60, 10]], [[56, 0, 70, 10]], Tally(1, 1, 1, 2)),
    # nothing found, nothing there
    ([WORD], NONE, NONE, Tally(0, 0, 1, 0)),
    (NONE, [WORD], NONE, Tally(0, 0, 0, 1)),
    (NONE, NONE, [WORD], Tally(0, 0, 0, 0)),
]


@pytest.mark.parametrize(("truth", "found", "ignored", "expected"), CASES)
def test_deteval_by_hand(
    truth: list[list[float]], found: list[list[float]], ignored: list[list[float]], expected: Tally
) -> None:
    assert deteval(boxes(*truth), boxes(*found), boxes(*ignored)) == expected


@pytest.mark.parametrize(
    ("truth", "found", "ignored", "expected"),
    [
        # 80 of 100 + 100 - 80: 2/3
        ([WORD], [[2, 0, 12, 10]], NONE, Tally(1, 1, 1, 1)),
        # 2/3 of the word shared: exactly one half
        ([[0, 0, 9, 10]], [[3, 0, 12, 10]], NONE, Tally(0, 0, 1, 1)),
        # each word and each box once
        ([WORD], [WORD, WORD], NONE, Tally(1, 1, 1, 2)),
        ([WORD, WORD], [WORD], NONE, Tally(1, 1, 2, 1)),
        # a line over two words is a mistake here
        ([[0, 0, 5, 10], [5, 0, 10, 10]], [WORD], NONE, Tally(0, 0, 2, 1)),
        # on an unreadable word by more than half: left out; by half: a false alarm
        ([WORD], [[50, 0, 60, 10]], [[54, 0, 70, 10]], Tally(0, 0, 1, 0)),
        ([WORD], [[50, 0, 60, 10]], [[55, 0, 70, 10]], Tally(0, 0, 1, 1)),
        (NONE, NONE, NONE, Tally(0, 0, 0, 0)),
        ([WORD], NONE, [WORD], Tally(0, 0, 1, 0)),
    ],
)
def test_iou_by_hand(
    truth: list[list[float]], found: list[list[float]], ignored: list[list[float]], expected: Tally
) -> None:
    assert matched(quads(*truth), quads(*found), quads(*ignored)) == expected


def test_the_iou_is_that_of_slanted_words() -> None:
    slanted = np.array([[[0, 0], [10, 10], [8, 12], [-2, 2]]], np.float32)
    upright = quads([-2, 0, 10, 12])  # its hull, of 144 in which it has 40
    assert matched(slanted, slanted[:, ::-1], quads()) == Tally(1, 1, 1, 1)  # the way round does not matter
    assert matched(slanted, upright, quads()) == Tally(0, 0, 1, 1)


@pytest.mark.parametrize(
    ("first", "second", "area"),
    [
        # squares that share a quarter
        ([[0, 0], [4, 0], [4, 4], [0, 4]], [[2, 2], [6, 2], [6, 6], [2, 6]], 4),
        # one inside the other
        ([[0, 0], [9, 0], [9, 9], [0, 9]], [[2, 2], [3, 2], [3, 3], [2, 3]], 1),
        # apart
        ([[0, 0], [1, 0], [1, 1], [0, 1]], [[5, 5], [6, 5], [6, 6], [5, 6]], 0),
        # a square and one on its corner: an octagon
        ([[-2, -2], [2, -2], [2, 2], [-2, 2]], [[0, -3], [3, 0], [0, 3], [-3, 0]], 14),
        # a line has no area
        ([[0, 0], [4, 0], [4, 0], [0, 0]], [[0, 0], [4, 0], [4, 4], [0, 4]], 0),
    ],
)
def test_shared_areas(first: list[list[float]], second: list[list[float]], area: float) -> None:
    one, other = np.array(first, np.float32), np.array(second, np.float32)
    assert shared_area(one, other) == pytest.approx(area)
    assert shared_area(one, other[::-1]) == pytest.approx(area)


box = st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 20)] * 2).map(
    lambda value: [value[0], value[1], value[0] + value[2], value[1] + value[3]]
)


@given(st.lists(box, max_size=6), st.lists(box, max_size=6), st.lists(box, max_size=2))
def test_scores_stay_within_bounds(
    truth: list[list[float]], found: list[list[float]], ignored: list[list[float]]
) -> None:
    for tally in (
        deteval(boxes(*truth), boxes(*found), boxes(*ignored)),
        matched(quads(*truth), quads(*found), quads(*ignored)),
    ):
        assert 0 <= tally.hits <= tally.truths == len(truth)
        assert 0 <= tally.right <= tally.boxes <= len(found)
        assert all(0 <= value <= 1 for value in tally.score().values())


def test_sums_become_scores() -> None:
    tally = Tally(0.8, 1.6, 2, 4)
    tally += Tally(1, 1, 1, 1)
    assert tally == Tally(1.8, 2.6, 3, 5)
    assert tally.score() == pytest.approx({"precision": 0.52, "recall": 0.6, "f_score": 2 * 0.312 / 1.12})
    assert Tally().score() == {"precision": 0, "recall": 0, "f_score": 0}
