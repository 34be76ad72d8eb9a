r"""Trains the network on annotated photos, one step for all its parts: L = L_d + L_s + L_c (paper, Eq. 3).

    python -m model.training.train --data DATA --out runs/first --minutes 60

    python -m model.training.train --preset joint --data DATA --out runs/joint --parts reader --minutes 30
    python -m model.training.train --preset joint --data DATA --out runs/joint2 --minutes 30 \
        --init runs/joint/model.safetensors

    python -m model.training.train --preset paper --data DATA --photo-sets synthtext/train.jsonl \
        --imagenet resnet50.pth --out runs/pretrained --device cuda --bf16 --workers 8
    python -m model.training.train --preset paper --recipe paper-tuning --data DATA \
        --photo-sets mlt5k/train.jsonl --init runs/pretrained/model.safetensors --out runs/tuned --device cuda

For `accurate`, DATA holds folders of JSON lines beside their photos, as `model.evaluation.dataset` describes:
`icdar2015/train.jsonl` (words with text), `mlt17_boxes/train.jsonl` (places only; not needed if its share
is 0), and if they are there `words/train.jsonl` (crops of words). With `--batch 0` crops alone are learned
from. `joint` learns from the same photos and scenes and from what `accurate` sees in them; `paper` from
`--photo-sets`, with the recipe `paper` (pre-training) or `paper-tuning`; on several GPUs it is started by
`torchrun --nproc-per-node 4 -m model.training.train ...`, and `--batch` is that of all.

If it is there, `icdar2015/val.jsonl` (`--validation`) is measured at the end, and with `--validate-every N`
now and then, not counted in the minutes; `model.training.figures curves` draws that. A run can be
stopped at any moment and goes on from its folder, which holds `log.jsonl`, `state.pt` and at the end
`model.safetensors`.
"""

import json
import logging
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from model import checkpoint
from model.encoder import Encoder
from model.evaluation.evaluate import evaluate
from model.training import parallel
from model.training.accurate import AccurateTask
from model.training.distill import DistilledTask
from model.training.joint import JointTask
from model.training.optimizing import MovingAverage, make_optimizer, rate
from model.training.paper import PaperTask
from model.training.settings import Settings, parse

logger = logging.getLogger(__name__)

SAVE_SECONDS = 180
OF_OTHER_WEIGHTS = ("figures", "recipe", "validation")  # in the card of the checkpoint that a run starts from


class Task(Protocol):
    """What a preset brings to a run.

    Attributes:
        network: On the device of the run.
        card: Notes for its checkpoint.
    """

    network: Any
    card: dict[str, Any]

    def groups(self) -> list[dict[str, Any]]:
        """Unfreeze what is to be trained and return it in groups for the optimiser, each with its `share`."""

    def batches(self, start: int) -> Iterator[Any]:
        """Yield what each step learns from, without end."""

    def losses(self, example: Any, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the parts of L for what `batches` yielded; nothing where nothing can be learned."""


TASKS: dict[str, Any] = {
    "accurate": AccurateTask,
    "joint": JointTask,
    "distilled": DistilledTask,
    "paper": PaperTask,
}


class Run:
    """The state of a run, which can be stopped and gone on with."""

    def __init__(self, settings: Settings) -> None:
        """Start, or go on where the folder of the run stopped.

        Raises:
            ValueError: a checkpoint cannot be used, or settings do not go together.
        """
        self.settings = settings
        self.step, self.seconds = 0, 0.0
        self.task: Task = TASKS[settings.preset](settings)
        self.network: nn.Module = self.task.network
        parallel.share_weights(self.network)
        self.optimizer = make_optimizer(settings.recipe, settings.learning_rate, self.task.groups())
        self.average = MovingAverage(self.network, settings.average)
        settings.out.mkdir(parents=True, exist_ok=True)
        self.path = settings.out / "state.pt"
        if self.path.exists():
            self._restore(torch.load(self.path, map_location=settings.device, weights_only=True))

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.seconds = state["step"], state["seconds"]
        self.network.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.state = state["average"]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def save(self) -> None:
        """Write the state; a stop while writing leaves the one before."""
        if parallel.rank():
            return
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "weights": self.network.state_dict(),
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
        if parallel.rank():
            return
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
        parallel.average_gradients(self.parameters)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        self.average.update(self.network, self.step)
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
    rng = np.random.default_rng((settings.seed, run.step, 1, parallel.rank()))
    batches = run.task.batches(run.step)
    sums: dict[str, list[float]] = defaultdict(list)
    saved = last = time.monotonic()
    while run.progress < 1:
        losses = run.task.losses(next(batches), rng)
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
        if losses and validation_is_due(run):
            run.log(**do_test(run))
            last = time.monotonic()
    run.save()


def validation_is_due(run: Run) -> bool:
    """Return whether to measure after this step; the first process does, at the end another one anyway."""
    every = run.settings.validate_every
    return bool(every) and run.step % every == 0 and run.progress < 1 and not parallel.rank()


def do_test(run: Run) -> dict[str, Any]:
    """Write the averaged weights as a checkpoint and return its figures on the validation photos."""
    settings = run.settings
    path = settings.out / "model.safetensors"
    network = run.task.network
    latest = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(run.average.state)
    training = {
        key: str(value) if isinstance(value, Path) else value for key, value in asdict(settings).items()
    }
    before = {key: value for key, value in run.task.card.items() if key not in OF_OTHER_WEIGHTS}
    card = {**before, "revision": revision(), "steps": run.step, "training": training}
    checkpoint.save(path, network, card)
    photos = settings.data / settings.validation
    result: dict[str, Any] = {}
    if photos.exists():
        device = "cpu-torch" if settings.device == "cpu" else settings.device
        sides = (settings.validation_side,) if settings.validation_side else None
        encoder = Encoder(path, device=device, threads=settings.threads, longer_sides=sides)
        result = evaluate(encoder, photos).to_dict()
        del result["average_precisions"]
        checkpoint.save(path, network, {**card, "validation": result})
    network.load_state_dict(latest)
    return result


def main(arguments: list[str]) -> None:
    """Train from the command line; every setting is an option."""
    settings = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    settings = replace(settings, device=parallel.start(settings.device))
    try:
        run = Run(settings)
        run.log(revision=revision(), settings=str(settings))
        do_train(run)
        if not parallel.rank():
            run.log(**do_test(run))
    except (ValueError, OSError) as exc:
        sys.stderr.write(f"train: {exc}\n")
        sys.exit(2)
    finally:
        parallel.end()


if __name__ == "__main__":
    main(sys.argv[1:])
