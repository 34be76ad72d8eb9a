"""Likely spellings of what a region shows: the likeliest of whole words, not only the likeliest characters.

They are found by a prefix beam search of the CTC paths (Hannun et al., "First-pass large vocabulary
continuous speech recognition using bi-directional recurrent DNNs", 2014), over characters as the network
folds them: `Bar` and `bar` are one spelling. Characters that cannot be searched for say nothing, as the blank
does.

Shape legend: N regions, S steps, C characters that are read, L letters they fold to, D numbers in an
embedding.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WIDTH, KEPT = 8, 5  # beginnings that are gone on with, and spellings at the end
LETTERS, LEAST_LETTER = 5, 0.01  # that a step may say, and how likely each is at least
UNLIKELY = 0.03  # probability of what is left out, to that of the best

Floats = NDArray[np.float32]
Spellings = list[tuple[str, float]]  # with their shares, which are 1 together; the likeliest first
Beams = dict[
    str, tuple[float, float]
]  # beginnings: the probabilities that they end silent, and in their letter


class Speller:
    """Spells what was read in regions."""

    def __init__(self, characters: str, fold: Callable[[str], str]) -> None:
        """Fold the characters that are read.

        Args:
            characters: That are read, C of them; the first logit is the blank's.
            fold: To what can be searched for.
        """
        folded = ["", *map(fold, characters)]
        self._letters = list(dict.fromkeys(folded))  # the first says nothing
        places = {letter: place for place, letter in enumerate(self._letters)}
        self._places = torch.tensor([places[letter] for letter in folded])

    def fold(self, logits: Tensor) -> Tensor:
        """Return the probabilities of silence and letters (N, S, 1 + L), given logits (N, S, 1 + C)."""
        folded = torch.zeros(*logits.shape[:2], len(self._letters))
        return folded.index_add_(2, self._places, logits.float().cpu().softmax(2))

    def spell(self, probabilities: Tensor) -> Spellings:
        """Return the likely spellings of a region, given its part (S, 1 + L) of what `fold` returns.

        The shares are as the square roots of the probabilities: readers are surer than right.
        """
        spoken, places = probabilities[:, 1:].topk(min(LETTERS, len(self._letters) - 1))
        beams: Beams = {"": (1.0, 0.0)}
        steps = zip(probabilities[:, 0].tolist(), spoken.tolist(), places.tolist(), strict=True)
        for silent, chances, letters in steps:
            pairs = zip(letters, chances, strict=True)
            said = [(self._letters[place + 1], chance) for place, chance in pairs if chance >= LEAST_LETTER]
            beams = _likeliest(_further(beams, silent, said), WIDTH)
        roots = {text: sum(ends) ** 0.5 for text, ends in _likeliest(beams, KEPT).items()}
        return [(text, root / sum(roots.values())) for text, root in roots.items()]


def _further(beams: Beams, silent: float, said: Sequence[tuple[str, float]]) -> Beams:
    """Return the beginnings after one more step."""
    after: Beams = {}
    for text, (quiet, loud) in beams.items():
        held = 0.0
        for letter, chance in said:
            again = text.endswith(letter)  # the same letter once more, unless there was silence
            held += loud * chance if again else 0.0
            longer = after.get(text + letter, (0.0, 0.0))
            after[text + letter] = longer[0], longer[1] + (quiet if again else quiet + loud) * chance
        known = after.get(text, (0.0, 0.0))
        after[text] = known[0] + (quiet + loud) * silent, known[1] + held
    return after


def _likeliest(beams: Beams, count: int) -> Beams:
    ranked = sorted(beams.items(), key=lambda item: -sum(item[1]))[:count]
    least = UNLIKELY * sum(ranked[0][1])
    return {text: ends for text, ends in ranked if sum(ends) >= least}


class Vocabulary:
    """Embeddings of words, each made once."""

    def __init__(self, encode: Callable[[Sequence[str]], Floats], dimension: int) -> None:
        """Begin with none.

        Args:
            encode: Makes the embeddings (N, D) of words.
            dimension: D.
        """
        self._encode = encode
        self._known = {"": np.zeros(dimension, np.float32)}  # nothing was read

    def add(self, words: Iterable[str]) -> None:
        """Embed those that are new, in one call."""
        new = sorted(set(words) - self._known.keys())
        self._known.update(zip(new, self._encode(new), strict=True))

    def embeddings(self, words: Sequence[str]) -> Floats:
        """Return the embeddings (N, D) of known words, zeros for an empty one."""
        found = np.array([self._known[word] for word in words], np.float32)
        return found.reshape(-1, len(self._known[""]))

    def means(self, spellings: Sequence[Spellings]) -> Floats:
        """Return the mean embeddings (N, D) of the spellings of regions, whose words are known."""
        means = np.zeros((len(spellings), len(self._known[""])), np.float32)
        for mean, of_region in zip(means, spellings, strict=True):
            for text, share in of_region:
                mean += share * self._known[text]
        return means
