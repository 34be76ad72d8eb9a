"""Measures from which similarity on a match is likely right, and notes it beside the weights.

    python -m model.evaluation.calibrate DATA/icdar2015/val.jsonl [--checkpoint FILE] [--out FILE]
    python -m model.evaluation.calibrate scenes.jsonl --checkpoint FILE --lengths 1 5

A pair of a word and a photo is right if the photo has a readable word equal to it. For words of each length
the cut is the lowest one at which nine in ten of the pairs above it are right; it never rises with the
length. Words of one or two letters are too few to measure, unless they are Chinese: they get the cut of a
network that was never calibrated. To be run after every training, on photos that nothing was trained on.
"""

import argparse
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.calibration import PATH, UNKNOWN
from model.encoder import DEFAULT_CHECKPOINT, Encoder
from model.evaluation.dataset import read_photos
from model.evaluation.evaluate import words_of
from model.evaluation.metrics import photo_scores

log = logging.getLogger(__name__)

PRECISION = 0.9
# Words of these lengths are measured each by itself; the last length stands for all longer ones too.
LENGTHS = (3, 9)


def choose_cut(scores: NDArray[np.float32], right: NDArray[np.bool_], precision: float = PRECISION) -> float:
    """Return the lowest score at which the share of right pairs at or above it is at least `precision`.

    1 if there is none. Rounded down to four digits.

    Args:
        scores: (N,) of pairs of a word and a photo.
        right: (N,) whether the photo shows the word.
        precision: Share that is asked for.
    """
    ranking = np.argsort(-scores, kind="stable")
    shares = np.cumsum(right[ranking]) / np.arange(1, len(ranking) + 1)
    # Of equal scores the last one decides.
    last = np.append(np.diff(scores[ranking]) != 0, True)[: len(ranking)]
    reached = np.flatnonzero((shares >= precision) & last)
    return math.floor(float(scores[ranking[reached[-1]]]) * 1e4) / 1e4 if len(reached) else 1.0


def choose_cuts(
    words: Sequence[str],
    scores: NDArray[np.float32],
    right: NDArray[np.bool_],
    measured: tuple[int, int] = LENGTHS,
) -> list[float]:
    """Return the cuts for words of one letter, two, and so on; the last also for all longer ones.

    Args:
        words: Q words.
        scores: (Q, photos) of each word in each photo.
        right: Likewise, whether the photo shows the word.
        measured: The first and the last length that are measured.
    """
    first, last = measured
    lengths = np.minimum([len(word) for word in words], last)
    cuts = list(UNKNOWN.cuts[: first - 1])
    for length in range(first, last + 1):
        alike = lengths == length
        if alike.any():
            cuts.append(choose_cut(scores[alike].ravel(), right[alike].ravel()))
        else:  # what is right for shorter words is careful enough
            cuts.append(cuts[-1] if cuts else UNKNOWN.cuts[0])
    return [max(cuts[start:]) for start in range(len(cuts))]


def measure(encoder: Encoder, dataset: Path, lengths: tuple[int, int] = LENGTHS) -> dict[str, Any]:
    """Return the cuts of a network and what they achieve on the data set they were chosen on.

    Raises:
        ValueError: The data set is not as it should be, or has no readable word.
        OSError: A photo cannot be read.
    """
    photos = read_photos(dataset)
    relevant = words_of(photos, encoder.charset.fold)
    if not relevant:
        raise ValueError(f"{dataset} has no readable word")
    words = sorted(relevant)
    embeddings = encoder.encode_texts(words)
    scores = np.stack(
        [photo_scores(embeddings, encoder.encode_images([photo.pixels()])[0].embeddings) for photo in photos],
        axis=1,
    )
    right = np.array([[photo.name in relevant[word] for photo in photos] for word in words])
    cuts = choose_cuts(words, scores, right, lengths)
    limits = np.array([cuts[min(len(word), len(cuts)) - 1] for word in words])
    found = scores >= limits[:, None]
    return {
        "cuts": cuts,
        "photos": len(photos),
        "words": len(words),
        "precision": round(float(right[found].mean()), 4) if found.any() else None,
        "recall": round(float(found[right].mean()), 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a checkpoint and write its line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path, help="JSON lines, see model.evaluation.dataset")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT)
    parser.add_argument("--out", type=Path, default=PATH, help="JSON of all checkpoints")
    parser.add_argument("--lengths", type=int, nargs=2, default=LENGTHS, help="first and last to be measured")
    options = parser.parse_args(arguments)
    try:
        encoder = Encoder(options.checkpoint, device="cpu")
        known = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
        known[encoder.version] = measure(encoder, options.dataset, (options.lengths[0], options.lengths[1]))
        options.out.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    except (ValueError, OSError) as exc:
        parser.error(str(exc))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    log.info("%s", json.dumps(known[encoder.version]))


if __name__ == "__main__":
    main()
