"""What the preset `accurate` brings to a run: its parts, its data, and the losses of one step."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model import checkpoint
from model.charset import Charset
from model.detector import point_grid
from model.evaluation.dataset import Photo
from model.recognizer import Recognizer
from model.retriever import Retriever
from model.training import parallel
from model.training.assignment import assign
from model.training.augment import Augmentation, View
from model.training.datasets import (
    Batch,
    Mix,
    PhotoSource,
    SceneSource,
    Source,
    loader,
    read_word_crops,
    text_free_cuts,
)
from model.training.layout import lay_out
from model.training.lettering import find_fonts
from model.training.losses import Lesson, detection_loss, reading_loss, teacher_loss
from model.training.optimizing import autocast
from model.training.refining import looks, refining_loss
from model.training.regions import Crops, Regions, cut, merge, proposed_regions, true_regions
from model.training.sequences import Sequences, crops_of, read_all, sequence_losses
from model.training.settings import Settings
from model.training.similarity import similarity_loss
from model.training.synthetic import ENGLISH, load_words

REFINING = 64  # channels of a new second look
# Pictures, and all crops of words to choose from; or these as they were read.
Example = tuple[Batch | None, Sequence[Photo]] | Sequences


class AccurateTask:
    """Trains the parts that the settings name, from a checkpoint; the others stay as they are."""

    def __init__(self, settings: Settings) -> None:
        """Load the network.

        Raises:
            ValueError: the checkpoint cannot be used, or there are several processes.
        """
        parallel.refuse()
        self._settings = settings
        loaded = checkpoint.load(settings.init or checkpoint.DEFAULT_CHECKPOINT)
        self.card = loaded.card
        self.network = with_parts(loaded.retriever, settings).to(settings.device)

    def groups(self) -> list[dict[str, Any]]:
        """Unfreeze what is to be trained and return it in groups for the optimiser."""
        lay_out(self.network, self._settings)  # not before: `joint` makes another network of the one loaded
        return choose_parameters(self.network, self._settings)

    def batches(self, start: int) -> Iterator[Example]:
        """Return what each step learns from, without end; another start gives another stream.

        Raises:
            ValueError: a data set is not as it should be.
        """
        settings = self._settings
        sets = [settings.data / name / "train.jsonl" for name in settings.word_sets]
        if settings.word_sets == Settings.word_sets and settings.batch:
            sets = [path for path in sets if path.exists()]  # nobody asked for them
        words = [word for path in sets for word in read_word_crops(path)]
        if settings.read_once:
            return repeat(read_all(self.network, words, settings))
        return zip(self._pictures(start), repeat(words))

    def _pictures(self, start: int) -> Iterator[Batch | None]:
        settings = self._settings
        if not settings.batch:
            return repeat(None)
        source = make_source(settings)
        return iter(
            loader(source, batch=settings.batch, workers=settings.workers, seed=settings.seed, start=start)
        )

    def losses(self, example: Example, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the parts of L; their sum is what is minimised. Nothing where nothing can be learned."""
        if isinstance(example, Sequences):
            return sequence_losses(self.network, example, self._settings, rng)
        return step_losses(self.network, *example, self._settings, rng)


# Parts


def with_parts(retriever: Retriever, settings: Settings) -> Retriever:
    """Return the network, with a new second look if one is to be trained and there is none."""
    if "refiner" not in settings.parts or retriever.refiner:
        return retriever
    grown = Retriever(replace(retriever.config, refining=REFINING))
    grown.load_state_dict(retriever.state_dict(), strict=False)
    return grown.eval().requires_grad_(False)


def choose_parameters(retriever: Retriever, settings: Settings) -> list[dict[str, Any]]:
    """Unfreeze what is to be trained and return it in groups for the optimiser."""
    modules: dict[str, list[nn.Module]] = {
        "refiner": [retriever.refiner] if retriever.refiner else [],
        "detector": [retriever.detector],
        "similarity": [retriever.image_branch, retriever.text_branch],
        "reader": [retriever.recognizer],
    }
    groups: dict[float, list[nn.Parameter]] = defaultdict(list)
    for part in settings.parts:
        for module in modules[part]:
            module.train().requires_grad_(True)
            for name, parameter in module.named_parameters():
                groups[settings.trunk_rate if name.startswith("trunk.") else 1.0].append(parameter)
    if "reader" in settings.parts:
        _freeze(retriever.recognizer, settings.frozen_stages)
    return [{"params": parameters, "share": share} for share, parameters in sorted(groups.items())]


def _freeze(recognizer: Recognizer, stages: int) -> None:
    """Keep the statistics of the batch norms, for crops come in small groups, and the first stages."""
    for module in recognizer.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    for frozen in [recognizer.trunk.stem, *recognizer.trunk.stages][:stages]:
        frozen.requires_grad_(False)


def make_source(settings: Settings) -> Mix:
    """Return the mix of photos and synthetic scenes.

    Raises:
        ValueError: a data set is not as it should be.
    """
    view = Augmentation(size=settings.size, longer_side=settings.longer_side)
    read = PhotoSource.read(settings.data / "icdar2015" / "train.jsonl", view)
    backgrounds = (
        text_free_cuts(read.photos, settings.size // 2, settings.seed, 60) if settings.shares[2] else []
    )
    candidates: dict[int, Callable[[], Source]] = {
        0: lambda: read,
        1: lambda: PhotoSource.read(settings.data / "mlt17_boxes" / "train.jsonl", view),
        2: lambda: SceneSource(
            load_words([ENGLISH]),
            find_fonts([Path("/usr/share/fonts")]),
            backgrounds,
            settings.size,
        ),
    }
    chosen = [index for index, share in enumerate(settings.shares) if share]
    return Mix([candidates[index]() for index in chosen], [settings.shares[index] for index in chosen])


# One step


def step_losses(
    retriever: Retriever,
    batch: Batch | None,
    words: Sequence[Photo],
    settings: Settings,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Return the parts of L for a batch, or for crops of words alone; their sum is what is minimised."""
    if batch is None:
        return region_losses(retriever, merge(word_crops(retriever, words, settings, rng)), settings, rng)
    images = batch.images.to(settings.device)
    _, maps, raw = predict(retriever, images, settings)
    losses = finding_losses(retriever, batch, maps, raw, settings, rng)
    if {"similarity", "reader"} & set(settings.parts):
        regions = shown_regions(batch.views, raw, settings, rng)
        charset, height = Charset(retriever.config.charset), retriever.config.crop_height
        groups = [
            crops
            for image, found in zip(images, regions, strict=True)
            for crops in cut(image, found, charset, height)
        ]
        groups += word_crops(retriever, words, settings, rng)
        losses |= region_losses(retriever, merge(groups), settings, rng)
    return losses


def predict(retriever: Retriever, images: Tensor, settings: Settings) -> tuple[Tensor, list[Tensor], Tensor]:
    """Return first features, maps and raw predictions of a batch, see `Detector`; in float32."""
    with torch.set_grad_enabled("detector" in settings.parts), autocast(settings):
        first, maps = retriever.detector.look(images)
        raw = retriever.detector.head(maps).transpose(1, 2)
    return first, [level.float() for level in maps], raw.float()


def finding_losses(
    retriever: Retriever,
    batch: Batch,
    maps: list[Tensor],
    raw: Tensor,
    settings: Settings,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Return L_d, as far as its parts are trained, from the maps and raw predictions of a batch."""
    losses: dict[str, Tensor] = {}
    if retriever.refiner and "refiner" in settings.parts:
        batch_looks = [looks(rng, raw[index], view) for index, view in enumerate(batch.views)]
        losses |= refining_loss(retriever.refiner, maps, batch_looks)
    if "detector" in settings.parts:
        targets = [
            assign(torch.from_numpy(view.quads), torch.from_numpy(view.ignore), settings.size, settings.size)
            for view in batch.views
        ]
        losses |= detection_loss(raw, targets, point_grid(settings.size, settings.size)[1])
    return losses


def shown_regions(
    views: Sequence[View], raw: Tensor, settings: Settings, rng: np.random.Generator
) -> list[Regions]:
    """Return the true and the proposed regions of each view, from its raw predictions."""
    result = []
    for index, view in enumerate(views):
        true = true_regions(rng, view, settings.jitter)
        proposed = proposed_regions(raw[index], view, min_score=0.2, limit=settings.crops)
        result.append(Regions(torch.cat([true.quads, proposed.quads]), true.texts + proposed.texts))
    return result


def word_crops(
    retriever: Retriever, words: Sequence[Photo], settings: Settings, rng: np.random.Generator
) -> list[Crops]:
    """Return random crops out of data sets of words."""
    chosen = rng.integers(len(words), size=settings.word_crops if words else 0).tolist()
    return crops_of([words[index] for index in chosen], retriever.config, settings, rng)


def region_losses(
    retriever: Retriever,
    groups: list[Crops],
    settings: Settings,
    rng: np.random.Generator,
    taught: Sequence[Lesson] = (),
) -> dict[str, Tensor]:
    """Return L_s and L_c over crops, nothing where there is no text, and what differs from a teacher's view.

    Args:
        retriever: To be trained.
        groups: Crops of equal widths.
        settings: Of the run.
        rng: Source of chance.
        taught: For each group what a teacher sees in it; empty without one.
    """
    charset = Charset(retriever.config.charset)
    losses: dict[str, Tensor] = {}
    embedded, texts, reading, sequences = [], [], [], []
    for crops, group_texts in groups:
        with autocast(settings):
            sequence, logits = (result.float() for result in retriever.recognizer(crops))
        sequences.append(sequence)
        embedded.append(retriever.embed_sequences(retriever.image_branch.resample(sequence)))
        texts += [charset.fold(text) for text in group_texts]
        if settings.reading and "reader" in settings.parts and any(group_texts):
            reading.append(reading_loss(logits, group_texts, retriever.config.characters))
    if any(texts):
        losses["similarity"] = similarity_loss(
            retriever,
            torch.cat(embedded),
            texts,
            rng,
            pseudowords=settings.pseudowords,
            pairs=settings.pairs,
            beta=settings.beta,
        )
    if reading:
        losses["reading"] = torch.stack(reading).mean()
    if taught:
        losses["teacher"] = settings.teaching * teacher_loss(
            list(zip(sequences, embedded, strict=True)), taught
        )
    return losses
