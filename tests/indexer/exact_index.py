"""The plainest `VectorIndex`, to hold others against."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from indexer.bounds import Bounds, exact
from indexer.segment import MAX_PROPOSALS, NO_TEXT_SCORE, SCORE_MARGIN, Ids, Match, Vectors
from indexer.snapshot import SnapshotHeader, open_snapshot, write_snapshot
from indexer.vector_index import Allowed
from indexer.vectors import checked_proposals, checked_queries


class ExactIndex:
    """For one thread; methods as of `VectorIndex`."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._images: dict[int, tuple[Ids, Vectors]] = {}

    def put(self, image_id: int, proposal_ids: Sequence[int], vectors: Vectors) -> None:
        """See `VectorIndex.put`."""
        self._images[image_id] = checked_proposals(proposal_ids, vectors, self._dimension)

    def delete(self, image_id: int) -> None:
        """See `VectorIndex.delete`."""
        self._images.pop(image_id, None)

    def search(self, queries: Vectors, limit: int, allowed: Allowed = None) -> list[list[Match]]:
        """See `VectorIndex.search`."""
        queries = checked_queries(queries, limit, self._dimension)
        found = [[self._match(image_id, query) for image_id in self._known(allowed)] for query in queries]
        return [
            sorted(matches, key=lambda m: (not m.proposals, -m.score, m.image_id))[:limit]
            for matches in found
        ]

    def best(self, queries: Vectors, allowed: Allowed = None) -> tuple[Ids, Vectors]:
        """See `VectorIndex.best`."""
        ids = np.array(self._known(allowed), np.int64)
        scores = [
            [self._match(image_id, query).score for image_id in ids.tolist()]
            for query in checked_queries(queries, 0, self._dimension)
        ]
        return ids, np.array(scores, np.float32).reshape(len(scores), len(ids))

    def bounds(self, queries: Vectors, allowed: Allowed = None) -> Bounds:
        """See `VectorIndex.bounds`."""
        return exact(*self.best(queries, allowed))

    def candidates(self, queries: Vectors, least: float, allowed: Allowed = None) -> Ids:
        """See `VectorIndex.candidates`."""
        ids, scores = self.best(queries, allowed)
        return ids[(scores >= least).any(axis=0)]

    def _match(self, image_id: int, query: Vectors) -> Match:
        ids, vectors = self._images[image_id]
        scores = (vectors.astype(np.float32) * query).sum(axis=1)
        pairs = sorted(zip(ids.tolist(), scores.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
        best = pairs[0][1] if pairs else NO_TEXT_SCORE
        near = [pair for pair in pairs if pair[1] >= best - SCORE_MARGIN]
        return Match(image_id, best, tuple(near[:MAX_PROPOSALS]))

    def _known(self, allowed: Allowed) -> list[int]:
        return sorted(self._images if allowed is None else self._images.keys() & set(map(int, allowed)))

    def count(self, allowed: Allowed = None) -> int:
        """See `VectorIndex.count`."""
        return len(self._known(allowed))

    def image_ids(self) -> Ids:
        """See `VectorIndex.image_ids`."""
        return np.array(self._known(None), np.int64)

    def __len__(self) -> int:
        return sum(len(ids) for ids, _ in self._images.values())

    def save(self, path: Path, watermark: int, model_version: str, database_id: str) -> None:
        """See `VectorIndex.save`."""
        header = SnapshotHeader(self._dimension, model_version, database_id, watermark)
        parts = (
            (np.array([image_id], np.int64), np.array([len(ids)]), ids, vectors)
            for image_id, (ids, vectors) in self._images.items()
        )
        write_snapshot(path, header, parts)

    def load(self, path: Path, model_version: str, database_id: str) -> int:
        """See `VectorIndex.load`."""
        images: dict[int, tuple[Ids, Vectors]] = {}
        with open_snapshot(path, self._dimension, model_version, database_id) as (watermark, parts):
            for image_ids, counts, proposal_ids, vectors in parts:
                ends = np.cumsum(counts)[:-1]
                pieces = zip(np.split(proposal_ids, ends), np.split(vectors, ends), strict=True)
                images.update(zip(image_ids.tolist(), pieces, strict=True))
        self._images = images
        return watermark
