"""Finds, reads and embeds the text of photos with the presets `accurate` and `joint`.

With `accurate` one trunk finds and one reads crops of the photo; with `joint` words are read in the maps of
the trunk that finds.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import nms

from model import boxes, runtime, stages, transforms
from model.detector import Detections, select
from model.photo import Proposals, Reading, Search, WorkingPhoto
from model.recognizer import read
from model.refiner import grid_places, sample, sides_to_quads
from model.retriever import Retriever
from model.shared import SharedMaps

CROP_BATCH = 16
Compile = Callable[[str, nn.Module, Sequence[Tensor]], runtime.Compiled]


class Finder:
    """Runs detector, second look, reader and Image-S2SM; each is prepared when it is first needed."""

    def __init__(self, retriever: Retriever, options: Search, compile_part: Compile) -> None:
        """Prepare nothing yet.

        Args:
            retriever: The network.
            options: How to search.
            compile_part: Makes a part of the network ready to run, from its name, module and example inputs.
        """
        self._retriever, self._options, self._compile = retriever, options, compile_part
        self._dimension, self._shared = retriever.config.dimension, retriever.config.shared
        self._detect: runtime.Compiled | None = None
        self._look: runtime.Compiled | None = None
        self._reader: runtime.Compiled | None = None
        self._embed: runtime.Compiled | None = None

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """See `Encoder.encode_images`."""
        size = self._options.batch if self._shared else max(1, len(images))  # maps take room
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        return [proposals for part in parts for proposals in self._read(self._search(part))]

    def locate(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Encoder.locate`."""
        photo = self._search([image])[0]
        return (photo.quads / photo.scale).numpy(), photo.scores.numpy()

    def embed_quads(self, image: NDArray[np.uint8], quads: NDArray[np.float32]) -> Proposals:
        """See `Encoder.embed_quads`."""
        photo = WorkingPhoto.prepare(image, 2 * max(self._options.longer_sides))
        if self._shared:
            self._find([photo], max(self._options.longer_sides))
            photo.keep(torch.empty(0, dtype=torch.long))
        photo.add(torch.from_numpy(quads).float() * photo.scale, torch.ones(len(quads)))
        self._read_new([photo])
        return self._proposals([photo])[0]

    def _search(self, images: Sequence[NDArray[np.uint8]]) -> list[WorkingPhoto]:
        """Return the photos with the words that were found at all sizes."""
        photos = [WorkingPhoto.prepare(image, 2 * max(self._options.longer_sides)) for image in images]
        for side in sorted(self._options.longer_sides):  # words are read in the maps of the largest
            self._find(photos, side)
        if len(self._options.longer_sides) > 1:
            for photo in photos:
                best = nms(boxes.quads_to_boxes(photo.quads), photo.scores, 0.5)
                photo.keep(best[: self._options.max_proposals])
        return photos

    def _find(self, photos: Sequence[WorkingPhoto], longer_side: int) -> None:
        """Add the words seen at one size; photos of one input size share a batch."""
        least, most = self._options.min_score, self._options.max_proposals
        groups: dict[tuple[int, int], list[WorkingPhoto]] = {}
        for photo in photos:
            size = transforms.fit(photo.pixels.shape[1], photo.pixels.shape[2], longer_side)
            groups.setdefault(size, []).append(photo)
        for (height, width), members in groups.items():
            for start in range(0, len(members), self._options.batch):
                part = members[start : start + self._options.batch]
                batch = torch.stack(
                    [transforms.resize(photo.pixels, height, width) for photo in part]
                ).float()
                if self._detect is None:
                    example = torch.zeros(1, 3, 64, 64)
                    self._detect = self._compile("detector", stages.Detection(self._retriever), [example])
                points, *seen = self._detect(batch)
                maps = seen[:-1] if self._shared else seen
                for row, photo in enumerate(part):
                    found = select(points[row].cpu(), height, width, min_score=least, top_k=most)
                    corners = self._corners(found, [level[row : row + 1] for level in maps])
                    ratio = torch.tensor([photo.pixels.shape[2] / width, photo.pixels.shape[1] / height])
                    photo.add(corners * ratio, found.scores)
                    if self._shared:
                        photo.maps = SharedMaps(seen[-1][row], [level[row] for level in maps], 1 / ratio)

    def _corners(self, found: Detections, maps: list[Tensor]) -> Tensor:
        """Return the corners (N, 4, 2) of words, after a second look if the network has one."""
        quads = boxes.rotated_to_quads(found.rotated)
        if self._retriever.refiner is None:
            return quads
        for members in _batches(list(range(len(quads)))):
            rotated = found.rotated[members].to(maps[0].device)
            columns, rows = grid_places(rotated)
            inputs = [sample(maps, rotated, columns, rows), columns, rows]
            if self._look is None:
                self._look = self._compile("refiner", self._retriever.refiner, inputs)
            sides, _ = self._look(*inputs)
            quads[members] = sides_to_quads(sides, rotated).cpu()
        return quads

    def _read(self, photos: Sequence[WorkingPhoto]) -> list[Proposals]:
        """Read and embed the words of photos, those on their side and those of lines too."""
        groups = [photo.turn_tall() for photo in photos]
        self._read_new(photos)
        for photo, group in zip(photos, groups, strict=True):
            photo.keep_surest(group)
            photo.join_characters()
        self._read_new(photos)
        for photo in photos:
            photo.split_lines()
        self._read_new(photos)
        for photo in photos:
            photo.keep(photo.scores.argsort(descending=True, stable=True)[: self._options.max_proposals])
        return self._proposals(photos)

    def _proposals(self, photos: Sequence[WorkingPhoto]) -> list[Proposals]:
        """Embed what was read, all at once: the recurrent layer takes as long for one as for many."""
        readings = [reading for photo in photos for reading in photo.readings if reading]
        embedded = torch.empty(0, self._dimension)
        if readings:
            sequences = torch.stack([reading.sequence for reading in readings])
            if self._embed is None:
                module = stages.SequenceEmbedding(self._retriever)
                self._embed = self._compile("embedder", module, [sequences[:1]])
            room = nn.functional.pad(sequences, (0, 0, 0, 0, 0, -len(sequences) % CROP_BATCH))
            embedded = self._embed(room)[: len(sequences)].cpu()
        parts = torch.split(embedded, [len(photo.readings) for photo in photos])
        return [photo.proposals(part) for photo, part in zip(photos, parts, strict=True)]

    def _read_new(self, photos: Sequence[WorkingPhoto]) -> None:
        """Read what was not read yet, crops of one width in common batches."""
        crops: dict[int, list[tuple[WorkingPhoto, int, Tensor]]] = {}
        for photo in photos:
            unread = photo.unread()
            for index, crop in zip(unread, photo.crops(unread), strict=True):
                crops.setdefault(crop.shape[-1], []).append((photo, index, crop))
        for width in sorted(crops):
            for batch in _batches(crops[width]):
                stacked = torch.cat([crop for _, _, crop in batch])
                if self._reader is None:
                    example = stacked[:1, ..., : transforms.CROP_WIDTHS[0]]
                    self._reader = self._compile("reader", stages.Reading(self._retriever), [example])
                sequences, logits = self._reader(stacked)
                for row, transcript in enumerate(read(logits, self._retriever.config.characters)):
                    photo, index, _ = batch[row]
                    photo.readings[index] = Reading(transcript, sequences[row])


Item = TypeVar("Item")


def _batches(members: list[Item]) -> list[list[Item]]:
    """Split into batches of 16, 8, 4, 2, 1: few different sizes, so that kernels are prepared once."""
    batches = []
    size = CROP_BATCH
    while members:
        while size > len(members):
            size //= 2
        batches.append(members[:size])
        members = members[size:]
    return batches
