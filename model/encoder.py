"""The door into the network: photos to proposals, words to embeddings."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import nms

from model import boxes, checkpoint, runtime, transforms
from model.charset import Charset
from model.detector import Detections, activate, select
from model.embedder import stretch_words
from model.recognizer import read
from model.refiner import grid_places, sample, sides_to_quads
from model.retriever import Retriever

DEFAULT_CHECKPOINT = checkpoint.DEFAULT_CHECKPOINT
CROP_BATCH = 16
PYRAMID_LEVELS = 5


@dataclass(frozen=True)
class Proposals:
    """Text regions of one photo, best first.

    Attributes:
        boxes: float32 (N, 4) xyxy, pixels of the photo as given.
        quads: float32 (N, 4, 2), corners clockwise from the reading start.
        scores: float32 (N,), the detector's, in [0, 1].
        transcripts: What the reading branch reads, possibly empty.
        confidences: float32 (N,), probability of the least certain character, in [0, 1].
        embeddings: float32 (N, D), unit length.
    """

    boxes: NDArray[np.float32]
    quads: NDArray[np.float32]
    scores: NDArray[np.float32]
    transcripts: list[str]
    confidences: NDArray[np.float32]
    embeddings: NDArray[np.float32]


class _WordEmbedding(nn.Module):
    def __init__(self, retriever: Retriever) -> None:
        super().__init__()
        self.retriever = retriever

    def forward(self, numbers: Tensor, stretch: Tensor) -> Tensor:
        return self.retriever.embed_words(numbers, stretch)


class _Detection(nn.Module):
    """Gives the points, and the maps for a second look."""

    def __init__(self, retriever: Retriever) -> None:
        super().__init__()
        self.retriever = retriever

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.retriever.detector.features(images)
        return activate(self.retriever.detector.head(maps)), *maps


class _CropEmbedding(nn.Module):
    def __init__(self, retriever: Retriever) -> None:
        super().__init__()
        self.retriever = retriever

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        return self.retriever.embed_crops(crops)


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
                    "words", _WordEmbedding(self._retriever), [numbers, stretch], half=False
                )
            embeddings = self._text(numbers, stretch)
        return _unit(embeddings)

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> list[Proposals]:
        """Find, read and embed the text of photos.

        Args:
            images: uint8 RGB (H, W, 3) of any size, upright. Crops of all of them are read in common batches.

        Returns:
            The proposals of each photo, in the order of the photos.
        """
        with self._lock:
            photos = [_Photo.prepare(image, 2 * max(self.longer_sides)) for image in images]
            for side in self.longer_sides:
                self._find(photos, side)
            if len(self.longer_sides) > 1:
                for photo in photos:
                    photo.keep(
                        nms(boxes.quads_to_boxes(photo.quads), photo.scores, 0.5)[: self.max_proposals]
                    )
            return self._read(photos)

    def embed_quads(self, image: NDArray[np.uint8], quads: NDArray[np.float32]) -> Proposals:
        """Read and embed given regions of a photo; their detector score is 1.

        Args:
            image: uint8 RGB (H, W, 3).
            quads: Corners (N, 4, 2) in pixels, clockwise from the reading start.
        """
        with self._lock:
            photo = _Photo.prepare(image, 2 * max(self.longer_sides))
            photo.add(torch.from_numpy(quads).float() * photo.scale, torch.ones(len(quads)))
            return self._read([photo])[0]

    def _find(self, photos: Sequence["_Photo"], longer_side: int) -> None:
        """Add the words seen at one size; photos of one input size share a batch."""
        groups: dict[tuple[int, int], list[_Photo]] = {}
        for photo in photos:
            size = transforms.fit(photo.working.shape[1], photo.working.shape[2], longer_side)
            groups.setdefault(size, []).append(photo)
        for (height, width), members in groups.items():
            for start in range(0, len(members), self._detect_batch):
                part = members[start : start + self._detect_batch]
                batch = torch.stack(
                    [transforms.resize(photo.working, height, width) for photo in part]
                ).float()
                if self._detect is None:
                    example = torch.zeros(1, 3, 64, 64)
                    self._detect = self._compile("detector", _Detection(self._retriever), [example])
                points, *maps = self._detect(batch)
                for row, photo in enumerate(part):
                    found = select(
                        points[row].cpu(), height, width, min_score=self.min_score, top_k=self.max_proposals
                    )
                    corners = self._corners(found, [level[row : row + 1] for level in maps])
                    ratio = torch.tensor([photo.working.shape[2] / width, photo.working.shape[1] / height])
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

    def _read(self, photos: Sequence["_Photo"]) -> list[Proposals]:
        """Read and embed the words of all photos, crops of one width in common batches."""
        crops: dict[int, list[tuple[_Photo, int, Tensor]]] = {}
        for photo in photos:
            for index, crop in enumerate(photo.crops()):
                crops.setdefault(crop.shape[-1], []).append((photo, index, crop))
            photo.embeddings = torch.zeros(len(photo.quads), self.dimension)
        for width in sorted(crops):
            for batch in _batches(crops[width]):
                stacked = torch.cat([crop for _, _, crop in batch])
                if self._embed is None:
                    example = stacked[:1, ..., : transforms.CROP_WIDTHS[0]]
                    self._embed = self._compile("reader", _CropEmbedding(self._retriever), [example])
                embedded, logits = self._embed(stacked)
                words, confidences = read(logits, self.config.characters)
                for row, (photo, index, _) in enumerate(batch):
                    photo.embeddings[index] = embedded[row].cpu()
                    photo.transcripts[index] = words[row]
                    photo.confidences[index] = float(confidences[row])
        return [photo.proposals() for photo in photos]

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
            cache=cache,
        )


class _Photo:
    """A photo on its way: its working copy, what was found in it, what was read."""

    def __init__(self, working: Tensor, scale: float, height: int, width: int) -> None:
        self.working = working  # uint8 (3, h, w), at most twice as large as it is searched
        self.scale = scale  # of the working copy to the photo
        self._size = height, width
        self.quads = torch.zeros(0, 4, 2)  # in pixels of the working copy
        self.scores = torch.zeros(0)
        self.transcripts: dict[int, str] = {}
        self.confidences: dict[int, float] = {}
        self.embeddings = torch.zeros(0, 0)

    @classmethod
    def prepare(cls, image: NDArray[np.uint8], longest_side: int) -> "_Photo":
        height, width = image.shape[:2]
        working = torch.from_numpy(np.require(image, np.uint8, ["C", "W"])).permute(2, 0, 1)
        scale = min(1.0, longest_side / max(height, width))
        if scale < 1:
            working = transforms.resize(working, max(1, round(height * scale)), max(1, round(width * scale)))
        return cls(working, scale, height, width)

    def add(self, quads: Tensor, scores: Tensor) -> None:
        self.quads, self.scores = torch.cat([self.quads, quads]), torch.cat([self.scores, scores])

    def keep(self, indices: Tensor) -> None:
        self.quads, self.scores = self.quads[indices], self.scores[indices]

    def crops(self) -> list[Tensor]:
        """Cut the words out: (1, 3, 48, W) each, of different widths."""
        wide = boxes.widen_quads(self.quads, transforms.MARGIN_ALONG, transforms.MARGIN_ACROSS)
        sizes = boxes.quads_to_rotated(wide)[:, 2:4].tolist()
        levels = transforms.pyramid_level([height for _, height in sizes], PYRAMID_LEVELS)
        pyramid = [self.working.float()]
        for _ in range(max(levels, default=0)):
            pyramid.append(nn.functional.avg_pool2d(pyramid[-1], 2, ceil_mode=True))
        return [
            transforms.crop_quads(
                pyramid[level], wide[index : index + 1] / 2**level, transforms.crop_width(*sizes[index])
            )
            for index, level in enumerate(levels)
        ]

    def proposals(self) -> Proposals:
        height, width = self._size
        order = range(len(self.quads))
        quads = self.quads / self.scale
        return Proposals(
            boxes=boxes.clip_boxes(boxes.quads_to_boxes(quads), width, height).numpy(),
            quads=quads.numpy(),
            scores=self.scores.numpy(),
            transcripts=[self.transcripts[index] for index in order],
            confidences=np.array([self.confidences[index] for index in order], np.float32),
            embeddings=_unit(self.embeddings),
        )


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


def _unit(embeddings: Tensor) -> NDArray[np.float32]:
    """Return unit vectors in float32, also after arithmetic in half precision."""
    result: NDArray[np.float32] = nn.functional.normalize(embeddings.float(), dim=1).cpu().numpy()
    return result
