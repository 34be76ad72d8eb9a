"""Vectors as the index takes them."""

from collections.abc import Sequence

import numpy as np

from indexer.segment import MAX_LENGTH, Ids, Vectors


def checked_proposals(proposal_ids: Sequence[int], vectors: Vectors, dimension: int) -> tuple[Ids, Vectors]:
    """Return the ids (N,) and the vectors (N, D) in float16; errors as of `VectorIndex.put`."""
    ids = np.array(proposal_ids, np.int64)
    with np.errstate(over="ignore"):  # too large for float16 becomes infinite
        halves = np.array(vectors, np.float16)
    if halves.shape != (len(ids), dimension):
        raise ValueError(f"{len(ids)} proposals need vectors ({len(ids)}, {dimension}), not {halves.shape}")
    if len(np.unique(ids)) < len(ids):
        raise ValueError("a proposal id is there twice")
    if not np.isfinite(halves).all():
        raise ValueError("a vector is not finite in float16")
    if len(halves) and np.linalg.norm(halves.astype(np.float32), axis=1).max() > MAX_LENGTH:
        raise ValueError("a vector is longer than 1")
    return ids, halves


def checked_queries(queries: Vectors, limit: int, dimension: int) -> Vectors:
    """Return the queries (Q, D) in float32; errors as of `VectorIndex.search`."""
    queries = np.ascontiguousarray(queries, np.float32)
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise ValueError(f"queries must be (Q, {dimension}), not {queries.shape}")
    if not np.isfinite(queries).all():
        raise ValueError("a query is not finite")
    if limit < 0:
        raise ValueError(f"limit must not be negative: {limit}")
    return queries
