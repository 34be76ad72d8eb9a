r"""Fits how regions are judged by what was read there (`model.legibility`), and notes it in a checkpoint.

    python -m model.training.legibility IN.safetensors OUT.safetensors --dataset DATA/icdar2015/train.jsonl \
        --validation DATA/icdar2015/val.jsonl --min-score 0.28 --squeeze 1.4 --proposals 21

A region is right as far as it looks like the word that it overlaps. Everything is fitted on regions of the
data set but the probability from which they are kept, which leaves so many a photo of the validation photos.
To be run after every training; the network itself stays as it is, its eight bits too.
"""

import argparse
import logging
import math
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import checkpoint
from model.encoder import Encoder, Proposals
from model.evaluation.dataset import Photo, read_photos, spread
from model.evaluation.metrics import best_overlaps
from model.legibility import Legibility, Spelling, fitted, signs

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
SHARE = 1.0  # of the spellings in an embedding: 0.5 to 1 rank about alike
OVERLAP = 0.4  # IoU from which a region shows a word
DOUBTFUL = 0.25  # detector score of regions to fit on: somebody may wish to have more of them read


def rightness(photo: Photo, found: Proposals, encoder: Encoder) -> Floats:
    """Return how well each region (N,) shows a readable word: their similarity, 0 if there is none."""
    words = [word for word in photo.words if not word.ignore and encoder.charset.fold(word.text or "")]
    right = np.zeros(len(found.scores), np.float32)
    if words and len(right):
        embeddings = encoder.encode_texts([str(word.text) for word in words])
        for word, embedding in zip(words, embeddings, strict=True):
            overlaps = best_overlaps(found.boxes, word.box[None])
            right = np.maximum(right, (overlaps >= OVERLAP) * (found.embeddings @ embedding))
    return right


def regions(encoder: Encoder, photos: list[Photo], min_score: float) -> list[tuple[Proposals, Spelling]]:
    """Return the regions of photos from this detector score on, and what was read there."""
    result = []
    for number, photo in enumerate(photos, start=1):
        (found,) = encoder.encode_images([photo.pixels()])
        chosen = np.flatnonzero(found.scores >= min_score)
        found = found.take(chosen, found.scores[chosen])
        result.append((found, encoder.spell([found])[0]))
        if number % 20 == 0 or number == len(photos):
            log.info("%d of %d photos", number, len(photos))
    return result


def fit(
    encoder: Encoder, photos: list[Photo], validation: list[Photo], *, min_score: float, proposals: float
) -> Legibility:
    """Return how to judge regions.

    Args:
        encoder: Reads doubtful regions too, and judges none.
        photos: To fit on.
        validation: Other photos, to know from which probability on regions are kept.
        min_score: Detector score of what will be read.
        proposals: To be kept of each of those photos, on average.

    Raises:
        ValueError: no region of the photos shows a word.
    """
    seen = regions(encoder, photos, DOUBTFUL)
    observed = np.concatenate([signs(found, spelling) for found, spelling in seen])
    pairs = zip(photos, seen, strict=True)
    right = np.concatenate([rightness(photo, found, encoder) for photo, (found, _) in pairs])
    if not right.any():
        raise ValueError("no region of these photos shows a word that can be read")
    log.info("%d regions, %.1f %% of them right", len(right), 100 * (right > 0.5).mean())
    rule = Legibility(fitted(observed, right), 0.0, SHARE)
    judged = [rule.judged(*of_photo).scores for of_photo in regions(encoder, validation, min_score)]
    scores = np.sort(np.concatenate(judged))[::-1]
    if not len(scores):
        raise ValueError("no region is found in the validation photos")
    last = min(len(scores), round(proposals * len(validation))) - 1
    return Legibility(rule.weights, math.floor(float(scores[last]) * 1e4) / 1e4, SHARE)


def main() -> None:
    """Fit from the command line."""
    parser = argparse.ArgumentParser(description="Fit how regions are judged by what was read there.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dataset", type=Path, required=True, help="photos and their words, to fit on")
    parser.add_argument("--validation", type=Path, required=True, help="others, to know how many are kept")
    parser.add_argument("--photos", type=int, default=200, help="so many of the data set, evenly spread")
    parser.add_argument("--proposals", type=float, default=21, help="to be kept of a photo, on average")
    parser.add_argument("--longer-side", type=int, help="size at which photos are searched from now on")
    parser.add_argument("--min-score", type=float, help="detector score of what is read from now on")
    parser.add_argument("--squeeze", type=float, help="words are read narrower by so much from now on")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        loaded = checkpoint.load(given.checkpoint)
        wishes = {name: getattr(given, name) for name in ("longer_side", "min_score", "squeeze")}
        card = loaded.card | {name: value for name, value in wishes.items() if value is not None}
        photos = spread(read_photos(given.dataset), given.photos)
        with tempfile.TemporaryDirectory() as folder:
            bare = Path(folder) / "bare.safetensors"
            checkpoint.save(bare, loaded.retriever, card, loaded.extras)
            encoder, others = Encoder(bare, min_score=DOUBTFUL, judge=False), read_photos(given.validation)
            wanted = {"min_score": float(card["min_score"]), "proposals": given.proposals}
            rule = fit(encoder, photos, others, **wanted)
    except ValueError as exc:
        parser.error(str(exc))
    checkpoint.save(given.out, loaded.network, card | {"legibility": asdict(rule)}, loaded.extras)
    log.info("%s", rule)


if __name__ == "__main__":
    main()
