"""What the preset `joint` brings to a run: one trunk, L = L_d + L_s + L_c in one step, and a teacher.

The teacher is a network `accurate`, which reads crops of the pictures. The same regions, cut out of the maps
of the one trunk, should give its sequences and embeddings; words that nobody wrote down say what it surely
reads.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model import boxes, checkpoint, transforms
from model.charset import Charset
from model.recognizer import SharedRecognizer, read
from model.retriever import Retriever
from model.shared import SharedMaps
from model.training.accurate import (
    AccurateTask,
    Example,
    finding_losses,
    predict,
    region_losses,
    shown_regions,
)
from model.training.augment import View
from model.training.datasets import Batch
from model.training.losses import Lesson
from model.training.optimizing import autocast
from model.training.regions import Crops, Regions, cut, merge, true_regions
from model.training.settings import Settings

FIT_BATCHES, RIDGE = 60, 1e-5
SURE = 0.9  # of a reading, from which it counts as what a word says


class JointTask(AccurateTask):
    """Trains the parts that the settings name, from a network `joint`, or `accurate` that becomes one."""

    def __init__(self, settings: Settings) -> None:
        """Load the networks.

        Raises:
            ValueError: a checkpoint cannot be used, two do not go together, or there are several processes.
        """
        teacher = settings.teacher or checkpoint.DEFAULT_CHECKPOINT
        super().__init__(replace(settings, init=settings.init or teacher))
        self._teacher = checkpoint.load(teacher).retriever.to(settings.device)
        config = self._teacher.config
        if config != replace(self.network.config, shared=False, refining=config.refining):
            raise ValueError(f"{teacher} is no checkpoint of accurate, or of another size")
        self._charset = Charset(config.charset)
        self.card = {**self.card, "preset": "joint"}
        if not self.network.config.shared:
            self.network = shared(self.network).to(settings.device)
            if not (settings.out / "state.pt").exists():
                fit_join(self.network, self._teacher, self._first_crops())

    def _first_crops(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield words of the first batches: crops of the maps and of the pictures."""
        rng = np.random.default_rng(0)
        for batch, _ in islice(self.batches(0), FIT_BATCHES):
            if isinstance(batch, Batch):
                images = batch.images.to(self._settings.device)
                regions = [true_regions(rng, view, 0.0) for view in batch.views]
                seen, pixels = self._groups(self._look(images), regions), self._groups(images, regions)
                yield from ((one, other) for (one, _), (other, _) in zip(seen, pixels, strict=True))

    @torch.no_grad()
    def _look(self, images: Tensor) -> list[SharedMaps]:
        return shared_maps(*self.network.detector.look(images))

    def losses(self, example: Example, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the parts of L; their sum is what is minimised."""
        settings, network, (batch, _) = self._settings, self.network, example
        if not isinstance(batch, Batch):
            raise ValueError("joint learns from pictures")
        images = batch.images.to(settings.device)
        first, maps, raw = predict(network, images, settings)
        losses = finding_losses(network, batch, maps, raw, settings, rng)
        views = [self._told(image, view) for image, view in zip(images, batch.views, strict=True)]
        regions = shown_regions(views, raw, settings, rng)
        seen = shared_maps(first, maps)
        taught = [self._lesson(crops) for crops, _ in self._groups(images, regions)]
        return losses | region_losses(network, self._groups(seen, regions), settings, rng, taught)

    def _groups(self, sources: Tensor | list[SharedMaps], regions: list[Regions]) -> list[Crops]:
        return merge(
            [
                crops
                for i, found in enumerate(regions)
                for crops in cut(sources[i], found, self._charset, self._teacher.config.crop_height)
            ]
        )

    @torch.no_grad()
    def _lesson(self, crops: Tensor) -> Lesson:
        with autocast(self._settings):
            sequence = self._teacher.recognizer.features(crops).float()
        resampled = self._teacher.image_branch.resample(sequence)
        return sequence, self._teacher.embed_sequences(resampled)

    @torch.no_grad()
    def _told(self, image: Tensor, view: View) -> View:
        """Return a view with texts for those of its words that have none and are surely read."""
        untold = [i for i, text in enumerate(view.texts) if text is None and not view.ignore[i]]
        texts = list(view.texts)
        for index in untold:
            quad = torch.from_numpy(view.quads[index : index + 1]).to(image.device)
            wide = boxes.widen_quads(quad, transforms.MARGIN_ALONG, transforms.MARGIN_ACROSS)
            width = transforms.crop_width(*boxes.quads_to_rotated(wide)[0, 2:4].tolist())
            crop = transforms.crop_quads(image, wide, width, self._teacher.config.crop_height)
            _, logits = self._teacher.recognizer(crop)
            reading = read(logits.float(), self._teacher.config.characters)[0]
            if reading.confidence >= SURE and self._charset.fold(reading.text):
                texts[index] = reading.text
        return replace(view, texts=texts)


def shared_maps(first: Tensor, maps: list[Tensor]) -> list[SharedMaps]:
    """Return the maps of each picture, from what `Detector.look` gives for them all."""
    ratio = torch.ones(2, device=first.device)
    return [SharedMaps(first[i], [level[i] for level in maps], ratio) for i in range(len(first))]


@torch.no_grad()
def fit_join(network: Retriever, teacher: Retriever, crops: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Have a network's `join` give what the stem of a teacher's reader does, as nearly as a linear map can.

    Least squares. From there training is short: from chance the reader behind it would unlearn first.

    Args:
        network: Of the preset `joint`.
        teacher: Of the preset `accurate`.
        crops: Of the maps of the first and of the pictures, of the same words.

    Raises:
        ValueError: there are no crops, or the network is of another preset.
    """
    if not isinstance(network.recognizer, SharedRecognizer):
        raise ValueError("there is no join to fit")
    join, stem = network.recognizer.join, teacher.recognizer.trunk.stem
    size = join.weight[0].numel() + 1
    square = torch.zeros(size, size, dtype=torch.float64)
    product = torch.zeros(size, join.out_channels, dtype=torch.float64)
    for seen, pixels in crops:
        wanted = stem.unclipped(stem.enter(teacher.recognizer.normalised(pixels))).flatten(2)  # N C P
        around = F.pad(F.unfold(seen, 3, padding=1), (0, 0, 0, 1), value=1.0)  # N 9 * seen + 1 P
        square += torch.einsum("nip,njp->ij", around, around).cpu()
        product += torch.einsum("nip,ncp->ic", around, wanted).cpu()
    if not square.any():
        raise ValueError("the photos to start from show no word")
    square.diagonal().add_(RIDGE * square.diagonal().mean())
    solution = torch.linalg.solve(square, product).float()
    join.weight.copy_(solution[:-1].T.view_as(join.weight))
    join.bias.copy_(solution[-1])  # type: ignore[union-attr]


def shared(retriever: Retriever) -> Retriever:
    """Return a network that reads in its detector's maps and has all of this one but the reader's stem."""
    network = Retriever(replace(retriever.config, shared=True))
    network.load_state_dict(retriever.state_dict(), strict=False)
    return network.eval().requires_grad_(False)
