"""Ranking and speed beside RapidOCR with edit distance, the tool one would otherwise take.

    python -m tests.benchmarks.peer DATA/icdar2015 [--photos N] [--threads 2] [--json FILE]

The systems take turns of 32 photos, all with the same number of threads; decoding is not timed, the first
turn warms up and is not timed either. glyphseek gets batches of 16, as its worker has them, and works on as
many photos at once as there are threads. RapidOCR takes one photo a call: with all threads for each, and as
many readers of one thread, one photo each at once. It reads lines; a photo's score for a query is, over its
lines, the best `1 - distance / longer length` of a word, or of any part of a line that is as long as the
query. mAP needs all photos.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads of one system must not slow another

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process
from rapidfuzz.distance import Levenshtein

from model import calibration
from model.encoder import Encoder, Proposals
from model.evaluation.dataset import read_photos
from model.evaluation.evaluate import Queries, read_queries
from model.evaluation.metrics import NO_TEXT
from model.evaluation.ranking import rank
from tests.benchmarks import measuring
from tests.benchmarks.rapid import Picture, System, reader, readers

TURN_PHOTOS, BATCH = 32, 16
Scorer = Callable[[str], NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="folder with test/, test.jsonl, test_queries.json")
    parser.add_argument("--photos", type=int, help="take only the first photos, and give no mAP")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    photos = read_photos(options.dataset / "test.jsonl")
    queries = read_queries(options.dataset / "test_queries.json")
    if not isinstance(queries, dict):
        parser.error("test_queries.json names no photos")
    encoder = Encoder(device="cpu", threads=options.threads)
    systems: dict[str, System] = {"glyphseek": partial(proposals, encoder)}
    for engine in ("onnxruntime", "openvino"):
        systems[f"RapidOCR {engine}"] = reader(engine, options.threads)
        systems[f"RapidOCR {engine}, photos at once"] = readers(engine, options.threads)
    found: dict[str, list[Any]] = {name: [] for name in systems}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    chosen = photos[: options.photos]
    for start in range(0, len(chosen), TURN_PHOTOS):
        pictures = [photo.pixels() for photo in chosen[start : start + TURN_PHOTOS]]
        for name, system in systems.items():
            started = time.perf_counter()
            found[name] += system(pictures)
            seconds[name].append((time.perf_counter() - started) / len(pictures))
        measuring.console.print(f"{start + len(pictures)} photos")
    rows = {name: _speed(seconds[name], seconds["glyphseek"]) for name in systems}
    if len(chosen) == len(photos):
        rows = _rank(rows, found, queries, [photo.name for photo in photos], encoder)
    measuring.show(f"{len(chosen)} photos, {options.threads} threads", rows, options.json)


def proposals(encoder: Encoder, pictures: list[Picture]) -> list[Proposals]:
    """Return those of each picture."""
    batches = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
    return [found for batch in batches for found in encoder.encode_images(batch)]


def _speed(seconds: list[float], ours: list[float]) -> dict[str, float]:
    """Return photos a second, and how many times as fast we are (median and range of the turns)."""
    timed = slice(1, None) if len(seconds) > 1 else slice(None)
    ratio = np.array(seconds[timed]) / np.array(ours[timed])
    return {
        "photos/s": 1 / float(np.mean(seconds[timed])),
        "our ratio": float(np.median(ratio)),
        "least": float(ratio.min()),
        "most": float(ratio.max()),
    }


def _rank(
    rows: dict[str, dict[str, float]],
    found: dict[str, list[Any]],
    queries: Queries,
    names: list[str],
    encoder: Encoder,
) -> dict[str, dict[str, float]]:
    """Return the rows with mAP, and a line for each way to match what RapidOCR reads."""
    result = {}
    for name, row in rows.items():
        if name == "glyphseek":
            places = _places(found[name], queries, names, encoder)
            scorers: dict[str, Scorer] = {"": places.__getitem__}
        else:
            fold = encoder.charset.fold
            whole = [[fold(word) for line in lines for word in line.split()] for lines in found[name]]
            joined = [[fold(line) for line in lines] for lines in found[name]]
            scorers = {
                ", words": partial(_best, whole, Levenshtein.normalized_similarity, 1.0),
                ", partial": partial(_best, joined, _part_of, 0.01),
            }
        for suffix, scorer in scorers.items():
            result[name + suffix] = row | measuring.mean_average_precision(scorer, queries, names)
    return result


def _places(
    found: list[Proposals], queries: Queries, names: list[str], encoder: Encoder
) -> dict[str, NDArray[np.float32]]:
    words = list(queries)
    embeddings, known = encoder.encode_texts(words), calibration.of_version(encoder.version)
    regions = [(embeddings @ photo.embeddings.T, photo.posteriors) for photo in found]
    return dict(zip(words, rank(words, regions, names, known), strict=True))


def _best(read: list[list[str]], scorer: Any, unit: float, word: str) -> NDArray[np.float32]:
    """Return the best score of each photo; the scorers give it in multiples of `unit`."""
    return np.array(
        [process.cdist([word], words, scorer=scorer).max() * unit if words else NO_TEXT for words in read],
        np.float32,
    )


def _part_of(word: str, line: str, **options: Any) -> float:
    """As `fuzz.partial_ratio`, but a short line is no match for a query that happens to contain it."""
    return (fuzz.partial_ratio if len(line) >= len(word) else fuzz.ratio)(word, line, **options)


if __name__ == "__main__":
    main()
