"""A photo on its way through the network: where words were found, cut out and read.

What the detector finds is not always one word read from left to right. A region much taller than wide may be
a word on its side: it is read both ways too, and the surest reading stays. A region in which spaces or wide
gaps are read is a line: its words become regions of their own beside it. Regions that each are read as one
character of Chinese or the like may be a word taken apart: what they form on a line becomes a region too.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import nms

from model import boxes, transforms
from model.charset import is_dense
from model.recognizer import Transcript
from model.shared import SharedMaps
from model.spelling import Steps

PYRAMID_LEVELS = 5
MARGIN = 2  # pixels around a crop that sampling between pixels may reach
# Between the characters of a word, in heights; their boxes may overlap, and 口 is smaller than 出.
CHARACTER_GAP, CHARACTER_RATIO = (-0.3, 0.8), 2.0
SHORTEST = 1e-12  # vector that has a direction
TALL = 1.5  # height by width from which a word may stand on its side


@dataclass(frozen=True)
class Proposals:
    """Text regions of one photo, best first.

    Attributes:
        boxes: float32 (N, 4) xyxy, pixels of the photo as given.
        quads: float32 (N, 4, 2), corners clockwise from the reading start.
        scores: float32 (N,), in [0, 1]: how likely it can be read (`legibility`), or the detector's.
        transcripts: What the reading branch reads, possibly empty.
        confidences: float32 (N,), probability of the least certain character, in [0, 1].
        embeddings: float32 (N, D), unit length.
        steps: What each may say, as `Speller.steps` gives it; none once that was used, or if nobody noted it.
        posteriors: The same, as `Speller.pack` leaves it; none before, or if nobody noted it.
    """

    boxes: NDArray[np.float32]
    quads: NDArray[np.float32]
    scores: NDArray[np.float32]
    transcripts: list[str]
    confidences: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    steps: list[Steps] = field(default_factory=list)
    posteriors: list[bytes] = field(default_factory=list)

    def take(self, order: NDArray[np.intp], scores: NDArray[np.float32]) -> "Proposals":
        """Return some regions in another order, with other scores."""
        return Proposals(
            boxes=self.boxes[order],
            quads=self.quads[order],
            scores=scores,
            transcripts=[self.transcripts[index] for index in order.tolist()],
            confidences=self.confidences[order],
            embeddings=self.embeddings[order],
            steps=[self.steps[index] for index in order.tolist()] if self.steps else [],
            posteriors=[self.posteriors[index] for index in order.tolist()] if self.posteriors else [],
        )


@dataclass(frozen=True)
class Search:
    """How photos are searched for text.

    Attributes:
        longer_sides: Sizes in pixels; what is found at several is pooled.
        min_score: Detector score below which a region is not read.
        max_proposals: At most so many a photo.
        batch: Photos of one size that are searched at once.
        squeeze: Words may be made narrower by so much to be read, see `transforms.crop_width`.
    """

    longer_sides: tuple[int, ...]
    min_score: float
    max_proposals: int
    batch: int
    squeeze: float = transforms.SQUEEZE


class Reading(NamedTuple):
    """What a crop says, its sequence (F, T), and what it may say, if that is wanted."""

    transcript: Transcript
    sequence: Tensor
    steps: Steps | None = None


class WorkingPhoto:
    """A photo, the regions found in it and their readings.

    Attributes:
        pixels: uint8 (3, h, w), at most as large as `prepare` was told.
        scale: Of these pixels to the photo.
        quads: (N, 4, 2) in these pixels.
        scores: (N,), the detector's.
        readings: Of each region; `None` until it was read.
        maps: What words are to be cut out of instead of the pixels.
    """

    def __init__(self, pixels: Tensor, scale: float, height: int, width: int) -> None:
        self.pixels = pixels
        self.scale = scale
        self._size = height, width
        self.quads = torch.zeros(0, 4, 2)
        self.scores = torch.zeros(0)
        self.readings: list[Reading | None] = []
        self.maps: SharedMaps | None = None

    @classmethod
    def prepare(cls, image: NDArray[np.uint8], longest_side: int) -> "WorkingPhoto":
        """Return a photo without regions, shrunk to the longest side in pixels if it is larger."""
        height, width = image.shape[:2]
        pixels = transforms.picture(image)
        scale = min(1.0, longest_side / max(height, width))
        if scale < 1:
            pixels = transforms.resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
        return cls(pixels, scale, height, width)

    def add(self, quads: Tensor, scores: Tensor) -> None:
        """Add regions (N, 4, 2) with their scores."""
        self.quads, self.scores = torch.cat([self.quads, quads]), torch.cat([self.scores, scores])
        self.readings += [None] * len(quads)

    def keep(self, indices: Tensor) -> None:
        """Drop all other regions."""
        self.quads, self.scores = self.quads[indices], self.scores[indices]
        self.readings = [self.readings[index] for index in indices.tolist()]

    def unread(self) -> list[int]:
        """Return which regions have no reading yet."""
        return [index for index, reading in enumerate(self.readings) if reading is None]

    def crops(self, indices: list[int], height: int, squeeze: float = transforms.SQUEEZE) -> list[Tensor]:
        """Cut regions out, of different widths: (1, 3, height, W) each, or what `SharedMaps.crop` gives."""
        if not indices:
            return []
        wide = boxes.widen_quads(self.quads[indices], transforms.MARGIN_ALONG, transforms.MARGIN_ACROSS)
        sizes = boxes.quads_to_rotated(wide)[:, 2:4].tolist()
        widths = [transforms.crop_width(long, tall, squeeze) for long, tall in sizes]
        if self.maps:
            return [self.maps.crop(wide[i : i + 1], width, height).cpu() for i, width in enumerate(widths)]
        levels = transforms.pyramid_level([tall for _, tall in sizes], PYRAMID_LEVELS, height)
        found: dict[int, Tensor] = {}
        for level in sorted(set(levels)):
            members = [i for i in range(len(levels)) if levels[i] == level]
            part, quads = self._around(wide[members], level)
            for width in sorted({widths[i] for i in members}):
                alike = [place for place, i in enumerate(members) if widths[i] == width]
                crops = torch.split(transforms.crop_quads(part, quads[alike], width, height), 1)
                found |= zip([members[place] for place in alike], crops, strict=True)
        return [found[i] for i in range(len(indices))]

    def _around(self, quads: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return the part of the photo in which quads (N, 4, 2) lie, halved so often, and the quads there."""
        step, size = 2**level, torch.tensor([self.pixels.shape[2], self.pixels.shape[1]])
        corners = quads.flatten(0, 1)
        start = (corners.amin(0) / step - MARGIN).floor().mul(step).clamp(min=0)
        start = start.minimum((size - 1) // step * step)
        end = (corners.amax(0) / step + MARGIN).ceil().mul(step).minimum(size).maximum(start + 1)
        (left, top), (right, bottom) = start.long().tolist(), end.long().tolist()
        part = self.pixels[:, top:bottom, left:right].float()
        for _ in range(level):
            part = nn.functional.avg_pool2d(part, 2, ceil_mode=True)
        return part, (quads - start) / step

    def turn_tall(self) -> list[list[int]]:
        """Add both turned versions of tall regions; returns the groups of regions that show the same."""
        sides = boxes.quads_to_rotated(self.quads)[:, 2:4]
        tall = (sides[:, 1] > TALL * sides[:, 0]).nonzero()[:, 0].tolist()
        groups = []
        for index in tall:
            groups.append([index, len(self.quads), len(self.quads) + 1])
            both = [self.quads[index].roll(shift, 0) for shift in (1, -1)]
            self.add(torch.stack(both), self.scores[[index, index]])
        return groups

    def keep_surest(self, groups: list[list[int]]) -> None:
        """Keep of every group the region that is read with most certainty, and all others."""
        dropped = {index for group in groups for index in group}
        dropped -= {max(group, key=self._certainty) for group in groups}
        self.keep(torch.tensor([i for i in range(len(self.quads)) if i not in dropped], dtype=torch.long))

    def _certainty(self, index: int) -> float:
        reading = self.readings[index]
        # Anything can be read as a bar or a dot.
        return reading.transcript.confidence * min(len(reading.transcript.text), 3) if reading else 0.0

    def join_characters(self) -> None:
        """Add the words of which each character is a region of its own."""
        single = [index for index, reading in enumerate(self.readings) if reading and _is_character(reading)]
        hulls = boxes.quads_to_boxes(self.quads[single])
        kept = [single[place] for place in nms(hulls, self.scores[single], 0.5).tolist()]
        following = dict(boxes.followers(self.quads[kept], CHARACTER_GAP, CHARACTER_RATIO))
        for start in sorted(set(following) - set(following.values())):
            run = [start]
            while (after := following.get(run[-1])) is not None and after not in run:
                run.append(after)
            members = [kept[place] for place in run]
            self.add(boxes.enclosing_quad(self.quads[members])[None], self.scores[members].amin()[None])

    def split_lines(self) -> None:
        """Add the words of regions in which several were read."""
        sides = boxes.quads_to_rotated(self.quads)[:, 2:4].tolist()
        for index, reading in enumerate(list(self.readings)):
            if reading and reading.transcript.breaks:
                # The crop is wider than the region; each word then gets a crop to the middle of the gap.
                margin = transforms.MARGIN_ALONG * sides[index][1] / max(sides[index][0], 1e-6)
                places = torch.tensor(reading.transcript.breaks) * (1 + 2 * margin) - margin
                starts = torch.cat([torch.zeros(1), places + margin])
                ends = torch.cat([places - margin, torch.ones(1)])
                spans = torch.stack([starts, ends], dim=1)[ends > starts]
                self.add(boxes.cut_quad(self.quads[index], spans), self.scores[index].expand(len(spans)))

    def proposals(self, embeddings: Tensor) -> Proposals:
        """Return the regions, all of them read, in pixels of the photo as it was given.

        Args:
            embeddings: Of the regions (N, D).
        """
        height, width = self._size
        readings = [reading for reading in self.readings if reading]
        quads = self.quads / self.scale
        return Proposals(
            boxes=boxes.clip_boxes(boxes.quads_to_boxes(quads), width, height).numpy(),
            quads=quads.numpy(),
            scores=self.scores.numpy(),
            transcripts=[reading.transcript.text for reading in readings],
            confidences=np.array([reading.transcript.confidence for reading in readings], np.float32),
            embeddings=unit(embeddings),
            steps=[reading.steps for reading in readings if reading.steps is not None],
        )


def _is_character(reading: Reading) -> bool:
    return len(reading.transcript.text) == 1 and is_dense(reading.transcript.text)


def unit(embeddings: Tensor) -> NDArray[np.float32]:
    """Return unit vectors in float32, also after arithmetic in half precision."""
    vectors = embeddings.float().cpu().numpy()
    result: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1)[:, None], SHORTEST)
    return result
