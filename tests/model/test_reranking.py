"""Likelihoods by CTC, and the order that follows from them."""

from itertools import groupby, product

import numpy as np
import pytest

from model.reranking import LEAST, LETTERS, LONGEST, RERANKED, WEIGHT, log_likelihoods, packed, reranked

Step = dict[str, float]  # probabilities of letters; silence has the rest


def seen(*steps: Step) -> bytes:
    """Return posteriors of steps."""
    return packed([(1 - sum(step.values()), step) for step in steps])


def sure(text: str) -> bytes:
    """Return posteriors that say a text, with silence between the letters."""
    return seen(*(step for letter in text for step in ({letter: 0.98}, {})))


def by_all_paths(word: str, *steps: Step) -> float:
    """Return the likelihood of a word as the sum over all paths that say it."""
    letters = ["", *sorted(set(word))]
    total = 0.0
    for path in product(letters, repeat=len(steps)):
        if "".join(letter for letter, _ in groupby(path)) == word:
            chances = [
                step.get(letter, 0) + LEAST if letter else max(1 - sum(step.values()), LEAST)
                for letter, step in zip(path, steps, strict=True)
            ]
            total += float(np.prod(chances))
    return total


@pytest.mark.parametrize(
    ("word", "steps"),
    [
        ("a", [{"a": 0.5}, {"a": 0.3, "b": 0.2}]),
        ("ab", [{"a": 0.5}, {}, {"b": 0.3, "a": 0.6}, {"b": 0.1}]),
        ("aa", [{"a": 0.7}, {"a": 0.2}, {}, {"a": 0.9}, {}]),  # only with silence between
        ("aba", [{"a": 0.7}, {"b": 0.5, "a": 0.2}, {"a": 0.5}, {"c": 0.9}, {}, {"a": 0.1}]),
    ],
)
def test_a_likelihood_is_the_sum_over_all_paths(word: str, steps: list[Step]) -> None:
    (found,) = log_likelihoods(word, [seen(*steps)])
    assert found == pytest.approx(np.log(by_all_paths(word, *steps)) / len(word), abs=0.05)  # of a byte


def test_a_region_has_the_same_likelihood_alone_and_among_longer_ones() -> None:
    regions = [sure("bar"), sure("a bar with a long line of words"), sure("b"), seen({})]
    together = log_likelihoods("bar", regions)
    alone = [log_likelihoods("bar", [region])[0] for region in regions]
    np.testing.assert_allclose(together, alone)
    assert together[0] > -0.05
    assert (together[1:] < -2).all()


def test_a_word_that_is_longer_than_the_region_is_unlikely_but_not_impossible() -> None:
    (found,) = log_likelihoods("barbarbar", [sure("bar")])
    assert -12 < found < -4
    assert np.isfinite(log_likelihoods("a" * 200, [sure("z" * 200)])).all()


def test_letters_of_any_script_and_those_that_no_region_has() -> None:
    regions = [sure("出口"), sure("exit")]
    assert log_likelihoods("出口", regions).argmax() == 0
    assert log_likelihoods("𠮷", regions).max() < -5


def test_without_regions_there_are_no_likelihoods() -> None:
    assert log_likelihoods("bar", []).shape == (0,)


def test_the_likeliest_letters_are_kept() -> None:
    chances = {"a": 0.05, "b": 0.3, "c": 0.1, "d": 0.2, "e": 0.01, "f": 0.02}
    kept = [np.exp(log_likelihoods(letter, [seen(chances)])[0]) for letter in "abcdef"]
    assert kept[:4] == pytest.approx([0.05, 0.3, 0.1, 0.2], rel=0.03)
    assert all(LEAST <= chance < 2 * LEAST for chance in kept[4:])
    assert LETTERS == 4
    assert log_likelihoods("a", [packed([(0, {"a": 0})])])[0] == pytest.approx(np.log(2 * LEAST), abs=0.1)


UNSURE = seen({"l": 0.6, "u": 0.3}, {}, {"i": 0.6, "f": 0.3}, {"f": 0.8}, {"t": 0.8}, {})


def test_an_unsure_reading_of_the_word_comes_before_a_sure_one_of_another() -> None:
    photos = [[(0.7, sure("gift"))], [(0.65, UNSURE)], [(0.6, sure("left"))]]
    assert reranked("lift", 0.9, photos)[0] == 1


def test_photos_that_likely_show_it_and_those_without_text_stay() -> None:
    photos = [[(0.95, sure("gift"))], [(0.9, sure("lift"))], [(0.5, sure("gift"))], [(0.4, sure("lift"))], []]
    assert reranked("lift", 0.9, photos) == [0, 1, 3, 2, 4]


def test_a_word_longer_than_any_region_costs_nothing() -> None:
    photos = [[(0.7, sure("gift"))], [(0.65, sure("b" * LONGEST))]]
    assert reranked("b" * LONGEST, 0.9, photos) == [1, 0]
    assert reranked("b" * (LONGEST + 1), 0.9, photos) == [0, 1]


def test_a_photo_whose_regions_are_gone_stays() -> None:
    photos = [[(0.7, sure("gift"))], [], [(0.65, UNSURE)], []]
    assert reranked("lift", 0.9, photos) == [2, 1, 0, 3]


def test_the_best_of_the_regions_near_the_best_counts() -> None:
    other = [(0.7, sure("gift")), (0.65, UNSURE), (0.55, sure("lift"))]
    assert reranked("lift", 0.9, [[(0.72, sure("gift"))], other]) == [1, 0]
    far = [(0.7, sure("gift")), (0.55, sure("lift"))]
    assert reranked("lift", 0.9, [[(0.72, sure("gift"))], far]) == [0, 1]


def test_similarity_and_likelihood_are_weighed() -> None:
    lost = -WEIGHT * (log_likelihoods("lift", [UNSURE]) - log_likelihoods("lift", [sure("lift")]))[0]
    for gap, order in ((lost + 0.01, [0, 1]), (lost - 0.01, [1, 0])):
        assert reranked("lift", 0.9, [[(0.7, UNSURE)], [(0.7 - gap, sure("lift"))]]) == order


def test_only_the_first_photos_are_reordered() -> None:
    photos = [[(0.7 - number / 1000, sure("gift"))] for number in range(RERANKED)] + [[(0.6, sure("lift"))]]
    assert reranked("lift", 0.9, photos) == list(range(RERANKED))
    assert reranked("lift", 0.9, photos[1:])[0] == RERANKED - 1
    assert reranked("lift", 0.9, []) == []


def test_without_posteriors_the_order_stays() -> None:
    photos = [[(0.7, b"")], [(0.65, b"")], [(0.6, b"")]]
    assert reranked("lift", 0.9, photos) == [0, 1, 2]


def test_a_photo_without_posteriors_stays_and_the_others_are_ordered() -> None:
    photos = [[(0.7, sure("gift"))], [(0.65, b"")], [(0.6, sure("lift"))]]
    assert reranked("lift", 0.9, photos) == [2, 1, 0]
