from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from model.charset import LATIN
from model.retriever import Retriever
from model.training.similarity import edit_similarity, pseudoword, similarity_loss


def test_edit_similarity_by_hand() -> None:
    found = edit_similarity(["google", "bar", ""], ["google", "goggle", "b", ""])
    expected = [[1, 5 / 6, 0, 0], [0, 0, 1 / 3, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert edit_similarity([], ["a"]).shape == (0, 1)


@given(st.text(LATIN, min_size=1, max_size=12), st.integers(0, 1000))
def test_pseudowords_are_words_of_the_charset(word: str, seed: int) -> None:
    result = pseudoword(np.random.default_rng(seed), word, LATIN)
    assert result
    assert set(result) <= set(LATIN)
    assert result == pseudoword(np.random.default_rng(seed), word, LATIN)


def test_edits_come_in_their_shares() -> None:
    rng = np.random.default_rng(0)
    kinds: Counter[str] = Counter()
    for _ in range(8000):
        result = pseudoword(rng, "ab", "x")  # of two characters none is kept by an edit but "keep"
        kinds[result] += 1
    shares = {"insert": 1 / 8, "delete": 1 / 8, "replace": 1 / 8, "keep": 5 / 8}
    pieces = {"insert": ("ax", "bx"), "delete": ("", ""), "replace": ("x", "x"), "keep": ("a", "b")}
    expected: Counter[str] = Counter()
    for one, first in pieces.items():
        for other, second in pieces.items():
            expected[(first[0] + second[1]) or "ab"] += 8000 * shares[one] * shares[other]  # type: ignore[assignment]
    assert set(kinds) == set(expected)
    for word, count in expected.items():
        assert kinds[word] == pytest.approx(count, abs=5 * count**0.5 + 5)


@pytest.mark.parametrize("pairs", [True, False])
def test_training_on_the_loss_learns_the_words(tiny: Retriever, pairs: bool) -> None:
    tiny.train().requires_grad_(True)
    torch.manual_seed(0)
    texts = ["abc", "xyz", "77", ""]
    regions = torch.nn.Parameter(torch.randn(4, 20))
    optimizer = torch.optim.Adam([regions, *tiny.text_branch.parameters()], 0.02)
    losses = []
    for step in range(60):
        rng = np.random.default_rng(step)
        loss = similarity_loss(tiny, F.normalize(regions, dim=1), texts, rng, pairs=pairs, beta=0.1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_pairs_and_pseudowords_add_terms(tiny: Retriever) -> None:
    regions = F.normalize(torch.randn(2, 20), dim=1)
    plain, paired = (
        float(
            similarity_loss(
                tiny, regions, ["abc", "abd"], np.random.default_rng(0), pseudowords=False, pairs=pairs
            )
        )
        for pairs in (False, True)
    )
    assert 0 < plain < paired


def test_regions_without_text_cost_nothing_alone(tiny: Retriever) -> None:
    regions = torch.randn(2, 20, requires_grad=True)
    loss = similarity_loss(tiny, regions, ["", ""], np.random.default_rng(0))
    assert float(loss.detach()) == 0
    loss.backward()  # type: ignore[no-untyped-call]


class Fixed:
    """A text branch whose embeddings were chosen beforehand, in the order of the sorted words."""

    def __init__(self, embeddings: list[list[float]]) -> None:
        self.embeddings = torch.tensor(embeddings).float()
        self.config = SimpleNamespace(charset=LATIN, steps=15)

    def embed_words(self, numbers: torch.Tensor, stretch: torch.Tensor) -> torch.Tensor:
        assert len(numbers) == len(self.embeddings)
        return self.embeddings


def test_the_loss_by_hand() -> None:
    """Eq. 4 without pseudowords: words bar, bat; regions that say bat, bar; targets 1 and 2 / 3."""
    network = Fixed([[1, 0], [0, 1]])
    regions = torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    words_regions = ((2 / 3 - 0.6) ** 2 / 2 + (2 / 3) ** 2 / 2) / 2  # bar: .6 and 1; bat: .8 and 0
    words_words = (2 / 3) ** 2 / 2  # 1, and 0 in place of 2 / 3
    regions_regions = (2 / 3 - 0.6) ** 2 / 2
    rng = np.random.default_rng(0)
    for pairs, expected in (
        (False, words_regions),
        (True, words_regions + words_words + regions_regions),
    ):
        found = similarity_loss(network, regions, ["bat", "bar"], rng, pseudowords=False, pairs=pairs)
        assert float(found) == pytest.approx(expected, rel=1e-5)


def test_every_word_gets_one_pseudoword() -> None:
    regions = torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    network = Fixed([[1, 0], [0, 1], [1, 0], [0, 1]])
    similarity_loss(network, regions, ["bat", "bar"], np.random.default_rng(0), pseudowords=True)
