"""What the preset `distilled` brings to a run: a reader that makes do with less learns from the one before.

It gets crops of half as many rows, and its last stage has half as many columns: half the work. Its weights
start as its teacher's, and for any region it should give what the teacher gives, so regions need no text.
Nothing else changes: embeddings of words stay what they are. A network `joint` to start from learns to read
the same regions in its maps, many times as many a step as when its pictures are looked at in each.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from model import checkpoint, runtime, transforms
from model.encoder import Encoder
from model.evaluation.dataset import Photo, read_photos
from model.finder import READING_SIDE
from model.photo import WorkingPhoto
from model.retriever import Retriever
from model.shared import SharedMaps
from model.training import parallel
from model.training.accurate import choose_parameters
from model.training.layout import lay_out
from model.training.optimizing import autocast
from model.training.regions import jittered, seen
from model.training.settings import Settings

MIN_SCORE, REGIONS = 0.2, 60  # of the detector, and of a photo at most
LEAST = 0.01  # probability of a character that counts
# Crops for the one who learns, uint8 (N, 3, H, W) or float16 as `SharedMaps.crop` gives them; the teacher's
# sequences float16 (N, S, F); by width.
Lessons = dict[int, tuple[Tensor, Tensor]]
Look = Callable[[Tensor], SharedMaps]  # at a picture, uint8 (3, H, W)


class DistilledTask:
    """Trains a reader of fewer rows and columns."""

    def __init__(self, settings: Settings) -> None:
        """Load the networks.

        Raises:
            ValueError: a checkpoint cannot be used, the teacher has nothing to teach, or there are several
                processes.
        """
        parallel.refuse()
        self._settings = settings
        self._teacher = checkpoint.load(settings.teacher or checkpoint.DEFAULT_CHECKPOINT)
        self._teacher.retriever.to(settings.device)
        if self._teacher.retriever.config.crop_height <= settings.crop_height:
            raise ValueError("the teacher reads no more rows than its pupil: --teacher names one that does")
        before = checkpoint.load(settings.init) if settings.init else self._teacher
        self.card, self._longer_side = before.card, before.longer_side
        self.network = lighter(before.retriever, settings.crop_height).to(settings.device)

    def groups(self) -> list[dict[str, Any]]:
        """Unfreeze the reader and return it for the optimiser."""
        lay_out(self.network, self._settings)
        return choose_parameters(self.network, self._settings)

    def batches(self, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield crops of one width and the teacher's sequences, without end.

        Raises:
            ValueError: a data set is not as it should be, or shows no text.
        """
        lessons = self._lessons()
        rng = np.random.default_rng((self._settings.seed, start, 3))
        widths = sorted(lessons)
        counts = np.array([len(lessons[width][0]) for width in widths])
        if not counts.sum():
            raise ValueError("the photos show no text")
        while True:
            crops, sequences = lessons[widths[rng.choice(len(widths), p=counts / counts.sum())]]
            chosen = torch.from_numpy(rng.integers(len(crops), size=self._settings.word_crops))
            yield crops[chosen], sequences[chosen]

    def losses(self, example: tuple[Tensor, Tensor], _: np.random.Generator) -> dict[str, Tensor]:
        """Return how far sequence, characters and embedding are from the teacher's."""
        crops, wanted = (tensor.to(self._settings.device).float() for tensor in example)
        with autocast(self._settings):
            found = self.network.recognizer.features(crops).float()
        classifier, teacher = self.network.recognizer.classifier, self._teacher.retriever
        with torch.no_grad():
            expected = teacher.recognizer.classifier(wanted).softmax(2)
            embedded = teacher.embed_sequences(teacher.image_branch.resample(wanted))
        spoken = (expected[..., 0] < 1 - LEAST).float()  # steps that say nothing are most of them
        divergence = F.kl_div(classifier(found).log_softmax(2), expected, reduction="none").sum(2)
        embedding = self.network.embed_sequences(self.network.image_branch.resample(found))
        return {
            "sequence": F.mse_loss(found, wanted) / wanted.var(),
            "reading": (divergence * (spoken + LEAST)).sum() / (spoken + LEAST).sum(),
            "similarity": 1 - (embedding * embedded).sum(1).mean(),
        }

    def _lessons(self) -> Lessons:
        """Return all crops with what the teacher reads; a run that goes on finds them in its folder."""
        kept = self._settings.out / "lessons.pt"
        if not kept.exists():
            part = kept.with_suffix(".part")
            torch.save(self._collected(), part)
            part.replace(kept)
        lessons: Lessons = torch.load(kept, weights_only=True)
        return lessons

    def _collected(self) -> Lessons:
        settings = self._settings
        photos = [photo for name in settings.photo_sets for photo in read_photos(settings.data / name)]
        look = partial(seen, self.network, longer_side=self._longer_side)
        shared = look if self.network.config.shared else None
        teaching = Teaching(settings, self._teacher.retriever, self._teacher.squeeze, shared)
        for photo in track(photos, "regions"):
            teaching.add(photo)
        return teaching.lessons()


def lighter(retriever: Retriever, crop_height: int) -> Retriever:
    """Return a network of the same weights that reads crops of this height, the last stage half as wide."""
    trunk = retriever.config.reading_trunk
    strides = (*trunk.strides[:-1], (trunk.strides[-1][0], 2))
    config = replace(retriever.config, crop_height=crop_height, reading_trunk=replace(trunk, strides=strides))
    network = Retriever(config)
    network.load_state_dict(retriever.state_dict())
    return network.eval().requires_grad_(False)


class Features(nn.Module):
    """Crops to sequences."""

    def __init__(self, retriever: Retriever) -> None:
        super().__init__()
        self.recognizer = retriever.recognizer

    def forward(self, crops: Tensor) -> Tensor:
        """See `Recognizer.features`."""
        return self.recognizer.features(crops)


class Teaching:
    """Cuts regions out of photos twice, once for the teacher, and asks the teacher."""

    def __init__(self, settings: Settings, teacher: Retriever, squeeze: float, look: Look | None) -> None:
        """Prepare the networks.

        Args:
            settings: Of the run.
            teacher: Reads.
            squeeze: See `transforms.crop_width`.
            look: Gives the maps in which the one who learns reads, if it does not read pixels.
        """
        self._look = look
        device, engine = runtime.choose(settings.device)
        self._height, self._low, self._squeeze = teacher.config.crop_height, settings.crop_height, squeeze
        example = torch.zeros(1, 3, self._height, transforms.CROP_WIDTHS[0])
        self._read = runtime.Compiled(
            Features(teacher), [example], device=device, engine=engine, threads=settings.threads
        )
        self._encoder = Encoder(
            settings.teacher or checkpoint.DEFAULT_CHECKPOINT,
            device=settings.device,
            threads=settings.threads,
            min_score=MIN_SCORE,
            max_proposals=REGIONS,
        )
        self._rng, self._jitter = np.random.default_rng((settings.seed, 4)), settings.jitter
        self._found: dict[int, list[tuple[Tensor, Tensor]]] = defaultdict(list)

    def add(self, photo: Photo) -> None:
        """Learn from a photo: what the detector finds, turned too where it is tall, and the true words."""
        pixels = photo.pixels()
        words = [word.quad for word in photo.words if not word.ignore]
        true = torch.from_numpy(np.array(words, np.float32).reshape(-1, 4, 2))
        working = WorkingPhoto.prepare(pixels, READING_SIDE)
        located = torch.from_numpy(self._encoder.locate(pixels)[0])
        quads = torch.cat([located, true, jittered(self._rng, true, self._jitter)])
        working.add(quads * working.scale, torch.ones(len(quads)))
        working.turn_tall()
        everything = list(range(len(working.quads)))
        high_crops = working.crops(everything, self._height, self._squeeze)
        if self._look:
            working.maps = self._look(working.pixels)
        low_crops = working.crops(everything, self._low, self._squeeze)
        alike: dict[int, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for high, low in zip(high_crops, low_crops, strict=True):
            alike[low.shape[3]].append((high, low))
        for width, pairs in alike.items():
            high, low = (torch.cat(crops) for crops in zip(*pairs, strict=True))
            kept = low.half() if self._look else low.round().byte()
            self._found[width].append((kept, self._read(high).half().cpu()))

    def lessons(self) -> Lessons:
        """Return everything learned from so far."""
        return {
            width: (torch.cat([crops for crops, _ in pairs]), torch.cat([taught for _, taught in pairs]))
            for width, pairs in self._found.items()
        }
