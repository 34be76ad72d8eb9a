"""Measures of retrieval and of word detection."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model.boxes import pairwise_iou

NO_TEXT = -1.0  # score of a photo without proposals: below every cosine


def photo_scores(words: NDArray[np.float32], proposals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how well a photo matches each word: the best inner product of its proposals, in [-1, 1].

    Args:
        words: Embeddings float32 (Q, D), unit length.
        proposals: Embeddings float32 (N, D) of one photo; without any, every score is -1.
    """
    scores = np.full(len(words), NO_TEXT, np.float32)
    if len(proposals):
        scores = (words @ proposals.T).max(1)
    return scores


def average_precision(
    scores: NDArray[np.float32], relevant: NDArray[np.bool_], names: Sequence[str]
) -> float:
    """Return the mean, over the relevant photos, of the precision of the ranking down to each.

    Args:
        scores: (N,) of all photos.
        relevant: (N,), at least one of them true.
        names: Of the photos; equal scores are ordered by them.

    Raises:
        ValueError: no photo is relevant.
    """
    order = np.lexsort((np.asarray(names), -scores))
    ranks = np.flatnonzero(relevant[order]) + 1
    if not len(ranks):
        raise ValueError("no photo is relevant")
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def best_overlaps(truth: NDArray[np.float32], proposals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return for each true box (M, 4) its largest IoU (M,) with the proposed boxes (N, 4), xyxy."""
    if not len(truth) or not len(proposals):
        return np.zeros(len(truth), np.float32)
    overlaps: NDArray[np.float32] = (
        pairwise_iou(torch.from_numpy(truth), torch.from_numpy(proposals)).amax(1).numpy()
    )
    return overlaps
