"""L = L_d + L_s + L_c: detection, similarity, reading (paper, section 3.4).

Shape legend: P points, N crops, Q words, S steps.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from model.detector import activate
from model.training.assignment import Targets

Lesson = tuple[Tensor, Tensor]  # of crops: sequences (N, S, F), embeddings (N, D) of unit length

ANGLE_WEIGHT, OVERLAP_WEIGHT = 10.0, 0.5


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Return the focal loss of each point, shape as given (Lin et al., ICCV 2017)."""
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probability = logits.sigmoid()
    miss = targets * (1 - probability) + (1 - targets) * probability
    return (targets * alpha + (1 - targets) * (1 - alpha)) * miss**gamma * entropy


def sides_iou(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalised IoU (N,) of boxes given as distances (N, 4) from one point in one frame.

    Args:
        first: Left, top, right, bottom, all positive.
        second: Likewise.
    """
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    inter, hull = _area(low), _area(high)
    union = _area(first) + _area(second) - inter
    iou = inter / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def _area(sides: Tensor) -> Tensor:
    return (sides[:, 0] + sides[:, 2]) * (sides[:, 1] + sides[:, 3])


def detection_loss(raw: Tensor, targets: Sequence[Targets], strides: Tensor) -> dict[str, Tensor]:
    """Return the parts of L_d, each a scalar: `score`, `box`, `angle`, `overlap`.

    Args:
        raw: Predictions (B, P, 7) of `Detector.predict`.
        targets: Of each picture.
        strides: Of the points (P,), in pixels.
    """
    positive = torch.stack([target.positive for target in targets]).to(raw.device)
    counted = torch.stack([target.counted for target in targets]).to(raw.device)
    count = positive.sum().clamp(min=1)
    score = (focal_loss(raw[..., 0], positive.to(raw.dtype)) * counted).sum() / count
    chosen = raw[positive]
    wanted = torch.cat([target.sides[target.positive] for target in targets]).to(raw.device)
    angle = torch.cat([target.angle[target.positive] for target in targets]).to(raw.device)
    stride = strides.to(raw.device).expand(positive.shape)[positive]
    found = activate(chosen)
    iou, generalised = sides_iou(found[:, 1:5], wanted / stride[:, None])
    overlap = F.binary_cross_entropy_with_logits(chosen[:, 1], iou.detach(), reduction="sum")
    return {
        "score": score,
        "box": (1 - generalised).sum() / count,
        "angle": ANGLE_WEIGHT * (1 - (found[:, 5] - angle).cos()).sum() / count,
        "overlap": OVERLAP_WEIGHT * overlap / count,
    }


def row_maximum_loss(similarity: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """Return smooth-L1 of matrices (Q, N): the largest of each row, averaged over the rows (Eq. 4)."""
    return F.smooth_l1_loss(similarity, target, beta=beta, reduction="none").amax(1).mean()


def reading_loss(logits: Tensor, texts: Sequence[str], characters: str) -> Tensor:
    """Return L_c, the mean CTC loss a character (Graves et al., ICML 2006).

    Args:
        logits: (N, S, 1 + len(characters)), blank first.
        texts: What the crops say; those that are too long or have other characters do not count.
        characters: Of the classifier.
    """
    numbers = {character: number for number, character in enumerate(characters, start=1)}
    known = [index for index, text in enumerate(texts) if _readable(text, numbers, logits.shape[1])]
    if not known:
        return logits.sum() * 0
    labels = [[numbers[character] for character in texts[index]] for index in known]
    return F.ctc_loss(
        logits[known].log_softmax(2).transpose(0, 1),
        torch.tensor([number for label in labels for number in label]),
        torch.full((len(known),), logits.shape[1]),
        torch.tensor([len(label) for label in labels]),
        zero_infinity=True,
    )


def teacher_loss(seen: Sequence[Lesson], taught: Sequence[Lesson]) -> Tensor:
    """Return how far embeddings, and each step of the sequences, point from where a teacher's do.

    One minus the cosine, averaged over crops, of both.

    Args:
        seen: Groups of crops, as the network sees them.
        taught: The same groups, as the teacher does.
    """
    steps = [
        1 - F.cosine_similarity(one, other, dim=2).mean(1)
        for (one, _), (other, _) in zip(seen, taught, strict=True)
    ]
    whole = [1 - (one * other).sum(1) for (_, one), (_, other) in zip(seen, taught, strict=True)]
    return torch.cat(steps).mean() + torch.cat(whole).mean()


def _readable(text: str, numbers: dict[str, int], steps: int) -> bool:
    repeats = sum(first == second for first, second in pairwise(text))
    return 0 < len(text) + repeats <= steps and all(character in numbers for character in text)
