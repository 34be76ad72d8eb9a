"""Finds the places of given words in photos on this machine, for `glyphseek annotate`."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from rich.table import Table

from app import sheet
from app.terminal import counting, err, out
from indexer.errors import ImageRejected
from indexer.images import decode
from model.annotation import annotate
from model.encoder import Encoder
from model.evaluation.dataset import Photo, Word
from model.evaluation.layouts.json_lines import line_of


@dataclass(frozen=True)
class Found:
    """What was found in a photo.

    Attributes:
        photo: With the words that have a place now; `texts` has the others.
        pixels: uint8 RGB (H, W, 3), upright.
        scores: Similarity of each word and its region, in [-1, 1].
        transcripts: What is read in each region.
    """

    photo: Photo
    pixels: NDArray[np.uint8]
    scores: list[float]
    transcripts: list[str]


def find_all(
    encoder: Encoder, photos: Iterable[Photo], *, max_pixels: int
) -> Iterator[Found | ImageRejected]:
    """Find the readable words of photos; what was known of their places is not looked at.

    Words of which the network knows no character stay without a place.

    Args:
        encoder: The network.
        photos: Of any kind that the service takes, too.
        max_pixels: Largest photo, width x height.

    Yields:
        For each photo what was found, or why it cannot be read.
    """
    for photo in photos:
        try:
            pixels = decode(photo.path, max_pixels)
        except ImageRejected as exc:
            yield exc
            continue
        words = photo.readable()
        known = [word for word in words if encoder.charset.fold(word)]
        found = annotate(encoder, pixels, known)
        regions = [region for region in found if region is not None]
        unknown = [word for word in words if not encoder.charset.fold(word)]
        without = [word for word, region in zip(known, found, strict=True) if region is None]
        places = [Word(region.quad, region.box, region.text, False) for region in regions]
        yield Found(
            Photo(photo.name, photo.path, places, (*without, *unknown), photo.as_stored),
            pixels,
            [region.score for region in regions],
            [region.transcript for region in regions],
        )


class Drawing:
    """The first photos of many with their boxes, in one picture."""

    def __init__(self, path: Path | None) -> None:
        """Begin; without a path nothing is drawn."""
        self._path = path
        self._photos: list[Image] = []

    def add(self, found: Found) -> None:
        """Add a photo, if there is room for it."""
        if self._path and len(self._photos) < sheet.MOST_ANNOTATED:
            words = [(word.text or "", word.quad) for word in found.photo.words]
            self._photos.append(sheet.annotated(found.pixels, words))

    def write(self) -> None:
        """Write the picture."""
        if self._path and self._photos:
            sheet.draw_annotated(self._photos, self._path)
            err.print(f"wrote {self._path}")


def show(found: Found | ImageRejected, drawing: Drawing) -> None:
    """Print the places of the words of a photo.

    Raises:
        ImageRejected: it cannot be read.
    """
    if isinstance(found, ImageRejected):
        raise found
    drawing.add(found)
    table = Table("score", "word", "reads", "box x0 y0 x1 y1", box=None)
    for word, score, text in zip(found.photo.words, found.scores, found.transcripts, strict=True):
        table.add_row(f"{score:.3f}", word.text, text, " ".join(f"{side:.0f}" for side in word.box))
    for text in found.photo.texts:
        table.add_row("", text, "", "no region is left")
    out.print(table)


def write_lines(
    results: Iterable[Found | ImageRejected], photos: list[Photo], path: Path | None, drawing: Drawing
) -> int:
    """Write a JSON line for each photo, and say which cannot be read.

    Args:
        results: Of the photos, in their order.
        photos: That are looked at.
        path: File to write; else the lines are printed.
        drawing: Takes the photos, too.

    Returns:
        How many photos could not be read.
    """
    left_out = 0
    folder = path.parent if path else Path()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        path.open("w", encoding="utf-8") if path else nullcontext(sys.stdout) as file,
        counting("photos") as progress,
    ):
        for number, (photo, result) in enumerate(zip(photos, results, strict=True), start=1):
            if isinstance(result, Found):
                file.write(line_of(result.photo, folder, result.scores))
                drawing.add(result)
            else:
                left_out += 1
                err.print(f"left out: {photo.name}: {result}")
            progress(number, len(photos))
    return left_out
