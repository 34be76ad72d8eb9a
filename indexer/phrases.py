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
    for options in candidates[1:]:  # the best path to each region is all that later words need
        longer = []
        for option in options:
            steps = [path.score - cost * (1 - follows(path.places[-1], option)) for path in paths]
            best = int(np.argmax(steps))
            longer.append(Placement(steps[best] + share * option.score, (*paths[best].places, option)))
        paths = longer
    return max(paths, key=lambda path: path.score)


def follows(first: Place, second: Place) -> float:
    """Return how well a region stands where the next word of a phrase would, in [0, 1]."""
    if first.proposal_id == second.proposal_id:
        return 0.0
    along, down = _axes(first.quad)
    height = max((_height(first.quad) + _height(second.quad)) / 2, 1e-6)
    (left, right), (top, bottom) = (_extent(first.quad, axis) for axis in (along, down))
    (next_left, next_right), (next_top, next_bottom) = (_extent(second.quad, axis) for axis in (along, down))
    gap = (next_left - right) / height
    off_line = abs(next_top + next_bottom - top - bottom) / 2 / height
    same_line = _mark(off_line, OFF_LINE) * (_mark(gap, GAP) if gap > 0 else _mark(-gap, OVERLAP))
    line_gap = (next_top - bottom) / height
    aside = max(next_left - right, left - next_right, 0.0) / height
    near = _mark(line_gap, LINE_GAP) if line_gap > 0 else _mark(-line_gap, LINE_OVERLAP)
    below = near * _mark(aside, ASIDE)
    return max(same_line, below)


def _mark(value: float, limits: tuple[float, float]) -> float:
    full, none = limits
    return float(np.clip((none - value) / (none - full), 0, 1))


def _axes(quad: Quad) -> tuple[Quad, Quad]:
    """Return the directions of reading and of the next line, of length 1 (0 if the region has no width)."""
    direction = quad[1] + quad[2] - quad[0] - quad[3]
    along = direction / max(float(np.hypot(*direction)), 1e-6)
    return along, np.array([-along[1], along[0]])


def _height(quad: Quad) -> float:
    return float(np.hypot(*(quad[3] - quad[0])) + np.hypot(*(quad[2] - quad[1]))) / 2


def _extent(quad: Quad, axis: Quad) -> tuple[float, float]:
    places = quad @ axis
    return float(places.min()), float(places.max())
