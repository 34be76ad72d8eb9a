"""Some thousand proposals in memory, and what their scores are at most.

A score is an inner product. Of query and vector the parts in a basis are multiplied, both rounded to whole
numbers of a byte; of what is rounded away and of the rest, which lies outside the basis, the lengths are:
that is at least as much (Cauchy-Schwarz). The basis holds most of every query, so nearly all proposals are
ruled out by 384 bytes instead of 3840.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from indexer.snapshot import Part

NO_TEXT_SCORE = -1.0
SCORE_MARGIN = 0.1
MAX_PROPOSALS = 10
MAX_LENGTH = 1.01  # of a vector: 1, and what float16 makes of it
LEVELS = 127  # the largest number of a byte
# Parts so many times as long as they are on average are cut off, which is rare after `spread`; that much, in
# its standard deviations, what is rounded away may be longer than on average.
CUT, LOSS = 4.75, 8
# Numbers of a byte that hold the length of the rest, and how many of them all are there.
REST_PLACES = 8
REST_STEPS = REST_PLACES * LEVELS / (MAX_LENGTH + 1e-3)
ROUNDING = 1e-4  # more than float32 loses of a product of unit vectors
MOST_PARTS = 376  # with the rest 384 bytes; more promise little more of words, and take longer
FIRST_CANDIDATES, MORE_CANDIDATES = 512, 8  # rows that are looked at, and how many times as many next
LANES = 64  # FAISS multiplies whole numbers where the length of a vector is a multiple of it
BLOCK = 2048  # rows at once: threads wait for each other more often if it is fewer, the cache is full if more

Vectors = NDArray[np.floating[Any]]
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Match(NamedTuple):
    """An image with its best score and its best (proposal id, score) pairs, best first."""

    image_id: int
    score: float
    proposals: tuple[tuple[int, float], ...]


class QueryParts(NamedTuple):
    """A query as bounds need it.

    Attributes:
        numbers: Whole numbers of a byte, to be multiplied with those of vectors, float32.
        unit: What such a product is worth.
        slack: What to add to have at least the score.
        most: What no score exceeds.
    """

    numbers: Vectors
    unit: float
    slack: float
    most: float


class Place(NamedTuple):
    """Where an image is.

    Attributes:
        segment: That holds it.
        position: Of the image there.
        rows: Of the image, at least all of its best.
    """

    segment: "Segment"
    position: int
    rows: Ids


class Promises(NamedTuple):
    """What rows of a segment score at most.

    Attributes:
        bounds: Of some rows.
        rows: Which they are, each once.
        images: Positions of the images they belong to.
        image_ids: Of those.
        unseen: Of all other rows.
    """

    bounds: Vectors
    rows: Ids
    images: Ids
    image_ids: Ids
    unseen: float


class Segment:
    """Some thousand rows, one for each proposal; those of an image are neighbours."""

    def __init__(self, dimension: int, basis: Vectors | None = None) -> None:
        self._basis = basis
        self._index = _products(dimension, faiss.ScalarQuantizer.QT_fp16)
        self._parts: Any = None
        if basis is not None:
            self._parts = _products(_parts_length(basis), faiss.ScalarQuantizer.QT_8bit_direct_signed)
        self.image_ids = np.empty(0, np.int64)
        self._vague = np.empty(0, np.int64)  # rows of which too much was rounded away
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
                numbers, lost = split(vectors.astype(np.float32), self._basis)
                self._parts.add(numbers)
                vague = np.flatnonzero(lost > _most_lost(self._basis)) + len(self.proposal_ids)
                self._vague = np.concatenate([self._vague, vague])
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
            vectors = self.codes()[rows].view(np.float16)
        return self.image_ids[self.alive], self.counts[self.alive], self.proposal_ids[rows], vectors

    def place(self, position: int) -> Place:
        """Return the image at this position with all its rows."""
        return Place(self, position, self.starts[position] + np.arange(self.counts[position]))

    def scores(self, query: Vectors, images: Mask | None = None) -> Vectors:
        """Return the score of every row, and one -inf at the end.

        With `images`, only their rows have a score, the others -inf.
        """
        scores = np.full(self._index.ntotal + 1, -np.inf, np.float32)
        parameters, rows = None, self._index.ntotal
        if images is not None:
            chosen = np.flatnonzero(np.repeat(images, self.counts))
            parameters, rows = faiss.SearchParameters(), len(chosen)
            parameters.sel = faiss.IDSelectorBatch(chosen)
        if rows:
            products, found = self._index.search(query[None], rows, params=parameters)
            scores[found[0]] = products[0]
        return scores

    def promises(self, query: QueryParts, count: int, allowed: Mask) -> Promises:
        """Return the rows that promise most.

        Args:
            query: As `split_query` gives it.
            count: How many rows to look at.
            allowed: Images (I,) whose rows are returned.
        """
        count = min(count, len(self.proposal_ids))
        if not count:
            nothing = np.empty(0, np.int64)
            return Promises(np.empty(0, np.float32), nothing, nothing, nothing, -np.inf)
        products, found = (result[0] for result in self._parts.search(query.numbers[None], count))
        bounds = products * query.unit + query.slack
        unseen = -np.inf if count == len(self.proposal_ids) else float(bounds[-1])
        if len(self._vague):
            surely = ~np.isin(found, self._vague)
            most = np.full(len(self._vague), query.most, np.float32)
            found = np.concatenate([self._vague, found[surely]])
            bounds = np.concatenate([most, bounds[surely]])
        positions = np.searchsorted(self.starts, found, side="right") - 1
        kept = allowed[positions]
        ids = self.image_ids[positions[kept]]
        return Promises(bounds[kept], found[kept], positions[kept], ids, unseen)

    def candidates(self, query: QueryParts, least: float, allowed: Mask) -> Ids:
        """Return the ids of the allowed images that may have a score of at least so much, perhaps twice."""
        count = FIRST_CANDIDATES
        while (looked := self.promises(query, count, allowed)).unseen >= least:
            count *= MORE_CANDIDATES
        return looked.image_ids[looked.bounds >= least]

    def bounds(self, queries: Sequence[QueryParts]) -> Vectors:
        """Return what every row scores at most for each query, and one -inf at the end, (Q, N + 1).

        FAISS has no products of all rows but sorted ones, which takes twice as long.
        """
        codes = _codes(self._parts)
        most = np.full((len(queries), len(codes) + 1), -np.inf, np.float32)
        room = np.empty((min(BLOCK, len(codes)), self._parts.d), np.float32)
        for start in range(0, len(codes), BLOCK):
            some = slice(start, min(start + BLOCK, len(codes)))
            numbers = self._parts.sa_decode(codes[some], room[: some.stop - start])
            for query, row in zip(queries, most, strict=True):
                row[some] = _product(numbers, query.numbers) * query.unit + query.slack
        for query, row in zip(queries, most, strict=True):
            row[self._vague] = query.most
        return most

    def best(self, scores: Vectors) -> Vectors:
        """Return the best score of every image."""
        best: Vectors = np.maximum.reduceat(scores, self.starts)  # a bare last image starts at the -inf
        best[self.counts == 0] = NO_TEXT_SCORE
        return best

    def codes(self) -> NDArray[np.uint8]:
        """Return the bytes (N, 2 D) of the vectors, where they are."""
        return _codes(self._index)


def exact_scores(query: Vectors, segments: Sequence[Segment], owners: Ids, rows: Ids) -> Vectors:
    """Return the scores (N,) of a few rows (N,) of segments, whose numbers are `owners` (N,)."""
    scores = np.empty(len(rows), np.float32)
    if not len(rows):
        return scores
    copies = _products(len(query), faiss.ScalarQuantizer.QT_fp16)
    copies.codes.resize(len(rows) * copies.code_size)  # filled in place: memory of its own would take longer
    copies.ntotal = len(rows)
    room = _codes(copies)
    order = np.argsort(owners, kind="stable")
    ends = np.searchsorted(owners[order], np.arange(len(segments) + 1)).tolist()
    for segment, start, end in zip(segments, ends, ends[1:], strict=False):
        if start < end:
            np.take(segment.codes(), rows[order[start:end]], axis=0, out=room[start:end], mode="clip")
    found, numbers = copies.search(query[None], len(rows))
    scores[order[numbers[0]]] = found[0]
    return scores


def matches(places: Sequence[Place], scores: Vectors) -> list[Match]:
    """Return images with their best proposals, given the scores of all rows of all places, in their order."""
    found = []
    of_images = np.split(scores, np.cumsum([len(place.rows) for place in places])[:-1])
    for (segment, position, numbers), of_image in zip(places, of_images, strict=False):
        pairs = zip((-of_image).tolist(), segment.proposal_ids[numbers].tolist(), strict=True)
        best = sorted(pairs)[:MAX_PROPOSALS]
        proposals = tuple((key, -less) for less, key in best if less <= best[0][0] + SCORE_MARGIN)
        score = proposals[0][1] if proposals else NO_TEXT_SCORE
        found.append(Match(int(segment.image_ids[position]), score, proposals))
    return found


def spread(basis: Vectors) -> Vectors:
    """Return another orthonormal basis of the space of the first vectors (B, D), with all parts of a size."""
    basis = basis[:MOST_PARTS]
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(basis), len(basis))))
    turned: Vectors = (turn @ basis).astype(np.float32)
    return turned


def split(vectors: Vectors, basis: Vectors) -> tuple[Vectors, Vectors]:
    """Return what bounds need of vectors (N, D) no longer than `MAX_LENGTH`.

    That is their parts in a basis (B, D), the length of the rest, zeros, as whole numbers of a byte; and the
    length (N,) of what was rounded away of the parts.
    """
    size, steps = len(basis), _steps(basis)
    parts = vectors @ basis.T
    numbers = np.zeros((len(vectors), _parts_length(basis)), np.float32)
    numbers[:, :size] = np.clip(np.rint(parts * steps), -LEVELS, LEVELS)
    rest = np.linalg.norm(vectors - parts @ basis, axis=1) + ROUNDING
    left = np.ceil(rest * REST_STEPS)[:, None] - LEVELS * np.arange(REST_PLACES)
    numbers[:, size : size + REST_PLACES] = np.clip(left, 0, LEVELS)
    return numbers, np.linalg.norm(parts - numbers[:, :size] / steps, axis=1)


def split_query(query: Vectors, basis: Vectors) -> QueryParts:
    """Return what bounds the products of vectors with a query (D,), see `split`."""
    size, steps, length = len(basis), _steps(basis), float(np.linalg.norm(query))
    parts = _product(basis, query)
    # Of right angles; the difference of squares may be a little below what it should be.
    rest = np.sqrt(max(length**2 - float(parts @ parts), 0)) + ROUNDING**0.5 * length
    rest *= steps / REST_STEPS
    step = max(float(np.abs(parts).max()), rest, 1e-30) / LEVELS
    numbers = np.zeros(_parts_length(basis), np.float32)
    numbers[:size] = np.rint(parts / step)
    numbers[size : size + REST_PLACES] = min(np.ceil(rest / step), LEVELS)
    lost = float(np.linalg.norm(parts - numbers[:size] * step))
    most_lost = _most_lost(basis)
    slack = lost * (MAX_LENGTH + most_lost) + (most_lost + ROUNDING) * length
    return QueryParts(numbers, step / steps, slack, MAX_LENGTH * length)


def _product(rows: Vectors, query: Vectors) -> Vectors:
    """Return the products (N,) of rows (N, D) with a query (D,).

    BLAS would share this out among all processors, and then wait for one that does something else.
    """
    rows, query = (np.ascontiguousarray(each, np.float32) for each in (rows, query))
    products = np.empty(len(rows), np.float32)
    pointers = (faiss.swig_ptr(each) for each in (products, query, rows))
    faiss.fvec_inner_products_ny(*pointers, len(query), len(rows))  # type: ignore[attr-defined]
    return products


def _steps(basis: Vectors) -> float:
    """Return the number by which a part of 1 is written."""
    return LEVELS / min(MAX_LENGTH, CUT / sqrt(len(basis)))


def _most_lost(basis: Vectors) -> float:
    """Return how long what is rounded away of a vector is at most, but for vague ones.

    Each part loses up to half a step, at random.
    """
    return (1 + LOSS * sqrt(0.2 / len(basis))) * sqrt(len(basis) / 12) / _steps(basis)


def _parts_length(basis: Vectors) -> int:
    return -(-(len(basis) + REST_PLACES) // LANES) * LANES


def _products(dimension: int, quantizer: int) -> Any:
    """Return an empty index by inner product."""
    return faiss.IndexScalarQuantizer(dimension, quantizer, faiss.METRIC_INNER_PRODUCT)


def _codes(index: Any) -> NDArray[np.uint8]:
    codes: NDArray[np.uint8] = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    return codes.reshape(-1, index.code_size)
