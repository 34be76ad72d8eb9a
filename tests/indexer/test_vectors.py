import numpy as np
import pytest

from indexer.vectors import checked_proposals, checked_queries


def test_vectors_are_kept_in_half_precision():
    ids, halves = checked_proposals([5, 3], np.eye(2), 2)
    assert (ids.dtype, ids.tolist()) == (np.int64, [5, 3])
    assert (halves.dtype, halves.tolist()) == (np.float16, [[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("ids", "vectors", "reason"),
    [
        ([1], np.zeros((1, 3)), r"1 proposals need vectors \(1, 2\), not \(1, 3\)"),
        ([1, 1], np.zeros((2, 2)), "there twice"),
        ([1], [[np.nan, 0]], "not finite"),
        ([1], [[1e6, 0]], "not finite"),
        ([1], [[0.9, 0.9]], "longer than 1"),
    ],
)
def test_other_vectors_are_refused(ids, vectors, reason):
    with pytest.raises(ValueError, match=reason):
        checked_proposals(ids, vectors, 2)


def test_queries_are_in_single_precision():
    assert checked_queries([[0.5, 0]], 3, 2).dtype == np.float32


@pytest.mark.parametrize(
    ("queries", "limit", "reason"),
    [
        ([0.5, 0], 1, "must be"),
        ([[0.5]], 1, "must be"),
        ([[np.inf, 0]], 1, "not finite"),
        ([[0.5, 0]], -1, "negative"),
    ],
)
def test_other_queries_are_refused(queries, limit, reason):
    with pytest.raises(ValueError, match=reason):
        checked_queries(queries, limit, 2)
