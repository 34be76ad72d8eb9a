"""Likely spellings of what a region shows: the likeliest of whole words, not only the likeliest characters.

They are found by a prefix beam search of the CTC paths (Hannun et al., "First-pass large vocabulary
continuous speech recognition using bi-directional recurrent DNNs", 2014), over spellings as the network folds
them: what is read as `Bar` and as `bar` adds up. Characters that cannot be searched for are like the blank.

Shape legend: N regions, S steps, C characters that are read, D numbers in an embedding.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.reranking import packed

WIDTH, KEPT = 8, 3  # beginnings that are gone on with, and spellings at the end
CHARACTERS, LEAST = 6, 0.01  # that a step may say, and how likely each is at least
SILENT = 0.995  # so likely silent, a step says nothing
UNLIKELY = 0.03  # probability of what is left out, to that of the best

Floats = NDArray[np.float32]
# Of each step: the probability of silence, and those of the likeliest characters, given by their numbers.
Steps = list[tuple[float, list[float], list[int]]]
Spellings = list[tuple[str, float]]  # with their shares, which are 1 together; the likeliest first
# Beginnings with the probability of their paths that end silent, and of those that end in each character.
Beams = dict[str, tuple[float, dict[int, float]]]


class Speller:
    """Spells what was read in regions."""

    def __init__(self, characters: str, fold: Callable[[str], str]) -> None:
        """Fold the characters that are read.

        Args:
            characters: That are read, C of them; the first logit is the blank's.
            fold: To what can be searched for: nothing, a letter, or several as for `½`.
        """
        self._folded = ["", *map(fold, characters)]
        spoken = torch.tensor([bool(letters) for letters in self._folded])
        self._silent, self._spoken = (~spoken).nonzero()[:, 0], spoken.nonzero()[:, 0]

    def steps(self, logits: Tensor) -> list[Steps]:
        """Return what each region may say, given logits (N, S, 1 + C)."""
        probabilities = logits.float().cpu().softmax(2)
        silent = probabilities[..., self._silent].sum(2)
        chances, places = probabilities[..., self._spoken].topk(min(CHARACTERS, len(self._spoken)))
        rows = zip(silent.tolist(), chances.tolist(), self._spoken[places].tolist(), strict=True)
        return [list(zip(*row, strict=True)) for row in rows]

    def pack(self, steps: Steps) -> bytes:
        """Return what a region may say as `reranking` has it; steps that say nothing are kept once."""
        kept: list[tuple[float, dict[str, float]]] = []
        for nothing, of_kind in groupby(steps, lambda step: step[0] >= SILENT):
            for silent, chances, numbers in list(of_kind)[: 1 if nothing else None]:
                letters: dict[str, float] = {}
                for number, chance in zip(numbers, chances, strict=True):
                    letter = self._folded[number]
                    if len(letter) == 1:
                        letters[letter] = letters.get(letter, 0.0) + chance
                kept.append((silent, letters))
        return packed(kept)

    def spell(self, steps: Steps) -> Spellings:
        """Return the likely spellings of a region.

        The shares are as the square roots of the probabilities: readers are surer than right.
        """
        beams: Beams = {"": (1.0, {})}
        for silent, chances, numbers in steps:
            said = [pair for pair in zip(numbers, chances, strict=True) if pair[1] >= LEAST]
            if said:
                beams = _likeliest(self._further(beams, silent, said), WIDTH)
            else:  # as above, at once: most steps are silent
                beams = {text: (_probability(*ends) * silent, {}) for text, ends in beams.items()}
        roots = {text: _probability(*ends) ** 0.5 for text, ends in _likeliest(beams, KEPT).items()}
        total = sum(roots.values())
        return [(text, root / total) for text, root in roots.items()]

    def _further(self, beams: Beams, silent: float, said: Sequence[tuple[int, float]]) -> Beams:
        """Return the beginnings after one more step."""
        after: dict[str, tuple[list[float], dict[int, float]]] = {}
        for text, (blank, spoken) in beams.items():
            both = _probability(blank, spoken)
            still, held = after.setdefault(text, ([0.0], {}))
            still[0] += both * silent
            for number, chance in said:
                same = spoken.get(number, 0.0)  # goes on: only after silence it is said once more
                if same:
                    held[number] = held.get(number, 0.0) + same * chance
                _, longer = after.setdefault(text + self._folded[number], ([0.0], {}))
                longer[number] = longer.get(number, 0.0) + (both - same) * chance
        return {text: (still[0], held) for text, (still, held) in after.items()}


def _probability(blank: float, spoken: dict[int, float]) -> float:
    return blank + sum(spoken.values())


def _likeliest(beams: Beams, count: int) -> Beams:
    ranked = sorted(((_probability(*ends), text) for text, ends in beams.items()), reverse=True)[:count]
    least = UNLIKELY * ranked[0][0]
    return {text: beams[text] for probability, text in ranked if probability >= least}


def means(regions: Sequence[Spellings], encode: Callable[[Sequence[str]], Floats], dimension: int) -> Floats:
    """Return the mean embeddings (N, D) of the spellings of regions, zeros where nothing was read.

    Args:
        regions: N of them; each word is embedded once.
        encode: Makes the embeddings (M, D) of words.
        dimension: D.
    """
    words = sorted({text for spellings in regions for text, _ in spellings if text})
    numbers = {word: number for number, word in enumerate(words)}
    shares = np.zeros((len(regions), len(words)), np.float32)
    for row, spellings in zip(shares, regions, strict=True):
        for text, share in spellings:
            if text:
                row[numbers[text]] = share
    found: Floats = shares @ encode(words).reshape(-1, dimension)
    return found
