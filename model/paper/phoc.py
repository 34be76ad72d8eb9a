"""Pyramidal histograms of characters, what the paper compares itself with (Table 5).

Almazán et al., TPAMI 2014; with the levels of Sudholt and Fink, ICFHR 2016: which of the characters are in
each half, third, fourth and fifth of a word, and which of the 50 most frequent English pairs in each half.
The pairs are those of Gómez et al., ECCV 2018 (`cphoc.c` of their code, lluisgomez/single-shot-str), in their
order, for they are who the paper compares itself with; Almazán et al. counted other words and have others.

Shape legend: N words, L characters, R regions of all levels, D = 14 x characters + 2 x pairs.
"""

import torch
from torch import Tensor

LEVELS, PAIR_LEVELS = (2, 3, 4, 5), (2,)
_ENGLISH = (
    "th he in er an re es on st nt en at ed nd to or ea ti ar te ng al it as is "
    "ha et se ou of le sa ve ro ra ri hi ne me de co ta ec si ll so na li la el"
)
PAIRS = _ENGLISH.split()
PRIOR_LOGIT = -3.0  # log odds of what is where in a word: 5 in 100 for words of English


def dimension(charset: str) -> int:
    """Return D."""
    return sum(LEVELS) * len(charset) + sum(PAIR_LEVELS) * len(_pairs(charset))


def phoc(numbers: Tensor, charset: str) -> Tensor:
    """Return what is where in words, 0 or 1: float32 (N, D).

    Args:
        numbers: Characters (N, L) from 1 on, as in `charset`; 0 behind the end of a word.
        charset: The characters.
    """
    length = (numbers > 0).sum(1, keepdim=True).float()
    single = _present(numbers, 1, length, LEVELS, range(1, len(charset) + 1))
    # A pair is a number, too; 0 stands for no pair.
    places = {character: number for number, character in enumerate(charset, start=1)}
    both = numbers[:, :-1] * (len(charset) + 1) + numbers[:, 1:]
    both = both.where((numbers[:, :-1] > 0) & (numbers[:, 1:] > 0), 0)
    wanted = [places[pair[0]] * (len(charset) + 1) + places[pair[1]] for pair in _pairs(charset)]
    double = _present(both, 2, length, PAIR_LEVELS, wanted)
    return torch.cat([single, double], dim=1)


def _pairs(charset: str) -> list[str]:
    return [pair for pair in PAIRS if set(pair) <= set(charset)]


def _present(
    numbers: Tensor, width: int, length: Tensor, levels: tuple[int, ...], wanted: list[int] | range
) -> Tensor:
    """Return which of the wanted numbers are in which region: (N, R * wanted).

    What stands at character k of n takes the part from k / n to (k + width) / n of a word; it is in a region
    if half of it or more is.
    """
    start = torch.arange(numbers.shape[1], device=numbers.device) / length  # N L
    end = start + width / length
    regions = torch.tensor([[r / level, (r + 1) / level] for level in levels for r in range(level)])
    low, high = regions.to(numbers.device).unbind(1)
    common = torch.minimum(end[..., None], high) - torch.maximum(start[..., None], low)  # N L R
    # A little less than half: thirds and fifths are not exact.
    inside = common >= (0.5 - 1e-4) * (end - start)[..., None]
    is_wanted = numbers[..., None] == torch.tensor(list(wanted), device=numbers.device)  # N L W
    present = (inside[..., None] & is_wanted[:, :, None]).any(1)
    return present.flatten(1).float()
