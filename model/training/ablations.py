r"""Trains every variant of the paper's ablations (Tables 4 and 5) on one equal budget and compares them.

    python -m model.training.ablations runs/ablations

    python -m model.training.ablations runs/table5 --test DATA/svt/test.xml DATA/str DATA/ctr --data DATA \
        --photo-sets synthtext.jsonl --imagenet resnet50.pth --device cuda --workers 8
    python -m model.training.ablations runs/table4 --after runs/table5 --data DATA \
        --test DATA/svt/test.xml DATA/str DATA/ctr --photo-sets mlt.jsonl --recipe paper-tuning \
        --device cuda --workers 8

The first command takes half an hour of one core: a narrow network learns from small pictures that the command
draws, and is measured on others. The others are the paper's own experiments, for whoever has data and a GPU:
Table 5 after the first stage, Table 4 after the second. What this command does not know is an option of
`model.training.train`. Stopped, it goes on; what is finished is not trained again.
"""

import argparse
import json
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console
from rich.progress import track

from model.encoder import Encoder
from model.evaluation.dataset import read_dataset
from model.evaluation.evaluate import evaluate
from model.training import tiles, train
from model.training.settings import parse
from model.training.synthetic import ENGLISH, load_words

_SMALL = (
    "--recipe adamw --learning-rate 0.001 --width 32 --size 256 --no-augment --batch 2 --steps 1200 "
    "--photo-sets train.jsonl --validation test.jsonl --validation-side 256 --validate-every 400"
)
SMALL = _SMALL.split()


@dataclass(frozen=True)
class Variant:
    """A row of Table 4 or 5.

    Attributes:
        options: Of `model.training.train`.
        table: Number of the table.
        paper: mAP % on SVT, STR and CTR in it.
    """

    options: tuple[str, ...]
    table: int
    paper: tuple[float, float, float]


VARIANTS = {
    "baseline": Variant(("--no-pseudowords", "--no-reading"), 4, (88.05, 73.70, 62.97)),
    "+ CTC": Variant(("--no-pseudowords",), 4, (88.62, 75.54, 64.08)),
    "+ WAS": Variant(("--no-reading",), 4, (88.68, 75.76, 64.59)),
    "+ WAS + CTC": Variant((), 4, (89.38, 77.09, 66.45)),
    "separated": Variant(("--separate",), 4, (82.88, 70.83, 61.16)),
    "detection + PHOC": Variant(("--target", "phoc"), 5, (80.87, 60.00, 42.89)),
    "without S(P,P), S(Q,Q)": Variant(("--no-pairs",), 5, (85.28, 66.50, 51.79)),
    "ours": Variant((), 5, (87.78, 70.18, 53.90)),  # the same training as + WAS + CTC
}


def folder_of(out: Path, variant: Variant, seed: int) -> Path:
    """Return the folder of a run; equal trainings share one."""
    return out / f"{'_'.join(variant.options).replace('--', '') or 'whole'}-{seed}"


def run_variant(
    variant: Variant, seed: int, out: Path, options: Sequence[str], tests: Sequence[Path], side: int
) -> dict[str, Any]:
    """Train a variant, and measure it, if that was not done before.

    Args:
        variant: What is trained.
        seed: Of the training.
        out: Folder of all runs.
        options: Of all of them.
        tests: Data sets.
        side: Longer side of their photos in pixels.

    Returns:
        The question, `seed` and `mean_average_precision` by data set, in [0, 1], and that of every query.
    """
    folder = folder_of(out, variant, seed)
    path, trained = folder / "result.json", folder / "model.safetensors"
    question = {"tests": [str(test) for test in tests], "side": side}
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if known.get("question") != question:
        arguments = [*options, *variant.options, "--seed", str(seed), "--out", str(folder)]
        settings = parse(arguments)
        if not known:  # else it is trained, and only other things are asked
            train.main(arguments)
        device = "cpu-torch" if settings.device == "cpu" else settings.device
        encoder = Encoder(trained, device=device, threads=settings.threads, longer_sides=(side,))
        found = {str(test): evaluate(encoder, test) for test in tests}
        known = {
            "question": question,
            "seed": seed,
            "mean_average_precision": {name: value.mean_average_precision for name, value in found.items()},
            "recall": {name: value.recall for name, value in found.items()},
            "average_precisions": {name: value.average_precisions for name, value in found.items()},
        }
        path.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    return known


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the figures as a table in Markdown, beside the paper's.

    Args:
        results: Of each variant in its seeds, as `run_variant` gives them. Of several seeds their mean is
            shown, and half of what lies between the best and the worst; of the difference to ours its
            standard error over the queries, which does not know what another seed would have changed.
    """
    tests = list(next(iter(results.values()))[0]["mean_average_precision"])
    names = [f"mAP % {Path(test).name}" for test in tests]
    lines = [
        ["table", "variant", *names, "to ours", "paper SVT, STR, CTR", "to ours"],
        ["--:", "---", *["--:"] * len(names), "--:", "--:", "--:"],
    ]
    ours = next((results[name] for name in ("ours", "+ WAS + CTC") if name in results), None)
    for name, found in results.items():
        variant = VARIANTS[name]
        values = [[100 * result["mean_average_precision"][test] for result in found] for test in tests]
        apart = _difference(found, ours) if ours else ""
        reference = VARIANTS["ours" if variant.table == 5 else "+ WAS + CTC"]
        theirs = ", ".join(f"{value:.1f}" for value in variant.paper)
        paper = f"{fmean(variant.paper) - fmean(reference.paper):+.1f}"
        lines.append([str(variant.table), name, *map(_cell, values), apart, theirs, paper])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {(max(values) - min(values)) / 2:.1f}" if len(values) > 1 else ""
    return f"{fmean(values):.1f}{spread}"


def _difference(found: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]]) -> str:
    """Return the mean over the data sets, as the paper's column has it, whatever their numbers of queries."""
    theirs, own = _precisions(found), _precisions(ours)
    apart = [[theirs[test][word] - own[test][word] for word in own[test]] for test in own]
    # A single query says nothing about what others would give.
    errors = [stdev(of_set) / math.sqrt(len(of_set)) if len(of_set) > 1 else math.inf for of_set in apart]
    return f"{fmean(map(fmean, apart)):+.1f} ± {math.hypot(*errors) / len(errors):.1f}"


def _precisions(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the average precision % of the queries of every data set, the mean of all seeds."""
    tests = found[0]["average_precisions"]
    return {
        test: {
            word: fmean(100 * result["average_precisions"][test][word] for result in found) for word in words
        }
        for test, words in tests.items()
    }


def draw(folder: Path) -> None:
    """Draw the pictures to learn from and to be measured on, if that was not done before."""
    if not (folder / "test.jsonl").exists():
        steps = tiles.write_tiles(folder, load_words([ENGLISH]), 0)
        count = tiles.TRAINING + tiles.HELD_BACK
        for _ in track(steps, "pictures", count, console=Console(stderr=True)):
            pass


def main(arguments: Sequence[str]) -> None:
    """Train, measure and compare from the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Further options are those of model.training.train; --data stands for data of your own.",
    )
    parser.add_argument("out", type=Path, help="folder of the runs, of the pictures and of ablations.json")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(VARIANTS),
        default=list(VARIANTS),
        metavar="VARIANT",
        help=f"some of: {', '.join(VARIANTS)}",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="a training for each")
    parser.add_argument("--after", type=Path, help="folder of a first stage, which the runs go on from")
    parser.add_argument("--data", type=Path, help="folder of data sets, instead of drawn pictures")
    parser.add_argument("--test", type=Path, nargs="+", default=[], help="data sets to measure, with --data")
    parser.add_argument("--side", type=int, default=1280, help="longer side of their photos in pixels")
    given, options = parser.parse_known_args(arguments)
    if bool(given.data) != bool(given.test):
        parser.error("--data and --test go together")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        found = run_all(given, options)
    except (OSError, ValueError) as exc:
        parser.error(str(exc))
    (given.out / "ablations.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    sys.stdout.write(table(found) + "\n")


def run_all(given: argparse.Namespace, options: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the results of each variant in its seeds.

    Raises:
        ValueError: a data set or checkpoint is not as it should be.
        OSError: a file cannot be read or written.
    """
    data, tests, side = given.data, given.test, given.side
    usual: Sequence[str] = ()
    if not data:
        data, tests, side, usual = (
            given.out / "words",
            [given.out / "words" / "test.jsonl"],
            tiles.SIDE,
            SMALL,
        )
        draw(data)
    for test in tests:  # to find out after days that one cannot be read would be late
        read_dataset(test)
    shared = ["--preset", "paper", "--data", str(data), *usual, *options]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in given.only}
    for seed in given.seeds:
        for name in given.only:
            variant = VARIANTS[name]
            before = folder_of(given.after, variant, seed) / "model.safetensors" if given.after else None
            start = ["--init", str(before)] if before else []
            found[name].append(run_variant(variant, seed, given.out, [*shared, *start], tests, side))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
