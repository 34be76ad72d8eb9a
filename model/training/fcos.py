"""L_d of the preset `paper`: which point answers for which word, and what it costs (FCOS, ICCV 2019).

Shape legend: B pictures, P points of all levels, N words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model import boxes
from model.paper.head import HEAD_STRIDES, points_of
from model.training import parallel
from model.training.losses import focal_loss, sides_iou

# Farthest side of a word in pixels, from and to, that the points of each level answer for.
RANGES = ((0.0, 64.0), (64.0, 128.0), (128.0, 256.0), (256.0, 512.0), (512.0, torch.inf))
RADIUS = 1.5  # strides around a word's middle whose points answer for it


@dataclass(frozen=True)
class FcosTargets:
    """What the points of one picture should say.

    Attributes:
        positive: bool (P,), points that answer for a word.
        counted: bool (P,), points that are right or wrong; not those that answer for a word to be ignored.
        sides: (P, 4) distances left, top, right, bottom of that word in strides; 0 where not positive.
    """

    positive: Tensor
    counted: Tensor
    sides: Tensor


def assign(quads: Tensor, ignore: Tensor, height: int, width: int) -> FcosTargets:
    """Return the targets of a picture.

    Args:
        quads: Words (N, 4, 2) in pixels; their axis-aligned hulls are to be found.
        ignore: bool (N,), words that are neither to be found nor to be left out.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.

    Returns:
        Targets where the words are: on their device.
    """
    places, strides = (tensor.to(quads.device) for tensor in points_of(height, width))
    if not len(quads):
        nothing = torch.zeros_like(strides, dtype=torch.bool)
        return FcosTargets(nothing, ~nothing, places.new_zeros(len(places), 4))
    hulls = boxes.quads_to_boxes(quads)
    sides = torch.cat([places[:, None] - hulls[:, :2], hulls[:, 2:] - places[:, None]], dim=2)  # P N 4
    middle = (hulls[:, :2] + hulls[:, 2:]) / 2
    near = ((places[:, None] - middle).abs() < RADIUS * strides[:, None, None]).all(2)
    answers = near & (sides > 0).all(2) & _of_level(sides.amax(2), strides)
    area = (hulls[:, 2:] - hulls[:, :2]).prod(1)
    smallest = torch.where(answers, area, torch.inf).argmin(1)
    found = answers.any(1)
    positive = found & ~ignore[smallest]
    rows = torch.arange(len(places), device=places.device)
    chosen = sides[rows, smallest] / strides[:, None]
    return FcosTargets(positive, ~found | positive, torch.where(positive[:, None], chosen, 0.0))


def _of_level(farthest: Tensor, strides: Tensor) -> Tensor:
    """Return whether sides (P, N) are in the range of their point's level."""
    low, high = torch.zeros_like(strides), torch.zeros_like(strides)
    for stride, (start, end) in zip(HEAD_STRIDES, RANGES, strict=True):
        low[strides == stride], high[strides == stride] = start, end
    return (farthest >= low[:, None]) & (farthest <= high[:, None])


def centerness(sides: Tensor) -> Tensor:
    """Return how near the middle of its box a point lies, in [0, 1], of distances (N, 4) to its sides."""
    along, across = sides[:, [0, 2]], sides[:, [1, 3]]
    return (along.amin(1) / along.amax(1) * across.amin(1) / across.amax(1)).sqrt()


def fcos_loss(points: Tensor, targets: Sequence[FcosTargets]) -> dict[str, Tensor]:
    """Return the parts of L_d, each a scalar: `score`, `box`, `centerness`.

    Focal loss (0.25, 2) and centerness are divided by the number of points that answer for a word, GIoU,
    weighted by centerness, by the sum of its weights; both numbers are means over all processes.

    Args:
        points: Predictions (B, P, 6) of `FcosHead`.
        targets: Of each picture.
    """
    positive, counted, sides = (
        torch.stack([getattr(target, name) for target in targets])
        for name in ("positive", "counted", "sides")
    )
    count = parallel.mean(positive.sum()).clamp(min=1)
    found, wanted = points[positive], sides[positive]
    weight = centerness(wanted)
    weights = parallel.mean(weight.sum()).clamp(min=1e-6)
    _, generalised = sides_iou(found[:, 1:5], wanted)
    middle = F.binary_cross_entropy_with_logits(found[:, 5], weight, reduction="sum")
    return {
        "score": (focal_loss(points[..., 0], positive.to(points.dtype)) * counted).sum() / count,
        "box": ((1 - generalised) * weight).sum() / weights,
        "centerness": middle / count,
    }
