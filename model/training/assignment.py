"""Which point of the network answers for which word.

Shape legend: P points of all levels, N words.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from model import boxes
from model.detector import STRIDES, point_grid

# Short side of a word in pixels, from and to, for each level; where two overlap, both answer.
LEVEL_RANGES = ((0.0, 20.0), (14.0, 40.0), (30.0, 84.0), (64.0, math.inf))
INNER = 0.6  # share of a word's width and height whose points answer for it


@dataclass(frozen=True)
class Targets:
    """What the points of one picture should say.

    Attributes:
        positive: bool (P,), points that answer for a word.
        counted: bool (P,), points that are right or wrong; false inside words to be ignored.
        sides: (P, 4) left, top, right, bottom in pixels along the word's axes; 0 where not positive.
        angle: (P,) radians, within an eighth of a turn of 0.
    """

    positive: Tensor
    counted: Tensor
    sides: Tensor
    angle: Tensor


def upright(rotated: Tensor) -> Tensor:
    """Return rotated boxes (N, 5) with the same corners and angles within an eighth of a turn of 0.

    A word that is read upwards becomes a tall box.
    """
    quarters = torch.round(rotated[:, 4] / (math.pi / 2))
    swapped = rotated[:, [0, 1, 3, 2, 4]]
    result = torch.where((quarters.long() % 2 == 1)[:, None], swapped, rotated)
    return torch.cat([result[:, :4], (rotated[:, 4] - quarters * (math.pi / 2))[:, None]], dim=1)


def assign(quads: Tensor, ignore: Tensor, height: int, width: int) -> Targets:
    """Return the targets of a picture.

    Args:
        quads: Words (N, 4, 2) in pixels.
        ignore: bool (N,), words that are neither to be found nor to be left out.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
    """
    centres, strides = point_grid(height, width)
    if not len(quads):
        empty = torch.zeros(len(centres), dtype=torch.bool)
        return Targets(empty, ~empty, torch.zeros(len(centres), 4), torch.zeros(len(centres)))
    rotated = upright(boxes.quads_to_rotated(quads))
    sides = _sides(centres, rotated)  # P N 4
    inside = (sides > 0).all(2)
    counted = ~(inside & ignore).any(1)
    wanted = _inner(sides) & _levels(rotated, strides) & ~ignore
    area = torch.where(wanted, rotated[:, 2:4].prod(1), torch.inf)
    smallest = area.argmin(1)
    positive = wanted.any(1)
    rows = torch.arange(len(centres))
    chosen = torch.where(positive[:, None], sides[rows, smallest], 0.0)
    angle = torch.where(positive, rotated[smallest, 4], 0.0)
    return Targets(positive, counted | positive, chosen, angle)


def _sides(centres: Tensor, rotated: Tensor) -> Tensor:
    """Return distances (P, N, 4) of points (P, 2) from the left, top, right, bottom sides of boxes (N, 5)."""
    offset = centres[:, None] - rotated[:, :2]
    cos, sin = rotated[:, 4].cos(), rotated[:, 4].sin()
    along = offset[..., 0] * cos + offset[..., 1] * sin
    across = offset[..., 1] * cos - offset[..., 0] * sin
    half_width, half_height = rotated[:, 2] / 2, rotated[:, 3] / 2
    return torch.stack(
        [half_width + along, half_height + across, half_width - along, half_height - across], dim=2
    )


def _inner(sides: Tensor) -> Tensor:
    left, top, right, bottom = sides.unbind(2)
    margin = (1 - INNER) / 2
    horizontal = torch.minimum(left, right) > margin * (left + right)
    vertical = torch.minimum(top, bottom) > margin * (top + bottom)
    return horizontal & vertical


def _levels(rotated: Tensor, strides: Tensor) -> Tensor:
    """Return which level answers for which word: bool (P, N)."""
    short = rotated[:, 2:4].amin(1)
    result = torch.zeros(len(strides), len(rotated), dtype=torch.bool)
    for stride, (low, high) in zip(STRIDES, LEVEL_RANGES, strict=True):
        fits = (short >= low) & (short < high)
        result |= (strides == stride)[:, None] & fits
    return result
