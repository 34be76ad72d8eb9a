"""Where the words of a phrase stand."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from indexer.phrases import APART_COST, Place, Quad, follows, place, place_all, standing


def word(left: float, top: float, width: float = 40, height: float = 10) -> Quad:
    right, bottom = left + width, top + height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def turned(quad: Quad, degrees: float) -> Quad:
    angle = np.deg2rad(degrees)
    return quad @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def closeness(first: Quad, second: Quad) -> float:
    return float(follows(first[None], second[None])[0, 0])


NEXT, BELOW = word(45, 0), word(0, 14)


@pytest.mark.parametrize("degrees", [0, 20, 90, -90, 180])
@pytest.mark.parametrize("second", [NEXT, BELOW, word(48, 2, height=8), word(10, 13, width=25)])
def test_next_on_the_line_or_below_it(degrees: float, second: Quad) -> None:
    assert closeness(turned(word(0, 0), degrees), turned(second, degrees)) == pytest.approx(1)


@pytest.mark.parametrize("degrees", [0, 35, 180])
@pytest.mark.parametrize(
    "second",
    [
        word(200, 0),  # far along the line
        word(0, 60),  # some lines further down
        word(-45, 0),  # before it
        word(0, -14),  # above it
        word(60, 40),  # neither along nor below
        word(300, 14),  # below, but far aside
    ],
)
def test_apart_or_in_another_order(degrees: float, second: Quad) -> None:
    assert closeness(turned(word(0, 0), degrees), turned(second, degrees)) == 0


def test_the_wider_the_gap_the_less_it_counts() -> None:
    marks = [closeness(word(0, 0), word(40 + gap, 0)) for gap in range(0, 50, 5)]
    assert marks == sorted(marks, reverse=True)
    assert marks[0] == 1
    assert 0 < marks[4] < 1  # 20 pixels, two heights
    assert marks[-1] == 0


def test_gaps_count_in_heights_of_the_words() -> None:
    assert closeness(word(0, 0), word(70, 0)) == 0
    assert closeness(word(0, 0, height=30), word(70, 0, height=30)) == 1


def test_a_region_does_not_follow_itself() -> None:
    same = Place(1, 0.9, word(0, 0))
    assert place([[same], [same]]).score == pytest.approx(0.9 - APART_COST)


def test_words_stand_together_or_not() -> None:
    first, near, far = Place(1, 0, word(0, 0)), Place(2, 0, NEXT), Place(3, 0, word(500, 500))
    assert standing(place([[first], [near]]))
    assert standing(place([[first], [far, near]]))
    assert not standing(place([[first], [far]]))
    assert standing(place([[first]]))


def test_words_that_stand_together_win_over_better_ones_apart() -> None:
    coffee = [Place(1, 0.95, word(0, 500)), Place(2, 0.9, word(0, 0))]
    shop = [Place(3, 0.9, NEXT)]
    found = place([coffee, shop])
    assert [each.proposal_id for each in found.places] == [2, 3]
    assert found.score == pytest.approx(0.9)


def test_words_apart_cost() -> None:
    found = place([[Place(1, 0.9, word(0, 0))], [Place(2, 0.7, word(0, 500))]])
    assert found.score == pytest.approx(0.8 - APART_COST)
    half = place([[Place(1, 0.9, word(0, 0))], [Place(2, 0.9, NEXT)], [Place(3, 0.9, word(0, 500))]])
    assert half.score == pytest.approx(0.9 - APART_COST / 2)


def test_many_photos_are_as_one_by_one() -> None:
    first, near, far = Place(1, 0.9, word(0, 0)), Place(2, 0.8, NEXT), Place(3, 0.85, word(500, 500))
    photos = [[[first], [far]], [[first, far], [far, near, first]], [[near], [far, near]]]
    assert place_all(photos) == [place(candidates) for candidates in photos]
    assert place_all([]) == []


def test_one_word_is_its_best_region() -> None:
    assert place([[Place(1, 0.5, NEXT), Place(2, 0.7, NEXT)]]).score == pytest.approx(0.7)


numbers = st.floats(-1000, 1000)
quads = st.lists(numbers, min_size=8, max_size=8).map(lambda flat: np.reshape(flat, (4, 2)))


@given(quads | st.just(np.zeros((4, 2))), quads)
def test_any_corners_give_a_share(first: Quad, second: Quad) -> None:
    assert 0 <= closeness(first, second) <= 1


@given(st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=4), min_size=1, max_size=4))
def test_score_lies_between_the_mean_of_the_best_and_that_less_the_cost(scores: list[list[float]]) -> None:
    options = [
        [Place(10 * n + k, score, word(50 * n, 100 * k)) for k, score in enumerate(row)]
        for n, row in enumerate(scores)
    ]
    best = np.mean([max(row) for row in scores])
    found = place(options).score
    assert best - APART_COST - 1e-9 <= found <= best + 1e-9
