"""Word regions for the similarity: true words with jitter, the detector's own boxes, and its false alarms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model import boxes, transforms
from model.charset import Charset
from model.detector import activate, select
from model.training.augment import View

Crops = tuple[Tensor, list[str]]  # (n, 3, 48, W) in 0-255, and what they say
SAME_WORD, NO_WORD = 0.5, 0.2  # overlap from which a proposal shows a word, and below which it shows none


@dataclass(frozen=True)
class Regions:
    """Regions of one view: corners (N, 4, 2) in pixels, and what they say; "" for no text."""

    quads: Tensor
    texts: list[str]


def true_regions(rng: np.random.Generator, view: View, jitter: float) -> Regions:
    """Return the words of a view whose text is known, their corners moved at random.

    Args:
        rng: Source of chance.
        view: What the words are in.
        jitter: Standard deviation of a corner's move, in heights of the word.
    """
    known = [i for i, text in enumerate(view.texts) if text and not view.ignore[i]]
    quads = jittered(rng, torch.from_numpy(view.quads[known]), jitter)
    return Regions(quads, [str(view.texts[i]) for i in known])


def jittered(rng: np.random.Generator, quads: Tensor, jitter: float) -> Tensor:
    """Return corners (N, 4, 2), each moved at random by about `jitter` heights of its word."""
    height: Tensor = (quads[:, 3] - quads[:, 0]).norm(dim=1)[:, None, None]
    noise = torch.from_numpy(rng.normal(0, jitter, quads.shape).astype(np.float32))
    return quads + noise * height


def proposed_regions(raw: Tensor, view: View, *, min_score: float, limit: int) -> Regions:
    """Return the detector's boxes that clearly show a known word, or clearly none.

    Args:
        raw: Predictions (P, 7) for the view.
        view: What was looked at.
        min_score: Of the boxes.
        limit: At most so many, the best.
    """
    size = view.image.shape[0]
    found = select(activate(raw.detach().float()).cpu(), size, size, min_score=min_score, top_k=limit)
    return match(boxes.rotated_to_quads(found.rotated), view)


def match(quads: Tensor, view: View) -> Regions:
    """Return which of these regions (N, 4, 2) clearly show a known word, and which clearly none."""
    if not len(view.quads):
        return Regions(quads, [""] * len(quads))
    overlap = boxes.pairwise_iou(
        boxes.quads_to_boxes(quads), boxes.quads_to_boxes(torch.from_numpy(view.quads))
    )
    kept, texts = [], []
    for index, (value, word) in enumerate(zip(*(t.tolist() for t in overlap.max(1)), strict=True)):
        known = view.texts[word] if not view.ignore[word] else None
        text = known if value >= SAME_WORD else ("" if value < NO_WORD else None)
        if text is not None:
            kept.append(index)
            texts.append(text)
    return Regions(quads[kept], texts)


def cut(image: Tensor, regions: Regions, charset: Charset) -> list[Crops]:
    """Return crops (n, 3, 48, W) of regions and what they say, in groups of one width.

    Texts that lose all characters in folding are left out; no text is not.

    Args:
        image: (3, H, W) in 0-255.
        regions: In pixels of the image.
        charset: To fold by.
    """
    usable = [i for i, text in enumerate(regions.texts) if not text or charset.fold(text)]
    wide = boxes.widen_quads(regions.quads, transforms.MARGIN_ALONG, transforms.MARGIN_ACROSS)
    sizes = boxes.quads_to_rotated(wide)[:, 2:4].tolist()
    groups: dict[int, list[int]] = {}
    for index in usable:
        groups.setdefault(transforms.crop_width(*sizes[index]), []).append(index)
    return [
        (
            transforms.crop_quads(image, wide[members].to(image.device), width),
            [regions.texts[i] for i in members],
        )
        for width, members in sorted(groups.items())
    ]


def merge(groups: Sequence[Crops]) -> list[Crops]:
    """Join groups of equal width."""
    merged: dict[int, tuple[list[Tensor], list[str]]] = {}
    for crops, texts in groups:
        tensors, words = merged.setdefault(crops.shape[3], ([], []))
        tensors.append(crops)
        words.extend(texts)
    return [(torch.cat(tensors), words) for _, (tensors, words) in sorted(merged.items())]
