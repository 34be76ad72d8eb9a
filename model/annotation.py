"""Where given words are in a photo (weakly supervised annotation; paper, section 4.5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from model.encoder import Encoder


@dataclass(frozen=True)
class Annotation:
    """The region of a word.

    Attributes:
        text: The word as it was given.
        box: float32 (4,) xyxy, pixels of the photo.
        quad: float32 (4, 2), corners clockwise from the reading start.
        score: Similarity of the word and the region, in [-1, 1].
        transcript: What the network reads there.
    """

    text: str
    box: NDArray[np.float32]
    quad: NDArray[np.float32]
    score: float
    transcript: str


def annotate(encoder: Encoder, image: NDArray[np.uint8], words: Sequence[str]) -> list[Annotation | None]:
    """Find the region of each word in a photo.

    The paper takes the most similar region for each word. Here no two words get the same one: of all ways to
    give each word a region of its own that is taken whose similarities have the largest sum. So a word that
    is there twice has two places, and words that resemble each other do not push into one.

    Args:
        encoder: The network.
        image: uint8 RGB (H, W, 3), upright.
        words: Words that are in the photo, each as often as it is there.

    Returns:
        For each word its region, or None if there are more words than regions and others match better.

    Raises:
        ValueError: a word has no character that the network knows.
    """
    embeddings = encoder.encode_texts(words)
    found = encoder.encode_images([image])[0]
    similarities = embeddings @ found.embeddings.T
    return [
        None
        if region is None
        else Annotation(
            word,
            found.boxes[region],
            found.quads[region],
            float(similarities[index, region]),
            found.transcripts[region],
        )
        for index, (word, region) in enumerate(zip(words, best_regions(similarities), strict=True))
    ]


def best_regions(similarities: NDArray[np.float32]) -> list[int | None]:
    """Return for each word a region of its own, so that the sum of the similarities is largest.

    Args:
        similarities: Of words and regions (W, N).

    Returns:
        Numbers of regions; None for the words that go without if W > N.
    """
    regions: list[int | None] = [None] * len(similarities)
    for word, region in zip(*linear_sum_assignment(similarities, maximize=True), strict=True):
        regions[word] = int(region)
    return regions
