"""Whether the words of a phrase stand next to each other, as their corners tell.

Lengths count in heights of the two words, directions along the first one's reading direction: a slanted line
is a line. A word follows another if it begins where that one ends, or stands on the line below it.
"""

from collections.abc import Sequence
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
Ids = NDArray[np.int64]


class Place(NamedTuple):
    """A region that may show a word: its proposal, similarity to the word, and corners (4, 2)."""

    proposal_id: int
    score: float
    quad: Quad


Candidates = Sequence[Sequence[Place]]  # regions for each word of a phrase


class Placement(NamedTuple):
    """The score of a phrase in a photo and the regions of its words, in their order."""

    score: float
    places: tuple[Place, ...]


def place(candidates: Candidates) -> Placement:
    """Return the best way to find a phrase in one photo, see `place_all`."""
    return place_all([candidates])[0]


def place_all(photos: Sequence[Candidates]) -> list[Placement]:
    """Return the best way to find a phrase in each photo.

    Its score is the mean of the words' scores, less 0.3 where no word stands next to the one before it, and
    less in proportion where some do or they stand loosely.

    Args:
        photos: For each, regions for every word of the phrase, at least one each.
    """
    if not photos:
        return []
    words = len(photos[0])
    scores, quads, ids = _tables(photos)
    share, cost = 1 / words, APART_COST / max(1, words - 1)
    totals, before = share * scores[:, 0], []
    for word in range(1, words):
        marks = follows(quads[:, word - 1], quads[:, word])
        marks[ids[:, word - 1, :, None] == ids[:, word, None]] = 0  # no region follows itself
        paths = totals[:, :, None] - cost * (1 - marks)
        # The best path to each region is all that later words need.
        before.append(paths.argmax(axis=1))
        totals = paths.max(axis=1) + share * scores[:, word]
    placements = []
    for photo, (candidates, of_photo) in enumerate(zip(photos, totals, strict=True)):
        places = _path(candidates, int(of_photo.argmax()), [best[photo] for best in before])
        placements.append(Placement(float(of_photo.max()), places))
    return placements


def _tables(photos: Sequence[Candidates]) -> tuple[Marks, Marks, Ids]:
    """Return scores (M, words, R), corners (M, words, R, 4, 2) and ids; what is missing scores -inf."""
    most = max(len(options) for candidates in photos for options in candidates)
    shape = len(photos), len(photos[0]), most
    scores, quads, ids = np.full(shape, -np.inf), np.zeros((*shape, 4, 2)), np.zeros(shape, np.int64)
    for photo, candidates in enumerate(photos):
        for word, options in enumerate(candidates):
            found = slice(len(options))
            ids[photo, word, found], scores[photo, word, found], quads[photo, word, found] = zip(
                *options, strict=True
            )
    return scores, quads, ids


def _path(candidates: Candidates, last: int, before: Sequence[Ids]) -> tuple[Place, ...]:
    """Return the regions of the path that ends at the last word's region of this number."""
    numbers = [last]
    for best in reversed(before):
        numbers.append(int(best[numbers[-1]]))
    return tuple(options[n] for options, n in zip(candidates, reversed(numbers), strict=True))


def standing(placement: Placement) -> bool:
    """Tell whether words, placed with scores of 0, stand rather together than apart."""
    return placement.score >= -APART_COST / 2


def follows(first: Quad, second: Quad) -> Marks:
    """Return how well each of B regions stands where the word after each of A would, in [0, 1].

    Args:
        first: Corners (..., A, 4, 2).
        second: Corners (..., B, 4, 2).

    Returns:
        (..., A, B).
    """
    along, down = _axes(first)
    heights = np.maximum((_heights(first)[..., None] + _heights(second)[..., None, :]) / 2, 1e-6)
    (left, right), (top, bottom) = (_own_extents(first, axes) for axes in (along, down))
    (next_left, next_right), (next_top, next_bottom) = (_extents(second, axes) for axes in (along, down))
    off_line = np.abs(next_top + next_bottom - top - bottom) / 2 / heights
    same_line = _mark(off_line, OFF_LINE) * _mark_gap((next_left - right) / heights, GAP, OVERLAP)
    aside = np.maximum(np.maximum(next_left - right, left - next_right), 0) / heights
    below = _mark(aside, ASIDE) * _mark_gap((next_top - bottom) / heights, LINE_GAP, LINE_OVERLAP)
    return np.maximum(same_line, below)


def _mark(values: Marks, limits: tuple[float, float]) -> Marks:
    full, none = limits
    marks: Marks = np.clip((none - values) / (none - full), 0, 1)
    return marks


def _mark_gap(gaps: Marks, gap: tuple[float, float], overlap: tuple[float, float]) -> Marks:
    return np.where(gaps > 0, _mark(gaps, gap), _mark(-gaps, overlap))


def _axes(quads: Quad) -> tuple[Marks, Marks]:
    """Return the directions (..., N, 2) of reading and to the next line, of length 1 (0 without width)."""
    directions = quads[..., 1, :] + quads[..., 2, :] - quads[..., 0, :] - quads[..., 3, :]
    along = directions / np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), 1e-6)
    return along, np.stack([-along[..., 1], along[..., 0]], axis=-1)


def _heights(quads: Quad) -> Marks:
    heights: Marks = np.linalg.norm(quads[..., [3, 2], :] - quads[..., [0, 1], :], axis=-1).mean(axis=-1)
    return heights


def _own_extents(quads: Quad, axes: Marks) -> tuple[Marks, Marks]:
    """Return where each quad begins and ends along its own axis, (..., N, 1) each."""
    places = np.einsum("...nij,...nj->...ni", quads, axes)
    return places.min(axis=-1, keepdims=True), places.max(axis=-1, keepdims=True)


def _extents(quads: Quad, axes: Marks) -> tuple[Marks, Marks]:
    """Return where each of (..., B) quads begins and ends along each of (..., A) axes, (..., A, B) each."""
    places = np.einsum("...bij,...aj->...abi", quads, axes)
    return places.min(axis=-1), places.max(axis=-1)
