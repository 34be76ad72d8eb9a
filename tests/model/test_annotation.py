from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from model.annotation import annotate, best_regions
from model.encoder import Encoder, Proposals


@pytest.mark.parametrize(
    ("similarities", "regions"),
    [
        ([[0.9, 0.1], [0.2, 0.8]], [0, 1]),
        # both like the first region best; the second word gives way, which costs less
        ([[0.9, 0.1], [0.8, 0.7]], [0, 1]),
        ([[0.9, 0.8], [0.8, 0.1]], [1, 0]),
        # one of three words goes without
        ([[0.2], [0.9], [0.3]], [None, 0, None]),
        # a region is found for a word that resembles none
        ([[-0.5, -0.1]], [1]),
    ],
)
def test_words_share_the_regions(similarities: list[list[float]], regions: list[int | None]) -> None:
    assert best_regions(np.array(similarities, np.float32)) == regions


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0)])
def test_without_words_or_regions(shape: tuple[int, int]) -> None:
    assert best_regions(np.zeros(shape, np.float32)) == [None] * shape[0]


@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(-1, 1, width=32)
    )
)
def test_no_other_way_has_a_larger_sum(similarities: NDArray[np.float32]) -> None:
    words, regions = similarities.shape
    chosen = {word: region for word, region in enumerate(best_regions(similarities)) if region is not None}
    assert len(set(chosen.values())) == len(chosen) == min(words, regions)
    best = sum(similarities[word, region] for word, region in chosen.items())
    wide = similarities if words <= regions else similarities.T
    ways = permutations(range(wide.shape[1]), wide.shape[0])
    assert best >= max(sum(wide[row, column] for row, column in enumerate(way)) for way in ways) - 1e-5


class FixedEncoder:
    """An encoder that finds two regions."""

    def encode_texts(self, words: list[str]) -> NDArray[np.float32]:
        return np.array([[1, 0] if word == "cafe" else [0, 1] for word in words], np.float32)

    def encode_images(self, images: list[NDArray[np.uint8]]) -> list[Proposals]:
        boxes = np.array([[0, 0, 5, 5], [10, 0, 15, 5]], np.float32)
        quads = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(2, 4, 2)
        ones = np.ones(2, np.float32)
        return [Proposals(boxes, quads, ones, ["bar", "cafe"], ones, np.eye(2, dtype=np.float32)[::-1])]


def test_words_get_box_and_similarity() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    first, second, third = annotate(FixedEncoder(), image, ["cafe", "bar", "bar"])  # type: ignore[arg-type]
    assert first is not None
    assert (first.text, first.transcript, first.score) == ("cafe", "cafe", 1.0)
    assert first.box.tolist() == [10, 0, 15, 5]
    assert first.quad.shape == (4, 2)
    assert [second is None, third is None].count(True) == 1  # there is but one region more


def test_a_real_network_annotates(tiny_checkpoint: Path) -> None:
    encoder = Encoder(tiny_checkpoint, device="cpu-torch", longer_sides=(64,), threads=1)
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    found = annotate(encoder, image, ["abc", "cab"])
    assert len(found) == 2
    assert all(word is None or -1 <= word.score <= 1 for word in found)
    with pytest.raises(ValueError, match="has none of the characters"):
        annotate(encoder, image, ["!"])
