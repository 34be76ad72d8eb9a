"""Orders the doubtful photos among the first of a ranking once more, by all that the reader saw.

The inner product compares a word with what a region most likely says. How likely the region says the word, by
all that the reader saw there, is no inner product, so only the first photos are compared by it, and of those
only the ones that do not surely show the word: a sure reading of another word then no longer comes before an
unsure one of the right word.

What the reader saw is kept as CTC posteriors: for each step of the reader how likely it says nothing, and
which letters it may say how likely, thirteen bytes.

Shape legend: N regions.
"""

from collections.abc import Mapping, Sequence
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

RERANKED = 20  # first photos of a ranking
WEIGHT = 0.3  # of the log-likelihood a letter, to 1 of the inner product
NEAR = 0.1  # how far below a photo's best region its others may be and still count
LONGEST = 30  # letters of a word; longer ones no region says
LETTERS = 4  # that are kept of a step
LEAST = 1e-4  # probability that every letter has at least: readers are surer than right
LEVELS = 255  # of a probability in a byte: its logarithm
_FINENESS = LEVELS / -log(LEAST)
LAST = 0xFFFF  # code point that two bytes hold; no network knows others
_STEP = np.dtype([("silent", "u1"), ("chances", "u1", LETTERS), ("letters", "<u2", LETTERS)])

Floats = NDArray[np.floating[Any]]
Region = tuple[float, bytes]  # inner product with the word, and posteriors; none if nobody noted them


def reranked(word: str, likely: float, photos: Sequence[Sequence[Region]]) -> list[int]:
    """Return the order of the first `RERANKED` photos of a ranking.

    Those that likely show the word stay where they are, as do those without regions or posteriors.

    Args:
        word: As the network folds it.
        likely: The inner product from which a photo likely shows it.
        photos: In the order of their best regions; of each its best regions, the best first.
    """
    scores = [photo[0][0] if photo else -np.inf for photo in photos[:RERANKED]]
    order = list(range(len(scores)))
    if not 0 < len(word) <= LONGEST:
        return order
    near, doubtful = [], []
    for place, score in enumerate(scores):
        regions = [region for region in photos[place] if region[0] >= score - NEAR]
        if score < likely and regions and all(posteriors for _, posteriors in regions):
            near.append(regions)
            doubtful.append(place)
    if len(doubtful) < 2:
        return order
    seen = [posteriors for regions in near for _, posteriors in regions]
    totals = np.array([score for regions in near for score, _ in regions])
    totals += WEIGHT * log_likelihoods(word, seen)
    starts = np.cumsum([0, *map(len, near[:-1])])
    best = np.argsort(-np.maximum.reduceat(totals, starts), kind="stable")
    for place, number in zip(doubtful, best.tolist(), strict=True):
        order[place] = doubtful[number]
    return order


def log_likelihoods(word: str, regions: Sequence[bytes]) -> Floats:
    """Return how likely regions (N,) say a word, as logarithms, divided by its letters: 0 at most.

    This is the sum over all alignments of CTC (Graves et al., 2006), by its forward recursion.

    Args:
        word: Folded.
        regions: Posteriors, as `packed` gives them.
    """
    steps = np.frombuffer(b"".join(regions), _STEP)
    counts = np.array([len(region) // _STEP.itemsize for region in regions], np.int64)
    alphabet, spelling = np.unique([ord(letter) for letter in word], return_inverse=True)
    matching = steps["letters"][:, :, None] == alphabet
    said = LEAST + (matching * _chances(steps["chances"])[:, :, None]).sum(1)
    # Silence follows, in which a word that is longer than the region has room at least.
    room = 2 * len(word)
    longest = max(room, counts.max(initial=0))
    seen = np.zeros((longest, 1 + len(alphabet), len(regions)))  # numpy is quickest with regions last
    seen[:, 0] = 1
    seen[:room, 1:] = LEAST
    there = np.arange(longest) < counts[:, None]
    seen.transpose(2, 0, 1)[there] = np.concatenate([_chances(steps["silent"])[:, None], said], axis=1)
    # States: silence, the first letter, silence, the second, and so on.
    states = np.zeros(2 * len(word) + 1, np.intp)
    states[1::2] = spelling + 1
    other = (spelling[1:] != spelling[:-1])[:, None]  # letters that may follow each other without silence
    paths = np.zeros((len(states), len(regions)))
    paths[0] = 1
    for step in seen:
        before = paths
        paths = before.copy()
        paths[1:] += before[:-1]
        paths[3::2] += before[1:-2:2] * other
        paths *= step[states]
    found: Floats = np.log(np.maximum(paths[-2:].sum(0), np.finfo(float).tiny)) / len(word)
    return found


def packed(steps: Sequence[tuple[float, Mapping[str, float]]]) -> bytes:
    """Return posteriors: of each step the probability of silence, and of letters it may say."""
    rows = []
    for silent, letters in steps:
        known = {letter: chance for letter, chance in letters.items() if ord(letter) <= LAST}
        kept = sorted(known, key=known.__getitem__, reverse=True)[:LETTERS]
        room = [0] * (LETTERS - len(kept))
        levels = [*(_level(known[letter]) for letter in kept), *room]
        rows.append((_level(silent), levels, [*map(ord, kept), *room]))
    return np.array(rows, _STEP).tobytes()


def _level(chance: float) -> int:
    """Return a probability as the whole number that stands for it."""
    return max(0, round(LEVELS + _FINENESS * log(max(chance, LEAST))))


def _chances(levels: NDArray[np.uint8]) -> Floats:
    chances: Floats = np.exp((levels - np.float64(LEVELS)) / _FINENESS)
    return chances
