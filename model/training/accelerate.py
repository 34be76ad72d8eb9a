"""Adds to a checkpoint what makes it fast on a processor; every training undoes it.

    python -m model.training.accelerate IN.safetensors OUT.safetensors --dataset DATA/icdar2015/train.jsonl

Eight bits: NNCF measures on photos which numbers go through the detector and, on their words, through the
reader, and chooses 256 levels for each. Query basis: the principal directions of the embeddings of words and
pseudowords, by which the index rules out what cannot be among the best.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from torch import Tensor, nn

from model import checkpoint, runtime, transforms
from model.charset import Charset
from model.embedder import stretch_words
from model.evaluation.dataset import Photo, read_photos, spread
from model.retriever import Retriever
from model.runtime import Converted
from model.shared import SharedMaps
from model.stages import Detection, Reading
from model.training.regions import Regions, cut, seen
from model.training.similarity import pseudoword

Inputs = list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]
# Little work, many errors: with the reader's stem in eight bits three in a hundred words are read worse; with
# the detector's last layers boxes and ranking are, and with what makes scores of its raw predictions all high
# scores are the same.
EXACT = [
    ".*recognizer.trunk.stem.*",
    r".*detector\.head(\.score)?/.*",
    r".*detector/aten::(sigmoid|mul|sqrt|clamp|exp|tanh)/.*",
]
BASIS_SIZE, BASIS_WORDS = 510, 8000  # the index takes the first 376 directions


def pictures(photos: list[Photo], longer_side: int) -> Inputs:
    """Return what the detector gets for photos, searched at this size."""
    return [
        transforms.resize(pixels, *transforms.fit(pixels.shape[1], pixels.shape[2], longer_side))[None]
        .float()
        .numpy()
        for pixels in map(_pixels, photos)
    ]


def _pixels(photo: Photo) -> Tensor:
    return torch.from_numpy(photo.pixels().copy()).permute(2, 0, 1)


@torch.inference_mode()
def crops(photos: list[Photo], retriever: Retriever, longer_side: int) -> Inputs:
    """Return what the reader gets for the readable words of photos, searched at this size."""
    charset, height = Charset(retriever.config.charset), retriever.config.crop_height
    found: Inputs = []
    for photo in photos:
        words = [word for word in photo.words if word.text and not word.ignore]
        quads = torch.tensor(np.array([word.quad for word in words], np.float32).reshape(-1, 4, 2))
        regions = Regions(quads, [word.text or "" for word in words])
        for group, _ in (
            cut(_source(_pixels(photo), retriever, longer_side), regions, charset, height) if words else []
        ):
            found += [crop[None].numpy() for crop in group]
    return found


def _source(pixels: Tensor, retriever: Retriever, longer_side: int) -> Tensor | SharedMaps:
    """Return what the words of a photo are cut out of."""
    return seen(retriever, pixels, longer_side) if retriever.config.shared else pixels.float()


def quantized(module: nn.Module, examples: Inputs) -> Converted:
    """Return a module in eight bits; the examples are what it should expect."""
    import nncf

    converted = runtime.convert(module, [torch.from_numpy(examples[0])])
    result = nncf.quantize(
        converted,
        nncf.Dataset(examples),
        subset_size=len(examples),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(patterns=EXACT, types=["MatMul"], validate=False),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        ov.save_model(result, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def query_basis(retriever: Retriever, photos: list[Photo]) -> Tensor:
    """Return orthonormal vectors (B, D) in which most of every query's embedding lies."""
    charset, rng = Charset(retriever.config.charset), np.random.default_rng(0)
    words = {charset.fold(word.text) for photo in photos for word in photo.words if word.text} - {""}
    known = sorted(words)
    chosen = known + [
        pseudoword(rng, known[rng.integers(len(known))], charset.characters)
        for _ in range(BASIS_WORDS - len(known))
    ]
    with torch.inference_mode():
        numbers, stretch = stretch_words([charset.encode(word) for word in chosen], retriever.config.steps)
        embeddings = retriever.embed_words(numbers, stretch)
    basis: Tensor = torch.linalg.svd(embeddings, full_matrices=False).Vh[:BASIS_SIZE]
    return basis


def main() -> None:
    """Accelerate from the command line."""
    parser = argparse.ArgumentParser(description="Add to a checkpoint what makes it fast on a processor.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dataset", type=Path, required=True, help="JSON lines of photos and their words")
    parser.add_argument("--photos", type=int, default=100, help="so many of them, evenly spread")
    parser.add_argument(
        "--detector-of", type=Path, help="checkpoint with the same detector, whose eight bits are taken over"
    )
    parser.add_argument("--longer-side", type=int, help="size at which photos are searched from now on")
    parser.add_argument("--min-score", type=float, help="detector score of proposals from now on")
    given = parser.parse_args()
    try:
        loaded = checkpoint.load(given.checkpoint)
        wishes = {"longer_side": given.longer_side, "min_score": given.min_score}
        card = loaded.card | {name: value for name, value in wishes.items() if value is not None}
        side = given.longer_side or loaded.longer_side
        photos = read_photos(given.dataset)
        some = spread(photos, given.photos)
        detector = _detector_of(given.detector_of, loaded.retriever) if given.detector_of else None
        words = crops(some, loaded.retriever, side)
    except ValueError as exc:
        parser.error(str(exc))
    eight_bits = {
        "detector": detector or quantized(Detection(loaded.retriever), pictures(some, side)),
        "reader": quantized(Reading(loaded.retriever), words),
    }
    extras = checkpoint.Extras(eight_bits, query_basis(loaded.retriever, photos))
    checkpoint.save(given.out, loaded.retriever, card, extras)


def _detector_of(path: Path, retriever: Retriever) -> Converted:
    """Return the detector of a checkpoint in eight bits.

    Raises:
        ValueError: it is another one, or there are no eight bits.
    """
    other = checkpoint.load(path)
    ours, theirs = retriever.detector.state_dict(), other.retriever.detector.state_dict()
    same = other.retriever.config.shared == retriever.config.shared
    if (
        not same
        or "detector" not in other.extras.eight_bits
        or any((ours[name] != theirs[name]).any() for name in ours)
    ):
        raise ValueError(f"{path.name} has no such detector in eight bits")
    return other.extras.eight_bits["detector"]


if __name__ == "__main__":
    main()
