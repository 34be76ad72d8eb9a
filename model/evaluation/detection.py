"""How well boxes lie on the words: the protocols of ICDAR 2013 (DetEval) and ICDAR 2015 (IoU).

Both count over all photos. Boxes on unreadable words count neither for nor against.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.boxes import pairwise_cover

AREA_RECALL, AREA_PRECISION = 0.8, 0.4  # of DetEval
PIECES = 0.8  # what a word counts that was found in several pieces
IOU_THRESHOLD = 0.5

Matrix = NDArray[np.float32]


@dataclass
class Tally:
    """Sums over photos.

    Attributes:
        hits: What the found words are worth.
        right: What the boxes that lie on words are worth.
        truths: Number of readable words.
        boxes: Number of boxes, without those on unreadable words.
    """

    hits: float = 0.0
    right: float = 0.0
    truths: int = 0
    boxes: int = 0

    def __iadd__(self, other: "Tally") -> "Tally":
        self.hits += other.hits
        self.right += other.right
        self.truths += other.truths
        self.boxes += other.boxes
        return self

    def score(self) -> dict[str, float]:
        """Return precision, recall and their harmonic mean, each in [0, 1]; 0 where there is nothing."""
        precision = self.right / self.boxes if self.boxes else 0.0
        recall = self.hits / self.truths if self.truths else 0.0
        both = precision + recall
        mean = 2 * precision * recall / both if both else 0.0
        return {"precision": precision, "recall": recall, "f_score": mean}


def deteval(truth: Matrix, found: Matrix, ignored: Matrix) -> Tally:
    """Compare boxes with the words of a photo by area, with splits and merges (Wolf and Jolion, IJDAR 2006).

    As the program of the ICDAR 2013 competition does it: a word and a box that share 0.8 of the word and 0.4
    of the box, and overlap nothing else, count 1. A word that boxes cover to 0.8 together, 0.4 of each inside
    it, counts 0.8 as does each of the boxes. A box that covers 0.8 of several words, they 0.4 of it together,
    counts 1 as does each of the words: to find words as a line is no mistake there.

    Args:
        truth: Boxes of the readable words (M, 4) xyxy.
        found: Boxes to be judged (N, 4).
        ignored: Boxes of the unreadable words (K, 4); what lies in one of them by more than 0.4 is left out.
    """
    found = found[~(_cover(ignored, found) > AREA_PRECISION).any(0)]
    precision = _cover(truth, found)  # share of each box in each word (M, N)
    recall = _cover(found, truth).T  # share of each word in each box (M, N)
    tally = Tally(truths=len(truth), boxes=len(found))
    words, boxes = np.ones(len(truth), bool), np.ones(len(found), bool)  # those still free

    good = (recall >= AREA_RECALL) & (precision >= AREA_PRECISION)
    overlap = recall > 0
    pairs = good & (overlap.sum(1) == 1)[:, None] & (overlap.sum(0) == 1)
    for word, box in np.argwhere(pairs):
        tally += Tally(1, 1)
        words[word] = boxes[box] = False
    for word in np.flatnonzero(words & (overlap.sum(1) >= 2)):
        parts = np.flatnonzero(boxes & (precision[word] >= AREA_PRECISION))
        if len(parts) and recall[word, parts].sum() >= AREA_RECALL - 1e-4:
            worth = 1.0 if len(parts) == 1 else PIECES
            tally += Tally(worth, worth * len(parts))
            words[word], boxes[parts] = False, False
    for box in np.flatnonzero(boxes & (overlap.sum(0) >= 2)):
        members = np.flatnonzero(words & (recall[:, box] >= AREA_RECALL))
        if len(members) and precision[members, box].sum() >= AREA_PRECISION - 1e-4:
            tally += Tally(len(members), 1)
            words[members], boxes[box] = False, False
    return tally


def matched(truth: Matrix, found: Matrix, ignored: Matrix, threshold: float = IOU_THRESHOLD) -> Tally:
    """Compare regions with the words of a photo one to one by their IoU, as ICDAR 2015 does.

    Args:
        truth: Corners of the readable words (M, 4, 2).
        found: Corners to be judged (N, 4, 2).
        ignored: Corners of the unreadable words (K, 4, 2); what lies in one by more than half is left out.
        threshold: A pair counts if its IoU is larger.
    """
    areas = np.array([_area(quad) for quad in found])
    lost = _shared(ignored, found) > 0.5 * areas
    kept = ~lost.any(0)
    shared = _shared(truth, found[kept])
    union = np.array([_area(quad) for quad in truth])[:, None] + areas[kept] - shared
    close = shared > threshold * union
    free = np.ones(close.shape[1], bool)
    hits = 0
    for row in close:
        matches = np.flatnonzero(row & free)
        if len(matches):
            free[matches[0]] = False
            hits += 1
    return Tally(hits, hits, len(truth), len(free))


def shared_area(first: Matrix, second: Matrix) -> float:
    """Return the area that polygons (N, 2) and (M, 2) share; the second one is convex."""
    points = [tuple(point) for point in first.astype(float)]
    corners = second.astype(float)
    if _signed_area(corners) < 0:
        corners = corners[::-1]
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        points = _cut(points, start, end)
    return _area(np.array(points)) if len(points) > 2 else 0.0


def _cut(points: list[tuple[float, ...]], start: Matrix, end: Matrix) -> list[tuple[float, ...]]:
    """Return what of a polygon lies on the inner side of a line (Sutherland and Hodgman)."""
    (x0, y0), (x1, y1) = start, end
    sides = [(x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) for x, y in points]
    kept: list[tuple[float, ...]] = []
    for index, (point, side) in enumerate(zip(points, sides, strict=True)):
        before, side_before = points[index - 1], sides[index - 1]
        if (side < 0) != (side_before < 0):
            share = side_before / (side_before - side)
            kept.append(tuple(b + share * (p - b) for b, p in zip(before, point, strict=True)))
        if side >= 0:
            kept.append(point)
    return kept


def _shared(first: Matrix, second: Matrix) -> NDArray[np.float64]:
    """Return the areas (M, N) that quads (M, 4, 2) and (N, 4, 2) share."""
    areas = np.zeros((len(first), len(second)))
    if areas.size:
        low, high = (
            np.maximum(first.min(1)[:, None], second.min(1)),
            np.minimum(first.max(1)[:, None], second.max(1)),
        )
        for row, column in np.argwhere((low < high).all(2)):
            areas[row, column] = shared_area(first[row], second[column])
    return areas


def _signed_area(points: NDArray[np.floating]) -> float:
    x, y = points[:, 0], points[:, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _area(points: NDArray[np.floating]) -> float:
    return abs(_signed_area(points))


def _cover(first: Matrix, second: Matrix) -> Matrix:
    """Return which share (M, N) of the boxes (N, 4) lies inside each of the boxes (M, 4)."""
    cover: Matrix = pairwise_cover(torch.from_numpy(first), torch.from_numpy(second)).numpy()
    return cover
