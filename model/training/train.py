"""Trains the network on annotated photos, one step for all its parts: L = L_d + L_s + L_c (paper, Eq. 3).

    python -m model.training.train --data DATA --out runs/first --minutes 60

DATA holds folders of JSON lines beside their photos, as `model.evaluation.dataset` describes:
`icdar2015/train.jsonl` (words with text), `mlt17_boxes/train.jsonl` (places only; not needed if its share
is 0), and if they are there `words/train.jsonl` (crops of words) and `icdar2015/val.jsonl`, which is
measured at the end. With `--batch 0` crops alone are learned from. A run can be stopped at any moment and
goes on from its folder, which holds `log.jsonl`, `state.pt` and at the end `model.safetensors`.
"""

import json
import logging
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from model import checkpoint
from model.charset import Charset
from model.detector import point_grid
from model.encoder import Encoder
from model.evaluation.dataset import Photo
from model.evaluation.evaluate import evaluate
from model.recognizer import Recognizer
from model.retriever import Retriever
from model.training.assignment import assign
from model.training.augment import Augmentation
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
from model.training.lettering import find_fonts
from model.training.losses import detection_loss, reading_loss
from model.training.optimizing import MovingAverage, make_optimizer, rate
from model.training.refining import looks, refining_loss
from model.training.regions import Crops, Regions, cut, jittered, merge, proposed_regions, true_regions
from model.training.settings import Settings, parse
from model.training.similarity import similarity_loss
from model.training.synthetic import degrade, load_words

logger = logging.getLogger(__name__)

SAVE_SECONDS = 180
REFINING = 64  # channels of a new second look


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
            load_words([Path("/usr/share/dict/words")]),
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
    with torch.set_grad_enabled("detector" in settings.parts):
        maps = retriever.detector.features(images)
        raw = retriever.detector.head(maps)
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
    if {"similarity", "reader"} & set(settings.parts):
        groups = region_crops(retriever, batch, images, raw, settings, rng)
        groups += word_crops(retriever, words, settings, rng)
        losses |= region_losses(retriever, merge(groups), settings, rng)
    return losses


def region_crops(
    retriever: Retriever,
    batch: Batch,
    images: Tensor,
    raw: Tensor,
    settings: Settings,
    rng: np.random.Generator,
) -> list[Crops]:
    """Return crops of true and of proposed regions of a batch."""
    charset = Charset(retriever.config.charset)
    groups: list[Crops] = []
    for index, view in enumerate(batch.views):
        for regions in (
            true_regions(rng, view, settings.jitter),
            proposed_regions(raw[index], view, min_score=0.2, limit=settings.crops),
        ):
            groups += cut(images[index], regions, charset) if regions.texts else []
    return groups


def word_crops(
    retriever: Retriever, words: Sequence[Photo], settings: Settings, rng: np.random.Generator
) -> list[Crops]:
    """Return random crops out of data sets of words."""
    charset = Charset(retriever.config.charset)
    groups: list[Crops] = []
    for index in rng.integers(len(words), size=settings.word_crops if words else 0).tolist():
        pixels, word = words[index].pixels(), words[index].words[0]
        if settings.degrade:
            pixels = np.asarray(degrade(rng, Image.fromarray(pixels)))
        image = torch.tensor(pixels, device=settings.device).permute(2, 0, 1).float()
        quads = jittered(rng, torch.from_numpy(word.quad[None]), settings.jitter)
        groups += cut(image, Regions(quads, [word.text or ""]), charset)
    return groups


def region_losses(
    retriever: Retriever, groups: list[Crops], settings: Settings, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Return L_s and L_c over crops; nothing where there is no text."""
    charset = Charset(retriever.config.charset)
    losses: dict[str, Tensor] = {}
    embedded, texts, reading = [], [], []
    for crops, group_texts in groups:
        embeddings, logits = retriever.embed_crops(crops)
        embedded.append(embeddings)
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
    return losses


# A run


class Run:
    """The state of a run, which can be stopped and gone on with."""

    def __init__(self, settings: Settings) -> None:
        """Start, or go on where the folder of the run stopped.

        Raises:
            ValueError: checkpoint or recipe cannot be used.
        """
        self.settings = settings
        self.step, self.seconds = 0, 0.0
        loaded = checkpoint.load(settings.init)
        self.card = loaded.card
        self.retriever = with_parts(loaded.retriever, settings).to(settings.device)
        groups = choose_parameters(self.retriever, settings)
        self.optimizer = make_optimizer(settings.recipe, settings.learning_rate, groups)
        self.average = MovingAverage(self.retriever)
        settings.out.mkdir(parents=True, exist_ok=True)
        self.path = settings.out / "state.pt"
        if self.path.exists():
            self._restore(torch.load(self.path, map_location=settings.device, weights_only=True))

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.seconds = state["step"], state["seconds"]
        self.retriever.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.state = state["average"]

    def save(self) -> None:
        """Write the state; a stop while writing leaves the one before."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "weights": self.retriever.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    @property
    def progress(self) -> float:
        """Return the share of the run that is over, in [0, 1]."""
        if self.settings.steps:
            return min(1.0, self.step / self.settings.steps)
        return min(1.0, self.seconds / (60 * self.settings.minutes))

    def log(self, **values: Any) -> None:
        """Add a line to the log of the run."""
        line = {"step": self.step, "seconds": round(self.seconds), **values}
        with (self.settings.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        logger.info("%s", line)

    def update(self, losses: dict[str, Tensor]) -> None:
        """Make one step down the sum of the losses.

        Raises:
            FloatingPointError: a loss is not finite; the state on disk is older than that.
        """
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            named = {name: float(value.detach()) for name, value in losses.items()}
            raise FloatingPointError(f"step {self.step}: loss is not finite: {named}")
        current = rate(self.settings.recipe, self.settings.learning_rate, self.step, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = current * group["share"]
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], 10.0)
        self.optimizer.step()
        self.average.update(self.retriever, self.step)
        self.step += 1


def revision() -> str:
    """Return the git revision of this code, with a mark if files differ from it; `unknown` outside git."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
        folder = Path(__file__).parent
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def do_train(run: Run) -> None:
    """Train until the time is over, saving every few minutes."""
    settings = run.settings
    rng = np.random.default_rng((settings.seed, run.step, 1))
    batches: Iterator[Batch | None] = repeat(None)
    if settings.batch:
        source = make_source(settings)
        batches = iter(
            loader(source, batch=settings.batch, workers=settings.workers, seed=settings.seed, start=run.step)
        )
    sets = [settings.data / name / "train.jsonl" for name in settings.word_sets]
    if settings.word_sets == Settings.word_sets and settings.batch:
        sets = [path for path in sets if path.exists()]  # nobody asked for them
    words = [word for path in sets for word in read_word_crops(path)]
    sums: dict[str, list[float]] = defaultdict(list)
    saved = last = time.monotonic()
    while run.progress < 1:
        losses = step_losses(run.retriever, next(batches), words, settings, rng)
        if losses:
            run.update(losses)
        for name, value in losses.items():
            sums[name].append(float(value.detach()))
        now = time.monotonic()
        run.seconds, last = run.seconds + now - last, now
        if losses and run.step % settings.log_every == 0:
            run.log(**{name: round(float(np.mean(values)), 4) for name, values in sums.items()})
            sums.clear()
        if now - saved > SAVE_SECONDS:
            run.save()
            saved = now
    run.save()


def do_test(run: Run) -> dict[str, Any]:
    """Write the averaged weights as a checkpoint and return its figures on the validation photos."""
    path = run.settings.out / "model.safetensors"
    run.retriever.load_state_dict(run.average.state)
    training = {
        key: str(value) if isinstance(value, Path) else value for key, value in asdict(run.settings).items()
    }
    card = {**run.card, "revision": revision(), "steps": run.step, "training": training}
    checkpoint.save(path, run.retriever, card)
    photos = run.settings.data / "icdar2015" / "val.jsonl"
    if not photos.exists():
        return {}
    result = evaluate(Encoder(path, device="cpu-torch", threads=run.settings.threads), photos).to_dict()
    del result["average_precisions"]
    checkpoint.save(path, run.retriever, {**card, "validation": result})
    return result


def main(arguments: list[str]) -> None:
    """Train from the command line; every setting is an option."""
    settings = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    run = Run(settings)
    run.log(revision=revision(), settings=str(settings))
    do_train(run)
    run.log(**do_test(run))


if __name__ == "__main__":
    main(sys.argv[1:])
