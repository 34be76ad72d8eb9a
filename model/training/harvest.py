"""Cuts words out of annotated photos: the true ones, and what the detector takes for words.

    python -m model.training.harvest DATA/icdar2015/train.jsonl runs/harvest

The folder then holds crops and a `train.jsonl` as `datasets.read_word_crops` reads it. A proposal that shows
words of known text has their text, a false alarm has none; what is neither is left out. True words are cut
out alone and with their neighbour: a reader that never sees a space unlearns it. The similarity is best
trained on what it will meet.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from model import checkpoint
from model.encoder import Encoder
from model.evaluation.dataset import Photo, read_photos
from model.training.augment import View
from model.training.regions import Regions, match, neighbours, true_regions

MARGIN = 0.5  # of the word's height: what training may move the corners by
FALSE_ALARMS = 8  # a photo, at most; the most convincing ones
MIN_SCORE = 0.2
TALLEST = 1.5  # height by width; nobody knows which way a taller proposal is read


def regions_of(encoder: Encoder | None, photo: Photo, pixels: NDArray[np.uint8]) -> Regions:
    """Return the true words of a photo, neighbours, the proposals that show some, the worst false alarms.

    Without a network there are no proposals.
    """
    view = View(
        pixels,
        np.array([word.quad for word in photo.words], np.float32).reshape(-1, 4, 2),
        [word.text for word in photo.words],
        np.array([word.ignore for word in photo.words], bool),
    )
    true = true_regions(np.random.default_rng(0), view, 0.0)
    pairs = neighbours(true)
    known = Regions(torch.cat([true.quads, pairs.quads]), true.texts + pairs.texts)
    if encoder is None:
        return known
    quads, _ = encoder.locate(pixels)
    height = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
    width = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1)
    proposed = match(torch.from_numpy(quads[height <= TALLEST * width]), view)
    alarms = [index for index, text in enumerate(proposed.texts) if not text][:FALSE_ALARMS]
    kept = [index for index, text in enumerate(proposed.texts) if text] + alarms
    texts = [proposed.texts[index] for index in kept]
    return Regions(torch.cat([known.quads, proposed.quads[kept]]), known.texts + texts)


def cut_out(pixels: NDArray[np.uint8], quad: NDArray[np.float32]) -> tuple[Image.Image, NDArray[np.float32]]:
    """Return the part of a photo around a region, and the region's corners (4, 2) in it."""
    margin = MARGIN * np.linalg.norm(quad[3] - quad[0])
    low = np.floor(quad.min(0) - margin).clip(0).astype(int)
    high = np.ceil(quad.max(0) + margin).astype(int)
    part = pixels[low[1] : high[1], low[0] : high[0]]
    return Image.fromarray(part), quad - low.astype(np.float32)


def harvest(encoder: Encoder | None, photos: Iterable[Photo], out: Path) -> Iterator[int]:
    """Write the crops of photos; yields how many a photo gave."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    with (out / "train.jsonl").open("w") as file:
        for number, photo in enumerate(photos):
            pixels = photo.pixels()
            regions = regions_of(encoder, photo, pixels)
            for index, (quad, text) in enumerate(zip(regions.quads.numpy(), regions.texts, strict=True)):
                part, corners = cut_out(pixels, quad)
                if min(part.size) < 4:
                    continue
                name = f"images/{number}-{index}.png"
                part.save(out / name)
                line = {"image": name, "width": part.width, "height": part.height, "text": text}
                file.write(json.dumps(line | {"quad": corners.round(2).tolist()}) + "\n")
            yield len(regions.texts)


def main() -> None:
    """Cut words out from the command line."""
    parser = argparse.ArgumentParser(description="Cut words and false alarms out of annotated photos.")
    parser.add_argument("dataset", type=Path, help="JSON lines of photos and the words in them")
    parser.add_argument("out", type=Path, help="folder to fill")
    parser.add_argument("--init", type=Path, default=checkpoint.DEFAULT_CHECKPOINT, help="checkpoint")
    parser.add_argument("--true", action="store_true", help="true words alone: many times as fast")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    given = parser.parse_args()
    encoder = None if given.true else Encoder(given.init, threads=given.threads, min_score=MIN_SCORE)
    photos = read_photos(given.dataset)
    for _ in track(harvest(encoder, photos, given.out), "photos", len(photos)):
        pass


if __name__ == "__main__":
    main()
