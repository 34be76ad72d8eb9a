"""What searches find."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from indexer.hits import Hit
from indexer.query_language import Query


@dataclass(frozen=True)
class QueryResult:
    """One page of the ranking for one query.

    Attributes:
        query: As it was understood.
        total: Photos on all pages.
        suggested_min_score: Score from which a photo likely shows the query.
        hits: Best first.
        did_you_mean: Where no photo likely shows it: queries of words that were read, nearest first.
    """

    query: Query
    total: int
    suggested_min_score: float
    hits: list[Hit]
    did_you_mean: list[str]


@dataclass
class SearchResult:
    """The results of all queries, in their order, and what took how many milliseconds."""

    results: list[QueryResult] = field(default_factory=list)
    took_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note how long the block takes."""
        started = time.perf_counter()
        yield
        self.took_ms[step] = round((time.perf_counter() - started) * 1000, 2)
