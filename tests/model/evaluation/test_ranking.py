import numpy as np

from model.calibration import Calibration
from model.evaluation.ranking import average_precisions, rank
from tests.model.test_reranking import sure

KNOWN = Calibration((0.9,))


def matrix(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(len(rows), -1)


def test_photos_are_ranked_by_their_best_region_then_by_name() -> None:
    similarities = [matrix([0.2, 0.5], [0.1, 0.1]), matrix([], []), matrix([0.5], [0.8])]
    places = rank(["gift", "lift"], [(each, []) for each in similarities], ["b", "c", "a"], KNOWN)
    assert places.tolist() == [[-2, -3, -1], [-2, -3, -1]]


def test_doubtful_photos_are_ordered_once_more() -> None:
    similarities = [matrix([0.1, 0.7]), matrix([0.65, 0.6]), matrix([0.95])]
    posteriors = [[sure("bar"), sure("gift")], [sure("gift"), sure("lift")], [sure("left")]]
    regions = list(zip(similarities, posteriors, strict=True))
    assert rank(["lift"], regions, ["a", "b", "c"], KNOWN).tolist() == [[-3, -2, -1]]
    assert average_precisions({"lift": {"b"}}, regions, ["a", "b", "c"], KNOWN) == {"lift": 0.5}
    regions = [(each, []) for each in similarities]
    assert rank(["lift"], regions, ["a", "b", "c"], KNOWN).tolist() == [[-2, -3, -1]]
    assert average_precisions({"lift": {"b"}}, regions, ["a", "b", "c"], KNOWN) == {"lift": 1 / 3}
