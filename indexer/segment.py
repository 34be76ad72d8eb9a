"""Some thousand proposals in memory, and what their scores are at most.

A score is an inner product. Of query and vector the parts in a basis are multiplied, those of the vector
rounded to eight bits; of what is rounded away and of the rest, which lies outside the basis, the lengths are:
that is at least as much (Cauchy-Schwarz). The basis holds most of every query, so nearly all proposals are
ruled out by 512 bytes instead of 3840.
"""

from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from indexer.snapshot import Part

NO_TEXT_SCORE = -1.0
SCORE_MARGIN = 0.1
MAX_PROPOSALS = 10
MAX_LENGTH = 1.01  # of a vector: 1, and what float16 makes of it
# Parts beyond LEVELS / STEPS are cut off, which is rare after `spread`, and counts as rounded away.
LEVELS, STEPS = 127, 600
ROUNDING = 1e-4  # more than float32 loses of a product of unit vectors
# FAISS takes several times as long where the length of a vector is no multiple of LANES; and where it is one
# of PAIRED, it rounds the query to whole numbers.
LANES, PAIRED = 8, 16

Vectors = NDArray[np.floating[Any]]
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Match(NamedTuple):
    """An image with its best score and its best (proposal id, score) pairs, best first."""

    image_id: int
    score: float
    proposals: tuple[tuple[int, float], ...]


class Segment:
    """Some thousand rows, one for each proposal; those of an image are neighbours."""

    def __init__(self, dimension: int, basis: Vectors | None = None) -> None:
        self._basis = basis
        self._index = _products(dimension, faiss.ScalarQuantizer.QT_fp16)
        self._parts: Any = None
        if basis is not None:
            self._parts = _products(_parts_length(basis), faiss.ScalarQuantizer.QT_8bit_direct_signed)
        self.image_ids = np.empty(0, np.int64)
        self.alive = np.empty(0, bool)  # False: the image was deleted or replaced
        self.counts = np.empty(0, np.int64)  # rows of each image
        self.starts = np.empty(0, np.int64)  # first row of each image
        self.proposal_ids = np.empty(0, np.int64)  # of each row

    def __len__(self) -> int:
        return len(self.image_ids) + len(self.proposal_ids)

    def reserve(self, rows: int) -> None:
        """Get the memory of an empty segment now, so that adding rows copies no older ones."""
        for index in (self._index, self._parts):
            if index is not None:
                index.codes.resize(rows * index.code_size)
                index.codes.resize(0)

    def append(self, part: Part) -> None:
        """Add images with their rows."""
        image_ids, counts, proposal_ids, vectors = part
        if len(vectors):  # float16 as it is; `add` would want float32
            self._index.add_sa_codes(vectors.view(np.uint8))
            if self._basis is not None:
                self._parts.add(split(vectors.astype(np.float32), self._basis))
        self.image_ids = np.concatenate([self.image_ids, image_ids])
        self.alive = np.concatenate([self.alive, np.ones(len(image_ids), bool)])
        self.counts = np.concatenate([self.counts, counts])
        self.starts = np.cumsum(self.counts) - self.counts
        self.proposal_ids = np.concatenate([self.proposal_ids, proposal_ids])

    def remove(self, image_id: int) -> None:
        """Mark an image as dead; its rows stay."""
        self.alive[self.image_ids == image_id] = False

    def dead_share(self) -> float:
        """Return which share of the room dead images take."""
        weights = self.counts + 1  # an image without proposals takes room too
        return float(weights[~self.alive].sum() / weights.sum())

    def living(self) -> Part:
        """Return copies of what belongs to the images that are alive."""
        rows = np.repeat(self.alive, self.counts)
        vectors = np.empty((0, self._index.d), np.float16)
        if len(rows):
            codes = faiss.rev_swig_ptr(self._index.codes.data(), len(rows) * self._index.code_size)
            vectors = codes.view(np.float16).reshape(len(rows), -1)[rows]
        return self.image_ids[self.alive], self.counts[self.alive], self.proposal_ids[rows], vectors

    def scores(self, query: Vectors, images: Mask | None = None) -> Vectors:
        """Return the score of every row, and one -inf at the end.

        With `images`, only their rows have a score, the others -inf.
        """
        scores = np.full(self._index.ntotal + 1, -np.inf, np.float32)
        parameters, rows = None, self._index.ntotal
        if images is not None and not images.any():
            return scores
        if images is not None:
            chosen = np.flatnonzero(np.repeat(images, self.counts))
            parameters, rows = faiss.SearchParameters(), len(chosen)
            parameters.sel = faiss.IDSelectorBatch(chosen)
        if rows:
            products, found = self._index.search(query[None], rows, params=parameters)
            scores[found[0]] = products[0]
        return scores

    def promises(self, parts: Vectors, rows: int) -> tuple[Vectors, float]:
        """Return for every image what its score is at most, as far as the rows that promise most tell.

        Args:
            parts: Of the query, as `split_query` gives them.
            rows: How many rows to look at.

        Returns:
            The bound of every image, -inf where none of its rows is among those; and what all the others
            are at most.
        """
        promises = np.full(len(self.image_ids), -np.inf, np.float32)
        rows = min(rows, len(self.proposal_ids))
        if not rows:
            return promises, -np.inf
        bounds, found = (result[0] for result in self._parts.search(parts[None], rows))
        images = np.searchsorted(self.starts, found, side="right") - 1
        promises[images[::-1]] = bounds[::-1]  # the highest last
        return promises, -np.inf if rows == len(self.proposal_ids) else float(bounds[-1])

    def best(self, scores: Vectors) -> Vectors:
        """Return the best score of every image."""
        best: Vectors = np.maximum.reduceat(scores, self.starts)  # a bare last image starts at the -inf
        best[self.counts == 0] = NO_TEXT_SCORE
        return best

    def match(self, position: int, scores: Vectors) -> Match:
        """Return the image at this position, given the score of every row."""
        rows = slice(self.starts[position], self.starts[position] + self.counts[position])
        ids, scores = self.proposal_ids[rows], scores[rows]
        order = np.lexsort((ids, -scores))[:MAX_PROPOSALS]
        best = float(scores[order[0]]) if len(order) else NO_TEXT_SCORE
        order = order[scores[order] >= best - SCORE_MARGIN]
        proposals = tuple(zip(ids[order].tolist(), scores[order].tolist(), strict=True))
        return Match(int(self.image_ids[position]), best, proposals)


def spread(basis: Vectors) -> Vectors:
    """Return another orthonormal basis (B, D) of the same space, in which all parts are of a size."""
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(basis), len(basis))))
    turned: Vectors = (turn @ basis).astype(np.float32)
    return turned


def split(vectors: Vectors, basis: Vectors) -> Vectors:
    """Return what bounds need of vectors (N, D) no longer than `MAX_LENGTH`, in whole numbers of a byte.

    That is their parts in a basis (B, D), the lengths of the rest and of what was rounded away, zeros.
    """
    size = len(basis)
    parts = vectors @ basis.T
    rounded = np.zeros((len(vectors), _parts_length(basis)), np.float32)
    rounded[:, :size] = np.clip(np.rint(parts * STEPS), -LEVELS, LEVELS)
    rest = np.linalg.norm(vectors - parts @ basis, axis=1)
    lost = np.linalg.norm(parts - rounded[:, :size] / STEPS, axis=1)
    scale = LEVELS / (MAX_LENGTH + ROUNDING)
    rounded[:, size], rounded[:, size + 1] = np.ceil((np.stack([rest, lost]) + ROUNDING) * scale)
    return rounded


def split_query(query: Vectors, basis: Vectors) -> Vectors:
    """Return what to multiply the parts of vectors with, to have at least their product with a query (D,)."""
    size, scale = len(basis), LEVELS / (MAX_LENGTH + ROUNDING)
    split_up = np.zeros(_parts_length(basis), np.float32)
    parts, length = basis @ query, float(np.linalg.norm(query))
    split_up[:size] = parts / STEPS
    # Of right angles; the difference of squares may be a little below what it should be.
    rest = np.sqrt(max(length**2 - float(parts @ parts), 0)) + ROUNDING**0.5 * length
    split_up[size : size + 2] = rest / scale, length / scale
    return split_up


def _parts_length(basis: Vectors) -> int:
    length = -(-(len(basis) + 2) // LANES) * LANES
    return length if length % PAIRED else length + LANES


def _products(dimension: int, quantizer: int) -> Any:
    """Return an empty index by inner product."""
    return faiss.IndexScalarQuantizer(dimension, quantizer, faiss.METRIC_INNER_PRODUCT)
