"""What can be chosen about a training run, and its command line."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model import checkpoint

CHOICES = {"parts": ("detector", "refiner", "similarity", "reader"), "recipe": ("adamw", "paper")}


@dataclass(frozen=True)
class Settings:
    """One run.

    Attributes:
        data: Folder of the data sets.
        out: Folder of the run.
        init: Checkpoint to start from.
        parts: Which parts are trained; the others stay as they are.
        minutes: Wall-clock time of the whole run, stops not counted.
        steps: Length of the run instead of the minutes; 0: the minutes count.
        recipe: `adamw` with a cosine, or `paper`: SGD with two steps down.
        learning_rate: Of the new layers.
        trunk_rate: Factor of it for the trunks, which were trained before.
        frozen_stages: Of the reading trunk, first ones that stay as they are; the stem is the first.
        batch: Pictures a step; 0: crops of words alone, for parts that need no more.
        size: Side of the crops, in pixels.
        longer_side: Of the photos before cropping, from and to, in pixels.
        shares: Of photos with text, photos with places only, synthetic scenes.
        jitter: Of the true words' corners, in heights.
        crops: Proposals a picture, at most, for the similarity.
        word_crops: Crops of words a step.
        word_sets: Folders of crops, in the folder of the data sets or anywhere.
        degrade: Blur, noise and the like on crops of words.
        beta: Of the similarity's smooth-L1.
        pseudowords: Word augmentation on.
        pairs: Word-word and region-region similarities on.
        reading: CTC loss on.
        seed: Of everything.
        threads: Processor threads.
        workers: Processes that prepare pictures; 0: none but this.
        device: `cpu`, `cuda` ...
        log_every: Steps a line of the log.
    """

    data: Path
    out: Path
    init: Path = checkpoint.DEFAULT_CHECKPOINT
    parts: tuple[str, ...] = ("detector", "similarity")
    minutes: float = 60.0
    steps: int = 0
    recipe: str = "adamw"
    learning_rate: float = 1e-3
    trunk_rate: float = 0.2
    frozen_stages: int = 0
    batch: int = 4
    size: int = 640
    longer_side: tuple[int, int] = (640, 1920)
    shares: tuple[float, float, float] = (0.5, 0.25, 0.25)
    jitter: float = 0.08
    crops: int = 16
    word_crops: int = 32
    word_sets: tuple[str, ...] = ("words",)
    degrade: bool = False
    beta: float = 0.11
    pseudowords: bool = True
    pairs: bool = True
    reading: bool = True
    seed: int = 0
    threads: int = 1
    workers: int = 0
    device: str = "cpu"
    log_every: int = 50


def parse(arguments: Sequence[str]) -> Settings:
    """Return settings from a command line; every one is an option."""
    parser = argparse.ArgumentParser(
        description="Train the network.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    defaults = asdict(Settings(Path(), Path()))
    for name, default in defaults.items():
        option = "--" + name.replace("_", "-")
        if name in ("data", "out"):
            parser.add_argument(option, type=Path, required=True)
        elif isinstance(default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=default)
        elif isinstance(default, tuple):
            kind = type(default[0])
            parser.add_argument(option, type=kind, nargs="+", default=default, choices=CHOICES.get(name))
        else:
            parser.add_argument(option, type=type(default), default=default, choices=CHOICES.get(name))
    values = vars(parser.parse_args(arguments))
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    if not given["batch"] and {"detector", "refiner"} & set(given["parts"]):
        parser.error("detector and refiner learn from pictures: --batch must be at least 1")
    return Settings(**given)
