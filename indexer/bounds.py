"""What images score at most for queries; and where that tells too little, what they score.

M images, Q queries, D numbers in an embedding.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.segment import NO_TEXT_SCORE, Ids, Mask, Segment, Vectors

Places = NDArray[np.intp]
# Gives the scores (N,) for a query (D,) of rows of segments: numbers of the segments (N,), rows there (N,).
ScoreRows = Callable[[Vectors, Sequence[Segment], Ids, Ids], Vectors]


class Bounds(NamedTuple):
    """What images score at most.

    Attributes:
        image_ids: (M,), ascending.
        most: (Q, M).
        scores: Gives the scores (P,) for the query of this number, of the images at places (P,) among these.
    """

    image_ids: Ids
    most: Vectors
    scores: Callable[[int, Places], Vectors]


def exact(image_ids: Ids, scores: Vectors) -> Bounds:
    """Return bounds that are the scores (Q, M) themselves."""
    return Bounds(image_ids, scores, lambda number, places: scores[number, places])


def of_rows(
    found: Sequence[tuple[Segment, Mask]], queries: Vectors, most: Sequence[Vectors], score_rows: ScoreRows
) -> Bounds:
    """Return bounds of images by those of their rows.

    Args:
        found: Segments, at least one, with which of their images are meant.
        queries: (Q, D).
        most: Of each segment, as `Segment.bounds` gives them.
        score_rows: Computes scores.
    """
    ids = np.concatenate([segment.image_ids[mask] for segment, mask in found])
    order = np.argsort(ids)
    best = [
        np.reshape([segment.best(row) for row in rows], (len(queries), len(mask)))[:, mask]
        for (segment, mask), rows in zip(found, most, strict=True)
    ]
    by_id = np.concatenate(best, axis=1)[:, order]
    rows = _Rows(found, order, queries, most, score_rows)
    return Bounds(ids[order], by_id, lambda number, places: rows.best(number, places, by_id[number, places]))


class _Rows:
    """The rows of images, of which those that promise too little are never looked at."""

    def __init__(
        self,
        found: Sequence[tuple[Segment, Mask]],
        order: Places,
        queries: Vectors,
        most: Sequence[Vectors],
        score_rows: ScoreRows,
    ) -> None:
        self._segments = [segment for segment, _ in found]
        self._owners = np.repeat(np.arange(len(found)), [np.count_nonzero(mask) for _, mask in found])[order]
        self._starts = np.concatenate([segment.starts[mask] for segment, mask in found])[order]
        self._counts = np.concatenate([segment.counts[mask] for segment, mask in found])[order]
        self._queries, self._score_rows = queries, score_rows
        self._most = np.concatenate(most, axis=1)
        self._first = np.cumsum([0, *(rows.shape[1] for rows in most)])  # where each segment begins there

    def best(self, number: int, places: Places, most: Vectors) -> Vectors:
        """Return the best scores (P,) of images, given what they are at most."""
        counts = self._counts[places]
        images = np.repeat(np.arange(len(places)), counts)
        before = np.cumsum(counts) - counts
        rows = self._starts[places][images] + np.arange(len(images)) - before[images]
        owners = self._owners[places][images]
        promised = self._most[number, self._first[owners] + rows]
        best = np.where(counts > 0, -np.inf, NO_TEXT_SCORE).astype(np.float32)
        first = promised >= most[images]
        for part in (first, ~first):
            looked = np.flatnonzero(part & (promised > best[images]))
            scores = self._score_rows(self._queries[number], self._segments, owners[looked], rows[looked])
            np.maximum.at(best, images[looked], scores)
        return best
