"""Ranks photos as a search does."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model.calibration import Calibration
from model.evaluation.metrics import NO_TEXT, average_precision
from model.reranking import RERANKED, reranked

Matrix = NDArray[np.float32]
# Similarities of Q words to the N regions of a photo (Q, N); posteriors of those, none if nobody noted them.
Regions = tuple[Matrix, Sequence[bytes]]


def rank(
    words: Sequence[str], photos: Sequence[Regions], names: Sequence[str], calibration: Calibration
) -> Matrix:
    """Return the place (Q, P) of every photo in the ranking of every word, below zero: -1 is the first.

    Args:
        words: Q, folded.
        photos: P, the regions of each.
        names: Of the photos; equal ones are ordered by them.
        calibration: Of the network.
    """
    best = np.stack([similarities.max(1, initial=NO_TEXT) for similarities, _ in photos], axis=1)
    places = np.empty(best.shape, np.float32)
    for number, word in enumerate(words):
        order = np.lexsort((names, -best[number]))
        first = order[:RERANKED]
        regions = [
            sorted(zip(photos[place][0][number].tolist(), photos[place][1], strict=False), reverse=True)
            for place in first.tolist()
        ]
        order[:RERANKED] = first[reranked(word, calibration.cut(word), regions)]
        places[number, order] = -1 - np.arange(len(order))
    return places


def average_precisions(
    queries: Mapping[str, set[str]],
    photos: Sequence[Regions],
    names: Sequence[str],
    calibration: Calibration,
) -> dict[str, float]:
    """Return the average precision of every query.

    Args:
        queries: Q words with the names of their relevant photos.
        photos: As for `rank`.
        names: Likewise.
        calibration: Likewise.
    """
    places = rank(list(queries), photos, names, calibration)
    return {
        word: average_precision(row, np.array([name in relevant for name in names]), names)
        for row, (word, relevant) in zip(places, queries.items(), strict=True)
    }
