"""Whether the words of a phrase stand next to each other, as their corners tell.

Lengths count in heights of the two words, directions along the first one's reading direction: a slanted line
is a line. A word follows another if it begins where that one ends, or stands on the line below it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

APART_COST = 0.3  # of words that stand nowhere near each other, in their order
# Full marks up to the first number, none from the second on, in heights of the words.
GAP, OVERLAP = (1.0, 3.0), (0.5, 1.5)
OFF_LINE = (0.35, 1.0)
LINE_GAP, LINE_OVERLAP, ASIDE = (1.0, 2.5), (0.3, 0.8), (0.5, 3.0)

Quad = NDArray[np.floating[Any]]
Marks = NDArray[np.floating[Any]]


class Place(NamedTuple):
    """A region that may show a word: its proposal, similarity to the word, and corners (4, 2)."""

    proposal_id: int
    score: float
    quad: Quad


class Placement(NamedTuple):
    """The score of a phrase in a photo and the regions of its words, in their order."""

    score: float
    places: tuple[Place, ...]


def place(candidates: Sequence[Sequence[Place]]) -> Placement:
    """Return the best way to find a phrase in a photo.

    Its score is the mean of the words' scores, less 0.3 where no word stands next to the one before it, and
    less in proportion where some do or they stand loosely.

    Args:
        candidates: Regions for each word of the phrase, at least one each.
    """
    share, cost = 1 / len(candidates), APART_COST / max(1, len(candidates) - 1)
    paths = [Placement(share * option.score, (option,)) for option in candidates[0]]
    for previous, options in pairwise(candidates):
        costs = cost * (1 - follows(previous, options))
        totals = np.array([path.score for path in paths])[:, None] - costs
        # The best path to each region is all that later words need.
        paths = [
            Placement(float(totals[best, n]) + share * option.score, (*paths[best].places, option))
            for n, (option, best) in enumerate(zip(options, totals.argmax(axis=0), strict=True))
        ]
    return max(paths, key=lambda path: path.score)


def standing(placement: Placement) -> bool:
    """Tell whether words, placed with scores of 0, stand rather together than apart."""
    return placement.score >= -APART_COST / 2


def follows(firsts: Sequence[Place], seconds: Sequence[Place]) -> Marks:
    """Return how well each of B regions stands where the word after each of A would: (A, B), in [0, 1]."""
    first, second = (np.stack([place.quad for place in places]) for places in (firsts, seconds))
    along, down = _axes(first)
    heights = np.maximum((_heights(first)[:, None] + _heights(second)) / 2, 1e-6)
    (left, right), (top, bottom) = (_own_extents(first, axes) for axes in (along, down))
    (next_left, next_right), (next_top, next_bottom) = (_extents(second, axes) for axes in (along, down))
    off_line = np.abs(next_top + next_bottom - top - bottom) / 2 / heights
    same_line = _mark(off_line, OFF_LINE) * _mark_gap((next_left - right) / heights, GAP, OVERLAP)
    aside = np.maximum(np.maximum(next_left - right, left - next_right), 0) / heights
    below = _mark(aside, ASIDE) * _mark_gap((next_top - bottom) / heights, LINE_GAP, LINE_OVERLAP)
    itself = np.array([place.proposal_id for place in firsts])[:, None] == [p.proposal_id for p in seconds]
    marks: Marks = np.where(itself, 0, np.maximum(same_line, below))
    return marks


def _mark(values: Marks, limits: tuple[float, float]) -> Marks:
    full, none = limits
    marks: Marks = np.clip((none - values) / (none - full), 0, 1)
    return marks


def _mark_gap(gaps: Marks, gap: tuple[float, float], overlap: tuple[float, float]) -> Marks:
    return np.where(gaps > 0, _mark(gaps, gap), _mark(-gaps, overlap))


def _axes(quads: Marks) -> tuple[Marks, Marks]:
    """Return the directions (N, 2) of reading and of the next line, of length 1 (0 without any width)."""
    directions = quads[:, 1] + quads[:, 2] - quads[:, 0] - quads[:, 3]
    along = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-6)
    return along, np.stack([-along[:, 1], along[:, 0]], axis=1)


def _heights(quads: Marks) -> Marks:
    sides = [quads[:, 3] - quads[:, 0], quads[:, 2] - quads[:, 1]]
    heights: Marks = np.linalg.norm(sides, axis=2).mean(axis=0)
    return heights


def _own_extents(quads: Marks, axes: Marks) -> tuple[Marks, Marks]:
    """Return where each quad begins and ends along its own axis, (N, 1) each."""
    places = np.einsum("nij,nj->ni", quads, axes)
    return places.min(axis=1, keepdims=True), places.max(axis=1, keepdims=True)


def _extents(quads: Marks, axes: Marks) -> tuple[Marks, Marks]:
    """Return where each of (B) quads begins and ends along each of (A) axes, (A, B) each."""
    places = np.einsum("bij,aj->abi", quads, axes)
    return places.min(axis=2), places.max(axis=2)
