"""What the second look learns from: the detector's proposals and moved words, each with the word it shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import nms

from model import boxes
from model.detector import activate, decode_points, point_grid
from model.refiner import Refiner, grid_places, quads_to_sides, sample, sides_to_quads
from model.training.assignment import upright
from model.training.augment import View

SAME_WORD = 0.3  # overlap from which a proposal is to be drawn to the word
COVERED = 0.5  # share of a proposal inside a word to be ignored, from which it does not count
MIN_SCORE, POINTS, POSITIVES, NEGATIVES = 0.1, 500, 40, 25
BETA, LARGEST, WEIGHT, QUALITY_WEIGHT = 0.1, 2.0, 2.0, 0.5


@dataclass(frozen=True)
class Looks:
    """Proposals of one view.

    Attributes:
        rotated: (N, 5) in pixels.
        positive: bool (N,), whether they show a word.
        quads: (N, 4, 2) corners of that word, from the one at the proposal's upper left; else 0.
    """

    rotated: Tensor
    positive: Tensor
    quads: Tensor


def aligned(quads: Tensor, rotated: Tensor) -> Tensor:
    """Return corners (N, 4, 2) in an order within an eighth of a turn of the proposals (N, 5)."""
    turned = boxes.quads_to_rotated(quads)[:, 4] - rotated[:, 4]
    quarters = torch.round(turned / (math.pi / 2)).long()
    order = (torch.arange(4, device=quads.device) - quarters[:, None]) % 4
    return quads.gather(1, order[..., None].expand(-1, -1, 2))


def moved(rng: np.random.Generator, quads: Tensor) -> Tensor:
    """Return proposals (N, 5) near words (N, 4, 2), wrong by about as much as the detector's."""
    rotated = upright(boxes.quads_to_rotated(quads))
    noise = torch.from_numpy(rng.normal(size=(len(quads), 7)).astype(np.float32)).unbind(1)
    height, width = rotated[:, 2:4].amin(1), rotated[:, 2]
    return torch.stack(
        [
            rotated[:, 0] + 0.25 * noise[0] * height + 0.05 * noise[1] * width,
            rotated[:, 1] + 0.1 * noise[2] * height,
            (width * (0.15 * noise[3]).exp() + 0.25 * noise[4] * height).clamp(min=4),
            rotated[:, 3] * (0.12 * noise[5]).exp(),
            rotated[:, 4] + 0.04 * noise[6],
        ],
        dim=1,
    )


def looks(rng: np.random.Generator, raw: Tensor, view: View) -> Looks:
    """Return proposals of a view to learn from: of the detector, with and without a word, and moved words.

    Args:
        rng: Source of chance.
        raw: Predictions (P, 7) for the view.
        view: What was looked at.
    """
    size = view.image.shape[0]
    quads, ignore = torch.from_numpy(view.quads), torch.from_numpy(view.ignore)
    proposed = _proposed(rng, activate(raw.detach().float()).cpu(), size)
    found, counted = _match(proposed, quads, ignore)
    positive = _some(rng, counted & (found >= 0), POSITIVES)
    negative = _some(rng, counted & (found < 0), NEGATIVES)
    shaken = moved(rng, quads[~ignore])
    shown, kept = _match(shaken, quads, ignore)
    kept &= shown >= 0
    rotated = torch.cat([proposed[positive], proposed[negative], shaken[kept]])
    index = torch.cat([found[positive], found[negative], shown[kept]])
    words = torch.zeros(len(rotated), 4, 2)
    words[index >= 0] = aligned(quads[index[index >= 0]], rotated[index >= 0])
    return Looks(rotated, index >= 0, words)


def _proposed(rng: np.random.Generator, points: Tensor, size: int) -> Tensor:
    """Return some of the detector's boxes (N, 5), more or less thinned out."""
    centres, strides = point_grid(size, size)
    kept = _some(rng, points[:, 0] > MIN_SCORE, POINTS)
    rotated = decode_points(points[kept], centres[kept], strides[kept])
    hulls = boxes.quads_to_boxes(boxes.rotated_to_quads(rotated))
    return rotated[nms(hulls, points[kept, 0], float(rng.choice([0.5, 0.7, 0.9])))]


def _some(rng: np.random.Generator, mask: Tensor, limit: int) -> Tensor:
    """Return up to `limit` random places where the mask is true."""
    places = mask.nonzero()[:, 0]
    return places[torch.from_numpy(rng.permutation(len(places))[:limit])]


def _match(rotated: Tensor, quads: Tensor, ignore: Tensor) -> tuple[Tensor, Tensor]:
    """Return the word (N,) each proposal shows, -1 for none, and whether it counts."""
    hulls = boxes.quads_to_boxes(boxes.rotated_to_quads(rotated))
    if not len(quads):
        return torch.full((len(rotated),), -1), torch.ones(len(rotated), dtype=torch.bool)
    words = boxes.quads_to_boxes(quads)
    overlap, index = boxes.pairwise_iou(hulls, words).max(1)
    found = torch.where(overlap >= SAME_WORD, index, -1)
    low = torch.maximum(hulls[:, None, :2], words[None, :, :2])
    high = torch.minimum(hulls[:, None, 2:], words[None, :, 2:])
    area = (hulls[:, 2:] - hulls[:, :2]).prod(1).clamp(min=1)
    covered = ((high - low).clamp(min=0).prod(2) / area[:, None] * ignore).amax(1) > COVERED
    return found, torch.where(found >= 0, ~ignore[index], ~covered)


def refining_loss(refiner: Refiner, maps: Sequence[Tensor], batch: Sequence[Looks]) -> dict[str, Tensor]:
    """Return the parts of the loss, each a scalar: `corners` and `quality`; nothing without proposals.

    Args:
        refiner: To be trained.
        maps: Of the pyramid (B, C, H, W), the finest first.
        batch: Proposals of each picture.
    """
    inputs = []
    for look, *seen in zip(batch, *(torch.split(level, 1) for level in maps), strict=True):
        rotated = look.rotated.to(maps[0].device)
        columns, rows = grid_places(rotated)
        inputs.append((sample(seen, rotated, columns, rows), columns, rows))
    features, columns, rows = (torch.cat(tensors) for tensors in zip(*inputs, strict=True))
    if not len(features):
        return {}
    sides, quality = refiner(features, columns, rows)
    rotated, positive, quads = (
        torch.cat([getattr(look, name) for look in batch]).to(sides.device)
        for name in ("rotated", "positive", "quads")
    )
    target = torch.zeros_like(quality)
    if not positive.any():
        return {"quality": QUALITY_WEIGHT * F.binary_cross_entropy_with_logits(quality, target)}
    found, rotated, quads = sides[positive], rotated[positive], quads[positive]
    distance = F.smooth_l1_loss(found, quads_to_sides(quads, rotated), beta=BETA, reduction="none")
    overlap = _overlap(sides_to_quads(found, rotated), quads)
    target[positive] = overlap.detach()
    return {
        "corners": WEIGHT * (distance.clamp(max=LARGEST).mean() + (1 - overlap).mean()),
        "quality": QUALITY_WEIGHT * F.binary_cross_entropy_with_logits(quality, target),
    }


def _overlap(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU (N,) of the axis-aligned hulls of quads (N, 4, 2), pair by pair."""
    one, other = boxes.quads_to_boxes(first), boxes.quads_to_boxes(second)
    size = torch.minimum(one[:, 2:], other[:, 2:]) - torch.maximum(one[:, :2], other[:, :2])
    inter = size.clamp(min=0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (one, other)]
    return inter / (areas[0] + areas[1] - inter).clamp(min=1)
