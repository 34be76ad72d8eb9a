"""Which regions of a photo are worth keeping, and their final embeddings, judged by what was read there.

The detector sees that there is text, but not whether it can be read. Where something was read, its likely
spellings have embeddings of their own, from the text branch: the better their mean agrees with that of the
region, the likelier the region shows a word that can be read. A logistic regression on that agreement and a
few other signs tells how likely, and of regions that cover each other the better ones count. So many doubtful
regions can be read, and few have to be kept. The embedding that is kept lies between the region's own and
that mean, which corrects part of the errors of either.

Shape legend: N regions, D numbers in an embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import boxes
from model.photo import Proposals, unit

Floats = NDArray[np.float32]
COVERING = 0.5  # IoU from which regions show the same; each better one costs a region one logit
MOST_LETTERS, SURE = 6, 1e-4


@dataclass(frozen=True)
class Spelling:
    """What was read in the regions of a photo.

    Attributes:
        texts: Folded to the characters of the network, possibly empty.
        embeddings: Means of those of the likely spellings (N, D), zeros where nothing was read.
    """

    texts: Sequence[str]
    embeddings: Floats


@dataclass(frozen=True)
class Legibility:
    """How regions are judged; fitted by `model.training.legibility`, kept in a checkpoint's card.

    Attributes:
        weights: Of the `signs`, the last one of a constant; an older rule knows fewer, the last ones.
        least: Probability below which a region is dropped.
        share: Of the spellings in an embedding, to 1 of the region's own.
    """

    weights: tuple[float, ...]
    least: float
    share: float

    def judged(self, found: Proposals, spelling: Spelling) -> Proposals:
        """Return the regions that are kept, best first, corrected, with these probabilities for scores."""
        logits = signs(found, spelling)[:, -len(self.weights) :] @ np.array(self.weights, np.float32)
        scores = _sigmoid(logits - better_covering(found.boxes, logits))
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= self.least]
        return self.corrected(found.take(order, scores[order]), spelling.embeddings[order])

    def corrected(self, found: Proposals, spellings: Floats) -> Proposals:
        """Return the regions with embeddings that include those of their spellings (N, D)."""
        mixed = unit(torch.from_numpy(found.embeddings + self.share * spellings))
        return replace(found, embeddings=mixed)


def signs(found: Proposals, spelling: Spelling) -> Floats:
    """Return what regions are judged by (N, 9), the detector's score first; the last is 1."""
    agreement = (found.embeddings * unit(torch.from_numpy(spelling.embeddings))).sum(1)
    letters = np.array([len(text) for text in spelling.texts], np.float32)
    columns = [
        _logit(found.scores),
        agreement,
        agreement**2,
        _logit(found.confidences),
        np.minimum(letters, MOST_LETTERS),
    ]
    columns += [letters == count for count in (0, 1, 2)]
    columns.append(np.ones(len(letters)))
    return np.stack(columns, axis=1).astype(np.float32)


def better_covering(hulls: Floats, logits: Floats) -> Floats:
    """Return for boxes (N, 4) how many with a higher logit cover them."""
    overlap = boxes.pairwise_iou(torch.from_numpy(hulls), torch.from_numpy(hulls)).numpy()
    better = logits[None, :] > logits[:, None]
    count: Floats = ((overlap > COVERING) & better).sum(1).astype(np.float32)
    return count


def _logit(chances: Floats) -> Floats:
    clipped = np.clip(chances, SURE, 1 - SURE)
    result: Floats = np.log(clipped / (1 - clipped))
    return result


def _sigmoid(logits: Floats) -> Floats:
    result: Floats = torch.from_numpy(logits).sigmoid().numpy()
    return result


def fitted(observed: Floats, rightness: Floats, *, weight_decay: float = 1e-4) -> tuple[float, ...]:
    """Return the weights of a logistic regression.

    Args:
        observed: The `signs` of regions (N, 9).
        rightness: How well each shows a word that can be read (N,), in [0, 1].
        weight_decay: Keeps weights of what hardly varies small.
    """
    inputs, targets = torch.from_numpy(observed).double(), torch.from_numpy(rightness).double()
    spread = inputs[:, :-1].std(0).clamp(min=1e-6)
    scaled = torch.cat([inputs[:, :-1] / spread, inputs[:, -1:]], dim=1)
    weights = torch.zeros(inputs.shape[1], dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scaled @ weights, targets)
        loss = loss + weight_decay * (weights[:-1] ** 2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    found = weights.detach()
    return (*(found[:-1] / spread).tolist(), float(found[-1]))
