"""How weights move: optimiser, precision, learning rate, moving average."""

import math
from typing import Any

import torch
from torch import nn

from model.training.settings import Settings

# At which shares of the run the learning rate falls to a tenth (paper, section 4.2).
STEPS_DOWN = {"paper": (1 / 3, 2 / 3), "paper-tuning": (1 / 2,)}


def make_optimizer(recipe: str, learning_rate: float, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Return the optimiser of the recipe.

    Raises:
        ValueError: there is no such recipe.
    """
    if recipe == "adamw":
        return torch.optim.AdamW(groups, learning_rate, weight_decay=0.01)
    if recipe in STEPS_DOWN:
        return torch.optim.SGD(groups, learning_rate, momentum=0.9, weight_decay=1e-4)
    raise ValueError(f"recipe {recipe!r} is none of adamw, {', '.join(STEPS_DOWN)}")


def autocast(settings: Settings) -> torch.autocast:
    """Return the context that computes in bfloat16, if the settings say so."""
    return torch.autocast(torch.device(settings.device).type, torch.bfloat16, enabled=settings.bf16)


def rate(recipe: str, learning_rate: float, step: int, progress: float) -> float:
    """Return the learning rate.

    Args:
        recipe: `adamw`: a cosine; `paper`: two steps down; `paper-tuning`: one.
        learning_rate: The highest.
        step: Number of steps made; the first ones warm up.
        progress: Share of the run that is over, in [0, 1].
    """
    if recipe in STEPS_DOWN:
        warm = min(1.0, 1 / 3 + 2 / 3 * step / 500)
        return learning_rate * warm * 0.1 ** sum(progress >= share for share in STEPS_DOWN[recipe])
    return learning_rate * min(1.0, (step + 1) / 200) * (0.51 + 0.49 * math.cos(math.pi * progress))


class MovingAverage:
    """The mean of the weights over about the last `window` steps, fewer at the start."""

    def __init__(self, module: nn.Module, window: int = 500) -> None:
        self.window = window
        self.state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after a step."""
        share = 1 / min(self.window, step + 1)
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, share)
            else:
                self.state[name].copy_(tensor)
