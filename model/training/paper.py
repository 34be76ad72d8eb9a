"""What the preset `paper` brings to a run: L = L_d + L_s + L_c in one step (paper, section 3.5)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model import boxes, checkpoint
from model.charset import Charset
from model.embedder import stretch_words
from model.evaluation.dataset import read_photos
from model.evaluation.layouts.json_lines import PhotoLines
from model.paper.network import PaperConfig, PaperNetwork
from model.paper.phoc import phoc
from model.training import parallel
from model.training.augment import Augmentation, View
from model.training.datasets import Batch, Mix, PaperSource, Source, loader
from model.training.fcos import assign, fcos_loss
from model.training.losses import reading_loss
from model.training.optimizing import autocast
from model.training.settings import Settings
from model.training.similarity import similarity_loss

SIMILARITY_WEIGHT = 10.0  # of each of the three terms of L_s
MIN_SCORE = 0.2
CARD = {
    "preset": "paper",
    "min_score": MIN_SCORE,
    "credit": "Wang et al., Scene Text Retrieval via Joint Text Detection and Similarity Learning, CVPR 2021",
}


class PaperTask:
    """Trains the whole network but stem and res2."""

    def __init__(self, settings: Settings) -> None:
        """Load or make the network.

        Raises:
            ValueError: weights cannot be used, or several processes and the settings do not go together.
        """
        if settings.batch % parallel.processes():
            raise ValueError(f"--batch {settings.batch} is no multiple of {parallel.processes()} processes")
        if parallel.processes() > 1 and not settings.steps:
            raise ValueError("several processes need --steps: their clocks differ")
        self._settings = settings
        self.network, self.card = start(settings)
        self.network.to(settings.device)
        self._charset = Charset(self.network.config.charset)

    def groups(self) -> list[dict[str, Any]]:
        """Unfreeze what is to be trained and return it as one group for the optimiser."""
        self.network.train()
        self.network.unfreeze()
        return [{"params": [p for p in self.network.parameters() if p.requires_grad], "share": 1.0}]

    def batches(self, start: int) -> Iterator[Batch]:
        """Yield pictures; another start gives another stream, and so does another process.

        Raises:
            ValueError: a data set is not as it should be.
        """
        settings = self._settings
        views = loader(
            make_source(settings),
            batch=settings.batch // parallel.processes(),
            workers=settings.workers,
            seed=settings.seed + 1000 * parallel.rank(),
            start=start,
        )
        yield from views

    def losses(self, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the parts of L; their sum is what is minimised."""
        settings = self._settings
        images = batch.images.to(settings.device)
        size = (images.shape[2], images.shape[3])
        words = [words_of(view, self._charset) for view in batch.views]
        regions = [found.to(settings.device) for found, _ in words]
        texts = [text for _, found in words for text in found]
        with autocast(settings):
            maps, points = self.network(images)
            sequences = self.network.sequences(images, maps, regions)
        targets = [
            assign(quads.to(settings.device), ignore.to(settings.device), *size)
            for quads, ignore in (map(torch.from_numpy, (view.quads, view.ignore)) for view in batch.views)
        ]
        losses = fcos_loss(points.float(), targets) | self._matching_loss(sequences, texts, rng)
        if self.network.classifier:
            logits = self.network.classifier(sequences)
            losses["reading"] = reading_loss(logits, texts, self._charset.characters)
        return losses

    def _matching_loss(
        self, sequences: Tensor, texts: list[str], rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Return L_s of regions, or what stands in its place."""
        settings, network = self._settings, self.network
        if network.histogram:
            return {"phoc": phoc_loss(network.histogram(sequences.flatten(1)), texts, self._charset)}
        loss = similarity_loss(
            network,
            network.embed_sequences(sequences),
            texts,
            rng,
            pseudowords=settings.pseudowords,
            pairs=settings.pairs,
            beta=settings.beta,
        )
        return {"similarity": SIMILARITY_WEIGHT * loss}


def start(settings: Settings) -> tuple[PaperNetwork, dict[str, Any]]:
    """Return the network that training starts from, and notes for its checkpoint.

    Raises:
        ValueError: the weights cannot be used.
    """
    if settings.init is None:
        config = PaperConfig(
            width=settings.width,
            reading=settings.reading,
            target=settings.target,
            separate=settings.separate,
        )
        network = PaperNetwork(config)
        for trunk in network.trunks():
            if settings.imagenet:
                trunk.resnet.load_imagenet(settings.imagenet)
        return network, CARD
    loaded = checkpoint.load(settings.init)
    if not isinstance(loaded.network, PaperNetwork):
        raise ValueError(f"{settings.init} is no checkpoint of the preset paper")
    config = loaded.network.config
    if (config.target, config.separate) != (settings.target, settings.separate):
        raise ValueError(f"{settings.init} was trained with another --target or --separate")
    network = PaperNetwork(replace(config, reading=settings.reading))
    network.load_state_dict(loaded.network.state_dict(), strict=False)  # but for the classifier
    return network, loaded.card


def make_source(settings: Settings) -> Source:
    """Return the photos of all data sets, each as often as any other.

    Raises:
        ValueError: a data set is not as it should be.
    """
    paths = [settings.data / name for name in settings.photo_sets]
    sets = [PhotoLines(path) if path.suffix == ".jsonl" else read_photos(path) for path in paths]
    views = Augmentation(settings.size, settings.longer_side, light=False, even=True)
    sources = [PaperSource(photos, settings.size, views if settings.augment else None) for photos in sets]
    return Mix(sources, [float(len(photos)) for photos in sets])


def words_of(view: View, charset: Charset) -> tuple[Tensor, list[str]]:
    """Return boxes (N, 4) and folded texts of the words of a view that are known and have a character."""
    texts = [charset.fold(text or "") for text in view.texts]
    known = [index for index, text in enumerate(texts) if text and not view.ignore[index]]
    hulls = boxes.quads_to_boxes(torch.from_numpy(view.quads[known]))
    height, width = view.image.shape[:2]
    return boxes.clip_boxes(hulls, width, height), [texts[index] for index in known]


def phoc_loss(logits: Tensor, texts: list[str], charset: Charset) -> Tensor:
    """Return the cross entropy of histograms of characters, averaged over words (Sudholt and Fink, 2016).

    Args:
        logits: (N, D).
        texts: What the N regions say, folded to the charset.
        charset: Of the network.
    """
    if not texts:
        return logits.sum() * 0
    numbers, _ = stretch_words([charset.encode(text) for text in texts], 1)
    target = phoc(numbers, charset.characters).to(logits.device)
    return F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / len(texts)
