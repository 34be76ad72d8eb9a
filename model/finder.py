"""Finds, reads and embeds the text of photos with the presets `accurate` and `joint`.

With `accurate` one trunk finds and one reads crops of the photo; with `joint` words are read in the maps of
the trunk that finds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

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
from model.shared import SharedMaps, no_crop
from model.spelling import Speller

CROP_BATCH, SMALL_BATCH = 16, 4
EMBEDDED = 64  # regions that are embedded at once, at most
READING_SIDE = 2560  # words are cut out of photos that are at most as large, or twice as large as searched
Compile = Callable[[str, nn.Module, Sequence[Tensor]], runtime.Compiled]


@dataclass
class Parts:
    """What runs as one call each, see `stages`; no second look if the network has none."""

    detect: runtime.Compiled
    look: runtime.Compiled | None
    read: runtime.Compiled
    embed: runtime.Compiled


class Finder:
    """Runs detector, second look, reader and Image-S2SM; they are prepared when the first photo comes."""

    def __init__(
        self,
        retriever: Retriever,
        options: Search,
        compile_part: Compile,
        crew: runtime.Crew,
        speller: Speller,
    ) -> None:
        """Prepare nothing yet.

        Args:
            retriever: The network.
            options: How to search.
            compile_part: Makes a part of the network ready to run, from its name, module and example inputs.
            crew: Runs what can run at once.
            speller: Notes what proposals may say.
        """
        self._retriever, self._options, self._compile, self._crew = retriever, options, compile_part, crew
        self._speller = speller
        self._dimension, self._shared = retriever.config.dimension, retriever.config.shared

    @cached_property
    def parts(self) -> Parts:
        """The parts of the network, ready to run."""
        retriever, config = self._retriever, self._retriever.config
        look = None
        if retriever.refiner:
            columns, rows = grid_places(torch.ones(1, 5))
            features = torch.zeros(1, config.pyramid, rows.shape[1], columns.shape[1])
            look = self._compile("refiner", retriever.refiner, [features, columns, rows])
        crop = torch.zeros(1, 3, config.crop_height, transforms.CROP_WIDTHS[0])
        if self._shared:
            crop = no_crop(config.detection_trunk.stem, config.pyramid, config.crop_height)
        sequence = torch.zeros(1, config.reading, config.steps)
        return Parts(
            detect=self._compile("detector", stages.Detection(retriever), [torch.zeros(1, 3, 64, 64)]),
            look=look,
            read=self._compile("reader", stages.Reading(retriever), [crop]),
            embed=self._compile("embedder", stages.SequenceEmbedding(retriever), [sequence]),
        )

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """See `Encoder.encode_images`."""
        # The maps of `joint` take room.
        size = max(self._options.batch, self._crew.size) if self._shared else max(1, len(images))
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        return [proposals for part in parts for proposals in self._read(self._search(part))]

    def locate(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Encoder.locate`."""
        photo = self._search([image])[0]
        return (photo.quads / photo.scale).numpy(), photo.scores.numpy()

    def embed_quads(self, image: NDArray[np.uint8], quads: NDArray[np.float32]) -> Proposals:
        """See `Encoder.embed_quads`."""
        photo = self._prepare(image)
        if self._shared:
            self._find([photo], max(self._options.longer_sides))
            photo.keep(torch.empty(0, dtype=torch.long))
        photo.add(torch.from_numpy(quads).float() * photo.scale, torch.ones(len(quads)))
        self._read_new([photo])
        return self._proposals([photo])[0]

    def _prepare(self, image: NDArray[np.uint8]) -> WorkingPhoto:
        return WorkingPhoto.prepare(image, max(READING_SIDE, 2 * max(self._options.longer_sides)))

    def _search(self, images: Sequence[NDArray[np.uint8]]) -> list[WorkingPhoto]:
        """Return the photos with the words that were found at all sizes."""
        photos = self._crew.map(self._prepare, images)
        for side in sorted(self._options.longer_sides):  # words are read in the maps of the largest
            self._find(photos, side)
        if len(self._options.longer_sides) > 1:
            for photo in photos:
                best = nms(boxes.quads_to_boxes(photo.quads), photo.scores, 0.5)
                photo.keep(best[: self._options.max_proposals])
        return photos

    def _find(self, photos: Sequence[WorkingPhoto], longer_side: int) -> None:
        """Add the words seen at one size; photos of one input size share a batch."""
        groups: dict[tuple[int, int], list[WorkingPhoto]] = {}
        for photo in photos:
            size = transforms.fit(photo.pixels.shape[1], photo.pixels.shape[2], longer_side)
            groups.setdefault(size, []).append(photo)
        batches = [
            (size, members[start : start + self._options.batch])
            for size, members in groups.items()
            for start in range(0, len(members), self._options.batch)
        ]
        parts = self.parts
        self._crew.map(lambda batch: self._find_batch(parts, *batch), batches)

    def _find_batch(self, parts: Parts, size: tuple[int, int], photos: Sequence[WorkingPhoto]) -> None:
        """Add the words seen at a size (height, width) in a batch."""
        least, most = self._options.min_score, self._options.max_proposals
        batch = torch.stack([transforms.resize(photo.pixels, *size) for photo in photos]).float()
        with parts.detect.lend(batch) as (points, *seen):
            maps = seen[:-1] if self._shared else seen
            for row, photo in enumerate(photos):
                found = select(points[row].cpu(), *size, min_score=least, top_k=most)
                corners = _corners(parts, found, [level[row : row + 1] for level in maps])
                ratio = torch.tensor([photo.pixels.shape[2] / size[1], photo.pixels.shape[1] / size[0]])
                photo.add(corners * ratio, found.scores)
                if self._shared:
                    first, *kept = [level[row].clone() for level in (seen[-1], *maps)]
                    photo.maps = SharedMaps(first, kept, 1 / ratio)

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
        """Embed what was read, in few calls: the recurrent layer takes as long for one as for many."""
        readings = [reading for photo in photos for reading in photo.readings if reading]
        embedded = torch.empty(0, self._dimension)
        if readings:
            sequences = torch.stack([reading.sequence for reading in readings])
            room = nn.functional.pad(sequences, (0, 0, 0, 0, 0, -len(sequences) % CROP_BATCH))
            share = -(-len(room) // CROP_BATCH // self._crew.size) * CROP_BATCH
            found = self._crew.map(self.parts.embed, torch.split(room, min(share, EMBEDDED)))
            embedded = torch.cat(found)[: len(sequences)].cpu()
        parts = torch.split(embedded, [len(photo.readings) for photo in photos])
        return [photo.proposals(part) for photo, part in zip(photos, parts, strict=True)]

    def _read_new(self, photos: Sequence[WorkingPhoto]) -> None:
        """Read what was not read yet, crops of one width in common batches."""
        crops: dict[int, list[Crop]] = {}
        height, squeeze = self._retriever.config.crop_height, self._options.squeeze
        for cut in self._crew.map(lambda photo: _cut(photo, height, squeeze), photos):
            for crop in cut:
                crops.setdefault(crop.pixels.shape[-1], []).append(crop)
        # The longest first, so that no one has much left when the others are done.
        batches = [batch for width in sorted(crops, reverse=True) for batch in _batches(crops[width])]
        parts = self.parts
        self._crew.map(lambda batch: self._read_batch(parts, batch), batches)

    def _read_batch(self, parts: Parts, batch: "Sequence[Crop]") -> None:
        """Read crops of one width."""
        sequences, logits = parts.read(torch.cat([crop.pixels for crop in batch]))
        transcripts = read(logits, self._retriever.config.characters)
        steps = self._speller.steps(logits)
        for crop, *reading in zip(batch, transcripts, sequences, steps, strict=True):
            crop.photo.readings[crop.region] = Reading(*reading)


class Crop(NamedTuple):
    """A region of a photo, by its number, and what `WorkingPhoto.crops` gives for it."""

    photo: WorkingPhoto
    region: int
    pixels: Tensor


def _corners(parts: Parts, found: Detections, maps: list[Tensor]) -> Tensor:
    """Return the corners (N, 4, 2) of words, after a second look if the network has one."""
    quads = boxes.rotated_to_quads(found.rotated)
    if parts.look is None:
        return quads
    for members in _batches(list(range(len(quads)))):
        rotated = found.rotated[members].to(maps[0].device)
        columns, rows = grid_places(rotated)
        sides, _ = parts.look(sample(maps, rotated, columns, rows), columns, rows)
        quads[members] = sides_to_quads(sides, rotated).cpu()
    return quads


def _cut(photo: WorkingPhoto, height: int, squeeze: float) -> list[Crop]:
    """Return what of a photo was not read yet."""
    unread = photo.unread()
    crops = photo.crops(unread, height, squeeze)
    return [Crop(photo, region, crop) for region, crop in zip(unread, crops, strict=True)]


Item = TypeVar("Item")


def _batches(members: list[Item]) -> list[list[Item]]:
    """Split into batches of 16 and of 4, the last filled up with its last member.

    For every size of batch kernels are prepared, which takes time once, and memory for ever.
    """
    whole = len(members) // CROP_BATCH * CROP_BATCH
    rest = members[whole:] + members[-1:] * (-len(members) % SMALL_BATCH)
    return [members[start : start + CROP_BATCH] for start in range(0, whole, CROP_BATCH)] + [
        rest[start : start + SMALL_BATCH] for start in range(0, len(rest), SMALL_BATCH)
    ]
