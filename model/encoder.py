"""The door into the network: photos to proposals, words to embeddings."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import nms

from model import boxes, checkpoint, runtime, stages, transforms
from model.charset import Charset
from model.detector import Detections, select
from model.embedder import stretch_words
from model.photo import Proposals, Reading, WorkingPhoto, unit
from model.recognizer import read
from model.refiner import grid_places, sample, sides_to_quads

__all__ = ["DEFAULT_CHECKPOINT", "Encoder", "Proposals"]

DEFAULT_CHECKPOINT = checkpoint.DEFAULT_CHECKPOINT
CROP_BATCH = 16


class Encoder:
    """Runs a trained network on photos and words.

    The parts for photos are prepared at the first photo: a process that only encodes words stays small.
    Calls are safe from several threads; photos are encoded one call at a time.
    """

    def __init__(
        self,
        path: Path = DEFAULT_CHECKPOINT,
        *,
        device: str = "auto",
        threads: int | None = None,
        longer_sides: Sequence[int] = (1280,),
        min_score: float | None = None,
        max_proposals: int = 100,
        cache_dir: Path | None = None,
    ) -> None:
        """Load a network.

        Args:
            path: Checkpoint.
            device: See `runtime.choose`.
            threads: Processor threads; all cores by default.
            longer_sides: Sizes at which photos are searched for words; several are pooled.
            min_score: Detector score below which a region is no proposal; the checkpoint's own by default.
            max_proposals: At most so many proposals a photo.
            cache_dir: Folder for converted networks; without it every start takes some seconds longer.

        Raises:
            ValueError: the checkpoint or the device cannot be used.
        """
        loaded = checkpoint.load(path)
        self.version = loaded.version
        self.config = loaded.retriever.config
        self.dimension = self.config.steps * self.config.channels
        self.charset = Charset(self.config.charset)
        self.min_score = float(loaded.card["min_score"]) if min_score is None else min_score
        self.longer_sides = tuple(longer_sides)
        self.max_proposals = max_proposals
        self._retriever = loaded.retriever
        self._eight_bits = loaded.extras.eight_bits
        self.query_basis = _orthonormal(loaded.extras.query_basis)
        self._device, self._engine = runtime.choose(device)
        # A processor gains nothing from several photos at once, a GPU does.
        self._detect_batch = 8 if self._device.type == "cuda" else 1
        self._threads = threads or runtime.default_threads()
        self._cache_dir = cache_dir
        self._lock = threading.Lock()
        self._text_lock = threading.Lock()
        self._text: runtime.Compiled | None = None
        self._detect: runtime.Compiled | None = None
        self._look: runtime.Compiled | None = None
        self._reader: runtime.Compiled | None = None
        self._embed: runtime.Compiled | None = None

    def encode_texts(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings float32 (N, D) of words, each of unit length.

        Raises:
            ValueError: a word has no character that the network knows.
        """
        if not words:
            return np.empty((0, self.dimension), np.float32)
        numbers, stretch = stretch_words([self.charset.encode(word) for word in words], self.config.steps)
        with self._text_lock:
            if self._text is None:
                self._text = self._compile(
                    "words", stages.WordEmbedding(self._retriever), [numbers, stretch], half=False
                )
            embeddings = self._text(numbers, stretch)
        return unit(embeddings)

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """Find, read and embed the text of photos.

        Args:
            images: uint8 RGB (H, W, 3) of any size, upright. Crops of all of them are read in common batches.

        Returns:
            The proposals of each photo, in the order of the photos.
        """
        with self._lock:
            return self._read(self._search(images))

    def locate(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Find the text of a photo without reading it.

        Args:
            image: uint8 RGB (H, W, 3) of any size, upright.

        Returns:
            Corners (N, 4, 2) in pixels, clockwise from the reading start; detector scores (N,). Best first.
        """
        with self._lock:
            photo = self._search([image])[0]
            return (photo.quads / photo.scale).numpy(), photo.scores.numpy()

    def embed_quads(self, image: NDArray[np.uint8], quads: NDArray[np.float32]) -> Proposals:
        """Read and embed given regions of a photo; their detector score is 1.

        Args:
            image: uint8 RGB (H, W, 3).
            quads: Corners (N, 4, 2) in pixels, clockwise from the reading start.
        """
        with self._lock:
            photo = WorkingPhoto.prepare(image, 2 * max(self.longer_sides))
            photo.add(torch.from_numpy(quads).float() * photo.scale, torch.ones(len(quads)))
            self._read_new([photo])
            return self._proposals([photo])[0]

    def _search(self, images: Sequence[NDArray[np.uint8]]) -> list[WorkingPhoto]:
        """Return the photos with the words that were found at all sizes."""
        photos = [WorkingPhoto.prepare(image, 2 * max(self.longer_sides)) for image in images]
        for side in self.longer_sides:
            self._find(photos, side)
        if len(self.longer_sides) > 1:
            for photo in photos:
                photo.keep(nms(boxes.quads_to_boxes(photo.quads), photo.scores, 0.5)[: self.max_proposals])
        return photos

    def _find(self, photos: Sequence[WorkingPhoto], longer_side: int) -> None:
        """Add the words seen at one size; photos of one input size share a batch."""
        groups: dict[tuple[int, int], list[WorkingPhoto]] = {}
        for photo in photos:
            size = transforms.fit(photo.pixels.shape[1], photo.pixels.shape[2], longer_side)
            groups.setdefault(size, []).append(photo)
        for (height, width), members in groups.items():
            for start in range(0, len(members), self._detect_batch):
                part = members[start : start + self._detect_batch]
                batch = torch.stack(
                    [transforms.resize(photo.pixels, height, width) for photo in part]
                ).float()
                if self._detect is None:
                    example = torch.zeros(1, 3, 64, 64)
                    self._detect = self._compile("detector", stages.Detection(self._retriever), [example])
                points, *maps = self._detect(batch)
                for row, photo in enumerate(part):
                    found = select(
                        points[row].cpu(), height, width, min_score=self.min_score, top_k=self.max_proposals
                    )
                    corners = self._corners(found, [level[row : row + 1] for level in maps])
                    ratio = torch.tensor([photo.pixels.shape[2] / width, photo.pixels.shape[1] / height])
                    photo.add(corners * ratio, found.scores)

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
            photo.split_lines()
        self._read_new(photos)
        for photo in photos:
            photo.keep(photo.scores.argsort(descending=True, stable=True)[: self.max_proposals])
        return self._proposals(photos)

    def _proposals(self, photos: Sequence[WorkingPhoto]) -> list[Proposals]:
        """Embed what was read, all at once: the recurrent layer takes as long for one as for many."""
        readings = [reading for photo in photos for reading in photo.readings if reading]
        embedded = torch.empty(0, self.dimension)
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
                for row, transcript in enumerate(read(logits, self.config.characters)):
                    photo, index, _ = batch[row]
                    photo.readings[index] = Reading(transcript, sequences[row])

    def _compile(
        self, name: str, module: nn.Module, examples: Sequence[Tensor], half: bool = True
    ) -> runtime.Compiled:
        cache = self._cache_dir and self._cache_dir / f"{self.version[:16]}-{name}-{openvino.__version__}"
        return runtime.Compiled(
            module,
            examples,
            device=self._device,
            engine=self._engine,
            threads=self._threads,
            half=half,
            ready=self._eight_bits.get(name),
            cache=cache,
        )


def _orthonormal(basis: Tensor | None) -> NDArray[np.float32] | None:
    """Return vectors (B, D) that span the same, without the errors of half precision."""
    return None if basis is None else torch.linalg.qr(basis.T).Q.T.contiguous().numpy()


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
