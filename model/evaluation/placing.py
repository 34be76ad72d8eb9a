"""How well the regions of a network lie on the words: all it proposes, and those it finds for given words.

The second is weakly supervised annotation (paper, section 4.5): the readable words of a photo are given,
their places are not. Both are held against the true places by the two protocols of `detection`.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from model.annotation import best_regions
from model.boxes import pairwise_iou
from model.charset import Charset
from model.encoder import Proposals
from model.evaluation.detection import IOU_THRESHOLD, Tally, deteval, matched
from model.evaluation.records import Photo, Word


class _Encoder(Protocol):
    charset: Charset

    def encode_texts(self, words: list[str]) -> NDArray[np.float32]: ...


class Placing:
    """Sums over photos."""

    def __init__(self, encoder: _Encoder) -> None:
        """Begin; the encoder embeds the words of the photos."""
        self._encoder = encoder
        self._detection = {"deteval": Tally(), "iou_0.5": Tally()}
        self._annotation = {"deteval": Tally(), "iou_0.5": Tally()}
        self._in_place = 0

    def add(self, photo: Photo, found: Proposals) -> None:
        """Count a photo and what was found in it; one without readable words that have places counts not."""
        truth = [word for word in photo.words if word.text and not word.ignore]
        if not truth:
            return
        ignored = [word for word in photo.words if word.ignore]
        _count(self._detection, truth, ignored, found.boxes, found.quads)

        # A word of which the network knows no character cannot be annotated: it stays to be found.
        known = [word for word in truth if self._encoder.charset.fold(word.text or "")]
        similarities = self._encoder.encode_texts([word.text or "" for word in known]) @ found.embeddings.T
        given = zip(known, best_regions(similarities), strict=True)
        placed = [(word, region) for word, region in given if region is not None]
        regions = np.array([region for _, region in placed], int)
        _count(self._annotation, truth, ignored, found.boxes[regions], found.quads[regions])
        if placed:
            overlaps = pairwise_iou(
                torch.from_numpy(_boxes([word for word, _ in placed])), torch.from_numpy(found.boxes[regions])
            )
            self._in_place += int((overlaps.diagonal() > IOU_THRESHOLD).sum())

    def detection(self) -> dict[str, dict[str, float]]:
        """Return precision, recall and F-score of all proposals by protocol; empty if no word has a place."""
        return _figures(self._detection)

    def annotation(self) -> dict[str, dict[str, float]]:
        """Return the same of the regions found for the words.

        `own_word` adds the share of the words whose own region lies on them, IoU of the boxes above 0.5.
        """
        figures = _figures(self._annotation)
        truths = self._annotation["deteval"].truths
        return figures | {"own_word": {"recall": self._in_place / truths}} if truths else figures


def _count(
    tallies: dict[str, Tally],
    truth: list[Word],
    ignored: list[Word],
    boxes: NDArray[np.float32],
    quads: NDArray[np.float32],
) -> None:
    tallies["deteval"] += deteval(_boxes(truth), boxes, _boxes(ignored))
    tallies["iou_0.5"] += matched(_quads(truth), quads, _quads(ignored))


def _boxes(words: list[Word]) -> NDArray[np.float32]:
    return np.array([word.box for word in words], np.float32).reshape(-1, 4)


def _quads(words: list[Word]) -> NDArray[np.float32]:
    return np.array([word.quad for word in words], np.float32).reshape(-1, 4, 2)


def _figures(tallies: dict[str, Tally]) -> dict[str, dict[str, float]]:
    return {protocol: tally.score() for protocol, tally in tallies.items() if tally.truths}
