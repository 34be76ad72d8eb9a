"""What training draws from: random views of annotated photos, synthetic scenes, crops of words.

Every source gives the same examples for the same state of its generator.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from model.evaluation.dataset import Photo, Word, read_photos
from model.training.augment import Augmentation, View, random_view, visible_share, whole_view
from model.training.synthetic import render_scene

Rng = np.random.Generator


class Source(Protocol):
    """Something that views can be drawn from."""

    def draw(self, rng: Rng) -> View:
        """Return a view; the same state of the generator gives the same one."""


@dataclass(frozen=True)
class PhotoSource:
    """Random views of photos that show at least one word."""

    photos: Sequence[Photo]
    augmentation: Augmentation

    @classmethod
    def read(cls, path: Path, augmentation: Augmentation) -> "PhotoSource":
        """Return the photos of a JSON lines file that show a word.

        Raises:
            ValueError: the file is not as it should be, or no photo shows a word.
        """
        photos = [photo for photo in read_photos(path) if any(not word.ignore for word in photo.words)]
        if not photos:
            raise ValueError(f"{path} has no words")
        return cls(photos, augmentation)

    def draw(self, rng: Rng) -> View:
        """Return a view of one of the photos, with a word in it if that can be had within a few tries."""
        photo = self.photos[int(rng.integers(len(self.photos)))]
        pixels = photo.pixels()
        for _ in range(5):
            view = random_view(rng, pixels, photo.words, self.augmentation)
            if not view.ignore.all():
                break
        return view


@dataclass(frozen=True)
class PaperSource:
    """Photos of which too many may be there to look at all first.

    Attributes:
        photos: Best read one by one.
        size: Side of the views in pixels.
        augmentation: Ranges of random views; without, the whole photo is the view.
    """

    photos: Sequence[Photo]
    size: int
    augmentation: Augmentation | None

    def draw(self, rng: Rng) -> View:
        """Return a view of one of the photos, with a word in it if that can be had within a few tries."""
        for _ in range(5):
            photo = self.photos[int(rng.integers(len(self.photos)))]
            if self.augmentation:
                view = random_view(rng, photo.pixels(), photo.words, self.augmentation)
            else:
                view = whole_view(photo.pixels(), photo.words, self.size)
            if not view.ignore.all():
                break
        return view


@dataclass(frozen=True)
class SceneSource:
    """Synthetic scenes.

    Attributes:
        words: Word list.
        fonts: Font files.
        backgrounds: Photos to draw on; without any, surfaces are drawn.
        size: Side of the scenes in pixels.
    """

    words: Sequence[str]
    fonts: Sequence[Path]
    backgrounds: Sequence[NDArray[np.uint8]]
    size: int

    def draw(self, rng: Rng) -> View:
        """Return a new scene."""
        background = self.backgrounds[int(rng.integers(len(self.backgrounds)))] if self.backgrounds else None
        scene = render_scene(rng, (self.size, self.size), self.words, self.fonts, background)
        quads = np.array([word.quad for word in scene.words], np.float32).reshape(-1, 4, 2)
        return View(scene.image, quads, [word.text for word in scene.words], np.zeros(len(quads), bool))


@dataclass(frozen=True)
class Mix:
    """Several sources, each drawn from with its share."""

    sources: Sequence[Source]
    shares: Sequence[float]

    def draw(self, rng: Rng) -> View:
        """Return a view of one of the sources."""
        shares = np.array(self.shares) / sum(self.shares)
        return self.sources[rng.choice(len(self.sources), p=shares)].draw(rng)


class Views(IterableDataset[View]):
    """An endless stream of views; every worker process draws others."""

    def __init__(self, source: Source, seed: int, start: int = 0) -> None:
        """Prepare the stream.

        Args:
            source: What is drawn from.
            seed: Of the stream.
            start: Another number gives another stream; the step at which training goes on.
        """
        self.source, self.seed, self.start = source, seed, start

    def __iter__(self) -> Iterator[View]:
        worker = get_worker_info()
        rng = np.random.default_rng((self.seed, self.start, worker.id if worker else 0))
        while True:
            yield self.source.draw(rng)


@dataclass(frozen=True)
class Batch:
    """Views side by side: images float32 (B, 3, S, S) in 0-255, and the views."""

    images: Tensor
    views: Sequence[View]


def collate(views: Sequence[View]) -> Batch:
    """Return a batch of views of one size."""
    images = torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2)
    return Batch(images.float().contiguous(memory_format=torch.channels_last), views)


def loader(source: Source, *, batch: int, workers: int, seed: int, start: int = 0) -> DataLoader[View]:
    """Return a loader of `Batch`es; with `workers` > 0 that many processes draw."""
    return DataLoader(
        Views(source, seed, start),
        batch_size=batch,
        collate_fn=collate,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )


def read_word_crops(path: Path) -> list[Photo]:
    """Return crops of single words as photos with one word each.

    Lines: `{"image": "1.png", "width": 80, "height": 20, "text": "Word"}`, and maybe a `quad`.

    Raises:
        ValueError: the file is missing, or a line is not so; names file and line.
    """
    crops = []
    try:
        lines = path.read_text("utf-8").split("\n")
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc}") from exc
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            whole = [0, 0, entry["width"], entry["height"]]
            corners = [[0, 0], [whole[2], 0], [whole[2], whole[3]], [0, whole[3]]]
            quad = np.asarray(entry.get("quad", corners), np.float32).reshape(4, 2)
            word = Word(quad, np.asarray(whole, np.float32), str(entry["text"]), False)
            crops.append(Photo(entry["image"], path.parent / entry["image"], [word]))
        except (KeyError, TypeError, ValueError) as exc:
            raise ValueError(f"{path}, line {number}: {exc}") from exc
    return crops


def text_free_cuts(photos: Sequence[Photo], size: int, seed: int, limit: int) -> list[NDArray[np.uint8]]:
    """Return up to `limit` square cuts of photos in which no word, readable or not, can be seen."""
    rng = np.random.default_rng(seed)
    cuts = []
    for index in rng.permutation(len(photos))[: 4 * limit]:
        pixels = photos[index].pixels()
        quads = np.array([word.quad for word in photos[index].words], np.float32).reshape(-1, 4, 2)
        room = np.array(pixels.shape[1::-1]) - size
        if (room < 0).any():
            continue
        for _ in range(8):
            corner = rng.integers(room + 1)
            if not (visible_share(quads - corner.astype(np.float32), size) > 0).any():
                cuts.append(pixels[corner[1] : corner[1] + size, corner[0] : corner[0] + size].copy())
                break
        if len(cuts) == limit:
            break
    return cuts
