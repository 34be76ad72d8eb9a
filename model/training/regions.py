"""Word regions for the similarity: true words with jitter, the detector's own boxes, and its false alarms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model import boxes, transforms
from model.charset import Charset
from model.detector import activate, select
from model.retriever import Retriever
from model.shared import SharedMaps
from model.training.augment import View

# (n, 3, H, W) in 0-255, or (n, C, H / 4, W / 4) of the detector's maps; and what they say
Crops = tuple[Tensor, list[str]]
SAME_WORD, NO_WORD = 0.5, 0.2  # overlap from which a proposal shows a word, and below which it shows none
WHOLE, PART = 0.7, 0.3  # share of a word inside a proposal from which it says it, and above which it cuts it
GAP, RATIO = 1.2, 1.65  # the widest gap between neighbours on a line, in heights; of their heights


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


def neighbours(regions: Regions) -> Regions:
    """Return each word of these with the next one on its line, as one region."""
    quads = regions.quads
    pairs = boxes.followers(quads, (0, GAP), RATIO)
    first, second = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).unbind(1)
    corners = torch.stack([quads[first, 0], quads[second, 1], quads[second, 2], quads[first, 3]], dim=1)
    return Regions(corners, [f"{regions.texts[a]} {regions.texts[b]}" for a, b in pairs])


def jittered(rng: np.random.Generator, quads: Tensor, jitter: float) -> Tensor:
    """Return corners (N, 4, 2), each moved at random by about `jitter` heights of its word."""
    height: Tensor = (quads[:, 3] - quads[:, 0]).norm(dim=1)[:, None, None]
    noise = torch.from_numpy(rng.normal(0, jitter, quads.shape).astype(np.float32))
    return quads + noise * height


@torch.no_grad()
def seen(network: Retriever, pixels: Tensor, longer_side: int) -> SharedMaps:
    """Return what a network `joint` sees of a picture.

    Args:
        network: Looks.
        pixels: uint8 (3, H, W); words will be given in these.
        longer_side: Size at which it looks, in pixels.
    """
    height, width = pixels.shape[1:]
    rows, columns = transforms.fit(height, width, longer_side)
    picture = transforms.resize(pixels, rows, columns)[None].to(network.detector.mean.device)
    first, maps = network.detector.look(picture.float())
    return SharedMaps(first[0], [level[0] for level in maps], torch.tensor([columns / width, rows / height]))


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
    """Return which of these regions (N, 4, 2) clearly show known words, and which clearly none.

    A region of several words says all of them: a reader that is told one of them unlearns the space.
    """
    if not len(view.quads):
        return Regions(quads, [""] * len(quads))
    words = torch.from_numpy(view.quads)
    hulls, word_hulls = boxes.quads_to_boxes(quads), boxes.quads_to_boxes(words)
    covers = boxes.pairwise_cover(hulls, word_hulls)
    kept, texts = [], []
    for index, overlap in enumerate(boxes.pairwise_iou(hulls, word_hulls)):
        whole = (covers[index] >= WHOLE).nonzero()[:, 0].tolist()
        best = int(overlap.argmax())
        others = covers[index].index_fill(0, torch.tensor([*whole, best]), 0)
        text = None  # what cannot be told clearly
        if not whole and overlap[best] < NO_WORD:
            text = ""
        elif others.max() > PART:
            pass
        elif len(whole) > 1:
            text = _line(quads[index], words[whole], whole, view)
        elif overlap[best] >= SAME_WORD:
            text = _known(view, best)
        if text is not None:
            kept.append(index)
            texts.append(text)
    return Regions(quads[kept], texts)


def _known(view: View, word: int) -> str | None:
    return None if view.ignore[word] else view.texts[word]


def _line(quad: Tensor, words: Tensor, numbers: list[int], view: View) -> str | None:
    """Return the text of words (N, 4, 2), if they are all known and fill a region (4, 2) as one line."""
    along, down = quad[1] - quad[0], quad[3] - quad[0]
    from_start = words.mean(1) - quad.mean(0)
    rows = from_start @ down / (down @ down)
    hull = boxes.quads_to_boxes(words.reshape(1, -1, 2))
    texts = [_known(view, number) for number in numbers]
    filled = boxes.pairwise_iou(boxes.quads_to_boxes(quad[None]), hull)[0, 0] >= SAME_WORD
    if not filled or rows.max() - rows.min() > boxes.SAME_ROW or not all(texts):
        return None
    return " ".join(str(texts[index]) for index in (from_start @ along).argsort().tolist())


def cut(source: Tensor | SharedMaps, regions: Regions, charset: Charset, height: int) -> list[Crops]:
    """Return crops of regions and what they say, in groups of one width.

    Texts that lose all characters in folding are left out; no text is not.

    Args:
        source: An image (3, H, W) in 0-255, or the detector's maps of it.
        regions: In pixels of the image.
        charset: To fold by.
        height: Of the crops, in pixels.
    """
    usable = [i for i, text in enumerate(regions.texts) if not text or charset.fold(text)]
    wide = boxes.widen_quads(regions.quads, transforms.MARGIN_ALONG, transforms.MARGIN_ACROSS)
    sizes = boxes.quads_to_rotated(wide)[:, 2:4].tolist()
    groups: dict[int, list[int]] = {}
    for index in usable:
        groups.setdefault(transforms.crop_width(*sizes[index]), []).append(index)
    return [
        (
            source.crop(wide[members], width, height)
            if isinstance(source, SharedMaps)
            else transforms.crop_quads(source, wide[members].to(source.device), width, height),
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
