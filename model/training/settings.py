"""What can be chosen about a training run, and its command line."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CHOICES = {
    "preset": ("accurate", "joint", "distilled", "paper"),
    "parts": ("detector", "refiner", "similarity", "reader"),
    "target": ("similarity", "phoc"),
    "recipe": ("adamw", "paper", "paper-tuning"),
}
PATHS = ("data", "out", "init", "teacher", "imagenet")
# Section 4.2 of the paper: pre-training on whole pictures, fine-tuning on random views.
_PAPER: dict[str, Any] = {"preset": "paper", "beta": 1.0, "average": 1, "clip": 0.0}
_PRETRAINING = {"learning_rate": 0.01, "batch": 64, "steps": 90_000, "augment": False}
_TUNING = {"learning_rate": 0.001, "batch": 16, "steps": 80_000, "pseudowords": False}
DEFAULTS: dict[tuple[str, str], dict[str, Any]] = {
    ("paper", "paper"): {**_PAPER, **_PRETRAINING},
    ("paper", "paper-tuning"): {**_PAPER, **_TUNING},
    ("paper", "adamw"): _PAPER,
    ("distilled", "adamw"): {
        "preset": "distilled",
        "parts": ("reader",),
        "photo_sets": ("icdar2015/train.jsonl", "mlt17_boxes/train.jsonl"),
        "batch": 0,
        "word_crops": 64,
        "trunk_rate": 1.0,
        "jitter": 0.06,
    },
    ("joint", "adamw"): {"preset": "joint", "parts": ("detector", "refiner", "similarity", "reader")},
}


@dataclass(frozen=True)
class Settings:
    """One run.

    Attributes:
        data: Folder of the data sets.
        out: Folder of the run.
        preset: Which network.
        init: Checkpoint to start from; without one `accurate` takes the shipped one, `joint` and `distilled`
            their teacher, `paper` chance.
        teacher: Checkpoint of `accurate` that `joint` and `distilled` learn from; for `joint` the shipped one
            by default.
        teaching: Weight of what `joint` learns from it beside the truth.
        imagenet: Weights of torchvision's ResNet-50 to start `paper` from.
        width: Of a new network `paper`; 256 is the paper's.
        target: What `paper` ranks by: the similarity, or `phoc`, histograms of characters (Table 5).
        separate: Give detection and similarity of `paper` a trunk each, the second for crops (Table 4).
        photo_sets: What `paper` and `distilled` learn from: data sets in the folder of data sets or anywhere.
        crop_height: Rows in which the reader of `distilled` gets a word.
        augment: Random views of photos for `paper`; without, the photos are resized as they are.
        parts: Which parts of `accurate` or `joint` are trained; the others stay as they are.
        minutes: Wall-clock time of the whole run, stops not counted.
        steps: Length of the run instead of the minutes; 0: the minutes count.
        recipe: `adamw` with a cosine; `paper`: SGD with two steps down, as in pre-training; `paper-tuning`:
            with one. With the preset `paper` they have defaults of their own.
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
        read_once: Read all crops of words before the first step and never again: many times as fast, for the
            similarity alone.
        beta: Of the similarity's smooth-L1.
        average: Steps over which the written weights are averaged; 1: the last ones are written.
        clip: Largest norm of the gradient; 0: any.
        bf16: Compute in bfloat16 where that is safe; processors that are not made for it are slower with it.
        pseudowords: Word augmentation on.
        pairs: Word-word and region-region similarities on.
        reading: CTC loss on.
        seed: Of everything.
        threads: Processor threads.
        workers: Processes that prepare pictures; 0: none but this.
        device: `cpu`, `cuda` ...
        log_every: Steps a line of the log.
        validation: Data set that is measured at the end, in the folder of data sets or anywhere.
        validation_side: Longer side of its photos, in pixels; 0: as the checkpoint has it.
        validate_every: Steps after which it is measured, too; 0: only at the end.
    """

    data: Path
    out: Path
    preset: str = "accurate"
    init: Path | None = None
    teacher: Path | None = None
    teaching: float = 1.0
    imagenet: Path | None = None
    width: int = 256
    target: str = "similarity"
    separate: bool = False
    photo_sets: tuple[str, ...] = ("icdar2015/train.jsonl",)
    crop_height: int = 24
    augment: bool = True
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
    read_once: bool = False
    beta: float = 0.11
    average: int = 500
    clip: float = 10.0
    bf16: bool = False
    pseudowords: bool = True
    pairs: bool = True
    reading: bool = True
    seed: int = 0
    threads: int = 1
    workers: int = 0
    device: str = "cpu"
    log_every: int = 50
    validation: str = "icdar2015/val.jsonl"
    validation_side: int = 0
    validate_every: int = 0


def defaults_of(preset: str, recipe: str) -> dict[str, Any]:
    """Return the settings of a preset and recipe."""
    return asdict(Settings(Path(), Path(), recipe=recipe)) | DEFAULTS.get((preset, recipe), {})


def parse(arguments: Sequence[str]) -> Settings:
    """Return settings from a command line; every one is an option."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--preset", default="accurate")
    preset = first.parse_known_args(arguments)[0].preset
    first.add_argument("--recipe", default="paper" if preset == "paper" else "adamw")
    recipe = first.parse_known_args(arguments)[0].recipe
    parser = argparse.ArgumentParser(
        description="Train the network.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for name, default in defaults_of(preset, recipe).items():
        option = "--" + name.replace("_", "-")
        if name in PATHS:
            parser.add_argument(option, type=Path, required=name in ("data", "out"), default=default)
        elif isinstance(default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=default)
        elif isinstance(default, tuple):
            kind = type(default[0])
            parser.add_argument(option, type=kind, nargs="+", default=default, choices=CHOICES.get(name))
        else:
            parser.add_argument(option, type=type(default), default=default, choices=CHOICES.get(name))
    values = vars(parser.parse_args(arguments))
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    if problem := _contradiction(Settings(**given)):
        parser.error(problem)
    return Settings(**given)


def _contradiction(settings: Settings) -> str | None:
    """Return what is wrong with settings that are right one by one."""
    if settings.preset == "paper":
        if settings.batch < 1 or settings.width < 8 or settings.width % 8:
            return "paper needs --batch of at least 1 and --width in multiples of 8"
        if settings.size % 32:
            return "paper needs --size in multiples of 32"
    elif settings.read_once and (settings.batch or settings.parts != ("similarity",)):
        return "--read-once needs --batch 0 and --parts similarity"
    elif settings.preset == "joint" and not settings.batch:
        return "joint learns from pictures: --batch must be at least 1"
    elif not settings.batch and {"detector", "refiner"} & set(settings.parts):
        return "detector and refiner learn from pictures: --batch must be at least 1"
    return None
