"""Targets of the learned similarity: edit distance and pseudowords (paper, Eq. 2 and section 3.4)."""

from collections.abc import Sequence

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist
from torch import Tensor

from model.charset import Charset
from model.checkpoint import Network
from model.embedder import stretch_words
from model.training.losses import row_maximum_loss

EDITS = ("insert", "delete", "replace", "keep")
SHARES = (1 / 8, 1 / 8, 1 / 8, 5 / 8)


def edit_similarity(first: Sequence[str], second: Sequence[str]) -> Tensor:
    """Return 1 - Levenshtein distance / length of the longer word, in [0, 1] (Eq. 2).

    Float32 (len(first), len(second)). An empty word stands for no text: it is like nothing, not even like
    another one.
    """
    if not first or not second:
        return torch.zeros(len(first), len(second))
    table = cdist(first, second, scorer=Levenshtein.normalized_similarity, dtype=np.float32)
    text = np.array([bool(word) for word in first])[:, None] & np.array([bool(word) for word in second])
    return torch.from_numpy(table * text)


def pseudoword(rng: np.random.Generator, word: str, characters: str) -> str:
    """Return a word like `word`, never empty: each character keeps, loses, changes or gains a neighbour.

    Word augmentation of the paper with the shares insert : delete : replace : keep = 1 : 1 : 1 : 5.
    """
    result = []
    for character in word:
        edit = EDITS[rng.choice(4, p=SHARES)]
        other = characters[rng.integers(len(characters))]
        pieces = {"insert": character + other, "delete": "", "replace": other, "keep": character}
        result.append(pieces[edit])
    return "".join(result) or word


def similarity_loss(
    network: Network,
    regions: Tensor,
    texts: Sequence[str],
    rng: np.random.Generator,
    *,
    pseudowords: bool = True,
    pairs: bool = True,
    beta: float = 1.0,
) -> Tensor:
    """Return L_s (Eq. 4) of regions of photos and what they say.

    Args:
        network: Whose text branch is trained along.
        regions: Embeddings (N, D) of regions.
        texts: What they say, folded to the charset; "" for a region without text.
        rng: Source of chance for the pseudowords.
        pseudowords: Add one to each word.
        pairs: Add the similarities of words among each other, and of regions.
        beta: Where smooth-L1 goes from square to line.
    """
    charset = Charset(network.config.charset)
    words = sorted({text for text in texts if text})
    if not words:
        return regions.sum() * 0
    if pseudowords:
        words += [pseudoword(rng, word, charset.characters) for word in words]
    numbers, stretch = stretch_words([charset.encode(word) for word in words], network.config.steps)
    queries = network.embed_words(numbers.to(regions.device), stretch.to(regions.device))
    loss = _loss(queries, regions, words, texts, beta)
    if not pairs:
        return loss
    told = [index for index, text in enumerate(texts) if text]
    read = [texts[index] for index in told]
    return (
        loss
        + _loss(queries, queries, words, words, beta)
        + _loss(regions[told], regions[told], read, read, beta)
    )


def _loss(
    rows: Tensor, columns: Tensor, row_texts: Sequence[str], column_texts: Sequence[str], beta: float
) -> Tensor:
    target = edit_similarity(row_texts, column_texts).to(rows.device)
    return row_maximum_loss(rows @ columns.T, target, beta)
