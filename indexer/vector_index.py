"""Nearest proposals to a query word, the best one of each image first.

N proposals, Q queries, D numbers in an embedding. A score is the inner product of a float16 vector, as the
database stores it, and a float32 query. The index is a copy: it can be built afresh at any time.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from indexer import bounds
from indexer.bounds import Bounds
from indexer.locks import ReadWriteLock
from indexer.segment import (
    NO_TEXT_SCORE,
    SCORE_MARGIN,
    Ids,
    Mask,
    Match,
    Place,
    QueryParts,
    Segment,
    Vectors,
    exact_scores,
    matches,
    split_query,
    spread,
)
from indexer.snapshot import SnapshotHeader, open_snapshot, write_snapshot
from indexer.vectors import checked_proposals, checked_queries

# Images and proposals in a segment: each takes a search some time of its own, but is copied when it grows
# beyond its room at first, again beyond twice as much, and when it is cleaned.
SEGMENT_SIZE, FIRST_ROOM = 24576, 8192
MAX_DEAD_SHARE = 0.1
# Bounds pay only where they leave few images.
MAX_LEFT_SHARE = 0.5
# Bounds are computed of whole segments: of few images the scores take less.
MIN_BOUNDED_SHARE = 0.2
# Rows of a segment whose bounds are looked at, and how many times as many if those do not tell.
FIRST_ROWS, ROWS_AN_IMAGE, MORE_ROWS = 64, 20, 8
# How many times as many rows as images are wanted are scored first, to know what the last of the best holds.
FIRST_ROWS_AN_IMAGE = 4
MOST_COPIED = 512  # rows that one thread scores at once; to share out fewer takes longer

Allowed = set[int] | Ids | None
Found = list[tuple[Segment, Mask]]  # segments with which of their images are alive and allowed


class VectorIndex(Protocol):
    """The proposals of all images of one model version; every method may be called from any thread."""

    def put(self, image_id: int, proposal_ids: Sequence[int], vectors: Vectors) -> None:
        """Make these the image's proposals, in place of any it had.

        Args:
            image_id: 64-bit integer, as are the proposal ids.
            proposal_ids: N different ids; none for an image without text.
            vectors: (N, D), of length 1 or less, kept as float16.

        Raises:
            ValueError: an id is there twice, or the vectors have another shape, are not finite or longer
                than 1.
        """

    def delete(self, image_id: int) -> None:
        """Forget the image; an unknown one is no error."""

    def search(self, queries: Vectors, limit: int, allowed: Allowed = None) -> list[list[Match]]:
        """Return for each of the (Q, D) queries at most `limit` images, by falling score, then by id.

        An image's score is that of its best proposal, listed with at most 9 others within 0.1 of it. Images
        without proposals follow after all others, with score -1. With `allowed`, only those images count.

        Raises:
            ValueError: the queries have another shape or are not finite, or `limit` is negative.
        """

    def best(self, queries: Vectors, allowed: Allowed = None) -> tuple[Ids, Vectors]:
        """Return the ids (M,) of all images, ascending, and the score (Q, M) of each for each query.

        Scores are those of `search`. With `allowed`, only those images count.

        Raises:
            ValueError: the queries have another shape or are not finite.
        """

    def bounds(self, queries: Vectors, allowed: Allowed = None) -> Bounds:
        """Return what all images score at most; of many, `best` would take several times as long.

        With `allowed`, only those images count.

        Raises:
            ValueError: the queries have another shape or are not finite.
        """

    def candidates(self, queries: Vectors, least: float, allowed: Allowed = None) -> Ids:
        """Return the ids of images, ascending, among which all are that score that much for any query.

        With `allowed`, only those images count.

        Raises:
            ValueError: the queries have another shape or are not finite.
        """

    def count(self, allowed: Allowed = None) -> int:
        """Return how many images there are, with or without proposals; only allowed ones if given."""

    def image_ids(self) -> Ids:
        """Return the ids of all images, ascending."""

    def __len__(self) -> int:
        """Return the number of proposals."""

    def save(self, path: Path, watermark: int, model_version: str, database_id: str) -> None:
        """Replace the snapshot at `path` in one step; searches go on meanwhile, changes wait."""

    def load(self, path: Path, model_version: str, database_id: str) -> int:
        """Take the snapshot's content in place of the present one and return its watermark.

        Raises:
            SnapshotInvalid: it is missing, damaged, or of another model, database or dimension; the content
                stays as it was.
        """


class FaissIndex:
    """Exact search over float16 vectors in memory: 3.84 kB a proposal of 1920 numbers, 4.22 with bounds."""

    def __init__(
        self,
        dimension: int,
        threads: int | None = None,
        segment_size: int = SEGMENT_SIZE,
        basis: Vectors | None = None,
    ) -> None:
        """Make an empty index.

        Args:
            dimension: D.
            threads: That scan at once; all cores by default.
            segment_size: Images and proposals in a segment.
            basis: Orthonormal vectors (B, D) in which most of every query lies: finds the best few of many
                images several times as fast, and the same ones.
        """
        self._dimension = dimension
        self._basis = None if basis is None else spread(basis)
        self._segment_size = segment_size
        self._segments: list[Segment] = []
        self._segment_of: dict[int, Segment] = {}  # by image id; only changes use it
        self._change = threading.Lock()  # held by a whole change, `_lock` only while searches must not look
        self._lock = ReadWriteLock()
        # FAISS scans for one query in one thread, so the segments are shared out among threads of our own.
        threads = threads or faiss.omp_get_max_threads()
        self._pool = ThreadPoolExecutor(threads, "faiss", faiss.omp_set_num_threads, (1,))

    def put(self, image_id: int, proposal_ids: Sequence[int], vectors: Vectors) -> None:
        """See `VectorIndex.put`."""
        ids, halves = checked_proposals(proposal_ids, vectors, self._dimension)
        part = np.array([image_id], np.int64), np.array([len(ids)]), ids, halves
        with self._change:
            old = self._segment_of.get(image_id)
            segments = list(self._segments)
            segment = min(segments, key=len, default=None)
            if segment is None or len(segment) >= self._segment_size:
                segment = Segment(self._dimension, self._basis)
                segment.reserve(FIRST_ROOM)
                segments.append(segment)
            with self._lock.write():
                if old is not None:
                    old.remove(image_id)
                segment.append(part)
                self._segments = segments
            self._segment_of[image_id] = segment
            if old is not None:
                self._clean(old)

    def delete(self, image_id: int) -> None:
        """See `VectorIndex.delete`."""
        with self._change:
            segment = self._segment_of.pop(image_id, None)
            if segment is not None:
                with self._lock.write():
                    segment.remove(image_id)
                self._clean(segment)

    def _clean(self, segment: Segment) -> None:
        """Replace a segment with many dead rows by a smaller copy, made while searches go on."""
        if segment.dead_share() <= MAX_DEAD_SHARE:
            return
        segments = [other for other in self._segments if other is not segment]
        if segment.alive.any():
            copy = Segment(self._dimension, self._basis)
            copy.append(segment.living())
            segments.append(copy)
            self._segment_of.update(dict.fromkeys(copy.image_ids.tolist(), copy))
        with self._lock.write():
            self._segments = segments

    def search(self, queries: Vectors, limit: int, allowed: Allowed = None) -> list[list[Match]]:
        """See `VectorIndex.search`; a change may come between two queries."""
        queries = checked_queries(queries, limit, self._dimension)
        allowed = _as_ids(allowed)
        return [self._search(query, limit, allowed) for query in queries]

    def _search(self, query: Vectors, limit: int, allowed: Ids | None) -> list[Match]:
        with self._lock.read():
            found = [(segment, mask) for segment, mask in self._masks(allowed) if mask.any()]
            if allowed is not None and len(allowed) <= limit:  # none is left out: a scan finds nothing
                places = [segment.place(int(at)) for segment, mask in found for at in np.flatnonzero(mask)]
                found_there = self._matches(query, places)
                return sorted(found_there, key=lambda m: (not m.proposals, -m.score, m.image_id))
            leading = self._leading(found, query, limit)
            places = self._best_of_all(found, query, limit) if leading is None else leading
            return self._matches(query, places)

    def _matches(self, query: Vectors, places: Sequence[Place]) -> list[Match]:
        segments = list(dict.fromkeys(place.segment for place in places))
        owners = np.repeat([segments.index(place.segment) for place in places], [len(p.rows) for p in places])
        rows = np.concatenate([np.empty(0, np.int64), *(place.rows for place in places)])
        return matches(places, self._scores(query, segments, owners, rows))

    def _scores(self, query: Vectors, segments: Sequence[Segment], owners: Ids, rows: Ids) -> Vectors:
        """As `exact_scores`; many are shared out among the threads."""
        faiss.omp_set_num_threads(1)  # of this thread, as of the pool's: a team waits for its slowest
        if len(rows) <= MOST_COPIED:
            return exact_scores(query, segments, owners, rows)
        cuts = range(MOST_COPIED, len(rows), MOST_COPIED)
        parts = zip(np.split(owners, cuts), np.split(rows, cuts), strict=True)
        return np.concatenate(list(self._pool.map(lambda part: exact_scores(query, segments, *part), parts)))

    def _best_of_all(self, found: Found, query: Vectors, limit: int) -> list[Place]:
        """Return the best `limit` images, those without text last."""
        if not found:
            return []
        scores = self._scan(found, query)
        best = np.concatenate([s.best(rows)[mask] for (s, mask), rows in zip(found, scores, strict=True)])
        bare = np.concatenate([segment.counts[mask] == 0 for segment, mask in found])
        image_ids = np.concatenate([segment.image_ids[mask] for segment, mask in found])
        positions = np.concatenate([np.flatnonzero(mask) for _, mask in found])
        owners = np.repeat(np.arange(len(found)), [mask.sum() for _, mask in found])
        order = np.lexsort((image_ids, -best, bare))[:limit]
        return [found[owners[number]][0].place(int(positions[number])) for number in order]

    def best(self, queries: Vectors, allowed: Allowed = None) -> tuple[Ids, Vectors]:
        """See `VectorIndex.best`."""
        queries = checked_queries(queries, 0, self._dimension)
        with self._lock.read():
            found = [(segment, mask) for segment, mask in self._masks(_as_ids(allowed)) if mask.any()]
            best = [np.empty((len(queries), np.count_nonzero(mask)), np.float32) for _, mask in found]
            for number, query in enumerate(queries):
                scores = zip(found, self._scan(found, query), best, strict=True)
                for (segment, mask), rows, of_segment in scores:
                    of_segment[number] = segment.best(rows)[mask]
        ids = np.concatenate([np.empty(0, np.int64), *(segment.image_ids[mask] for segment, mask in found)])
        order = np.argsort(ids)
        return ids[order], np.concatenate([np.empty((len(queries), 0), np.float32), *best], axis=1)[:, order]

    def bounds(self, queries: Vectors, allowed: Allowed = None) -> Bounds:
        """See `VectorIndex.bounds`; without a basis, and of few images, they are the scores."""
        queries, basis = checked_queries(queries, 0, self._dimension), self._basis
        allowed = _as_ids(allowed)
        with self._lock.read():
            found = [(segment, mask) for segment, mask in self._masks(allowed) if mask.any()]
            chosen = sum(np.count_nonzero(mask) for _, mask in found)
            if basis is not None and chosen > MIN_BOUNDED_SHARE * sum(len(s.alive) for s in self._segments):
                parts = [split_query(query, basis) for query in queries]
                most = list(self._pool.map(lambda each: each[0].bounds(parts), found))
                return bounds.of_rows(found, queries, most, self._scores_later)
        return bounds.exact(*self.best(queries, allowed))

    def _scores_later(self, *job: Any) -> Vectors:
        """As `_scores`; rows stay where they are, also those of segments that were replaced meanwhile."""
        with self._lock.read():
            return self._scores(*job)

    def candidates(self, queries: Vectors, least: float, allowed: Allowed = None) -> Ids:
        """See `VectorIndex.candidates`: without a basis, all images."""
        queries, basis = checked_queries(queries, 0, self._dimension), self._basis
        with self._lock.read():
            found = self._masks(_as_ids(allowed))
            if basis is None or least <= NO_TEXT_SCORE:
                ids = [segment.image_ids[mask] for segment, mask in found]
            else:
                parts = [split_query(query, basis) for query in queries]
                jobs = [(segment, query, mask) for segment, mask in found for query in parts]
                ids = list(self._pool.map(lambda job: job[0].candidates(job[1], least, job[2]), jobs))
        return np.unique(np.concatenate([np.empty(0, np.int64), *ids]))

    def _leading(self, found: Found, query: Vectors, limit: int) -> list[Place] | None:
        """As `_best_of_all`; None if bounds would not make it quicker."""
        with_text = [(segment, mask & (segment.counts > 0)) for segment, mask in found]
        few = 0 < limit < MAX_LEFT_SHARE * sum(np.count_nonzero(mask) for _, mask in with_text)
        if self._basis is None or not few:
            return None
        parts, rows = split_query(query, self._basis), max(FIRST_ROWS, ROWS_AN_IMAGE * limit)
        leading = None
        while leading is None:
            leading = self._promising(with_text, query, parts, limit, rows)
            rows *= MORE_ROWS
        return leading

    def _promising(
        self, found: Found, query: Vectors, parts: QueryParts, limit: int, count: int
    ) -> list[Place] | None:
        """As `_leading`; None if the bounds of that many rows a segment do not tell."""
        looks = list(self._pool.map(lambda job: job[0].promises(parts, count, job[1]), found))
        segments, unseen = [segment for segment, _ in found], max(look.unseen for look in looks)
        order = np.argsort(-np.concatenate([look.bounds for look in looks]), kind="stable")
        owners = np.repeat(np.arange(len(found)), [len(look.rows) for look in looks])[order]
        bounds, rows, images, image_ids = (
            np.concatenate([look[field] for look in looks])[order] for field in range(4)
        )
        first = FIRST_ROWS_AN_IMAGE * limit
        scores = self._scores(query, segments, owners[:first], rows[:first])
        leaders = _leaders(image_ids[:first], scores, limit)
        needed = scores[leaders[-1]] if len(leaders) == limit else -np.inf
        if needed <= unseen and np.isfinite(unseen):
            return None
        # What promises less than the last of those has is ruled out.
        end = max(first, np.count_nonzero(bounds >= needed))
        rest = self._scores(query, segments, owners[first:end], rows[first:end])
        scores = np.concatenate([scores, rest])
        leaders = _leaders(image_ids[:end], scores, limit)
        least = scores[leaders].min() - SCORE_MARGIN
        if least <= unseen:  # a region that was not looked at may belong to those listed
            return [segments[owners[number]].place(int(images[number])) for number in leaders]
        seen = image_ids[: np.count_nonzero(bounds >= least)]  # none behind them is listed
        best = [rows[np.flatnonzero(seen == image_id)] for image_id in image_ids[leaders]]
        found_in = [segments[owner] for owner in owners[leaders]]
        return list(map(Place, found_in, images[leaders].tolist(), best))

    def _scan(self, found: Found, query: Vectors) -> list[Vectors]:
        """Return the scores of the rows of each segment, at least of those of allowed images."""
        jobs = [(segment, mask if mask.mean() < MAX_LEFT_SHARE else None) for segment, mask in found]
        return list(self._pool.map(lambda job: job[0].scores(query, job[1]), jobs))

    def _masks(self, allowed: Ids | None) -> list[tuple[Segment, Mask]]:
        """Return with each segment which of its images are alive and allowed."""
        if allowed is None or not self._segments:
            return [(segment, segment.alive) for segment in self._segments]
        inside = np.isin(np.concatenate([segment.image_ids for segment in self._segments]), allowed)
        parts = np.split(inside, np.cumsum([len(segment.alive) for segment in self._segments])[:-1])
        return [(segment, segment.alive & part) for segment, part in zip(self._segments, parts, strict=True)]

    def count(self, allowed: Allowed = None) -> int:
        """See `VectorIndex.count`."""
        with self._lock.read():
            return sum(int(mask.sum()) for _, mask in self._masks(_as_ids(allowed)))

    def image_ids(self) -> Ids:
        """See `VectorIndex.image_ids`."""
        with self._lock.read():
            living = [segment.image_ids[segment.alive] for segment in self._segments]
        return np.sort(np.concatenate([np.empty(0, np.int64), *living]))

    def __len__(self) -> int:
        with self._lock.read():
            return sum(int(segment.counts[segment.alive].sum()) for segment in self._segments)

    def save(self, path: Path, watermark: int, model_version: str, database_id: str) -> None:
        """See `VectorIndex.save`."""
        header = SnapshotHeader(self._dimension, model_version, database_id, watermark)
        with self._change:
            write_snapshot(path, header, (segment.living() for segment in self._segments))

    def load(self, path: Path, model_version: str, database_id: str) -> int:
        """See `VectorIndex.load`."""
        with self._change:
            segments: list[Segment] = []
            with open_snapshot(path, self._dimension, model_version, database_id) as (watermark, parts):
                for part in parts:
                    if not segments or len(segments[-1]) + len(part[0]) + len(part[2]) > self._segment_size:
                        segments.append(Segment(self._dimension, self._basis))
                        segments[-1].reserve(FIRST_ROOM)
                    segments[-1].append(part)
            with self._lock.write():
                self._segments = segments
            self._segment_of = {key: segment for segment in segments for key in segment.image_ids.tolist()}
        return watermark


def _leaders(image_ids: Ids, scores: Vectors, limit: int) -> NDArray[np.intp]:
    """Return where the best row of each of the best `limit` images is, by falling score, then by id."""
    order = np.lexsort((image_ids, -scores))
    _, firsts = np.unique(image_ids[order], return_index=True)
    return order[np.sort(firsts)][:limit]


def _as_ids(allowed: Allowed) -> Ids | None:
    return np.fromiter(allowed, np.int64, len(allowed)) if isinstance(allowed, set) else allowed
