"""From query words to ranked photos with boxes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from indexer import queries
from indexer.database import session_scope
from indexer.errors import InvalidQuery, NotReady
from indexer.follower import Served
from indexer.segment import Match
from indexer.tables import Image, Proposal

if TYPE_CHECKING:  # importing torch takes seconds
    from model.encoder import Encoder


@dataclass(frozen=True)
class HitBox:
    """A text region that matches.

    Attributes:
        box: [x0, y0, x1, y1] in pixels of the upright original.
        quad: four corners [x, y], likewise.
        score: similarity to the query, in [-1, 1].
        text: what the reading branch reads there; it may be wrong or empty.
    """

    box: list[float]
    quad: list[list[float]]
    score: float
    text: str


@dataclass(frozen=True)
class Hit:
    """A photo, the score of its best region (-1 if it has none), and its best regions, best first."""

    image: Image
    score: float
    boxes: list[HitBox]


@dataclass(frozen=True)
class QueryResult:
    """One page of the ranking for one query; `total` counts the photos of all pages."""

    query: str
    total: int
    hits: list[Hit]


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


def search(
    engine: Engine,
    served: Served,
    encoder: "Encoder",
    words: Sequence[str],
    *,
    limit: int,
    offset: int = 0,
    min_score: float | None = None,
    collection: str | None = None,
) -> SearchResult:
    """Rank all photos by how well their best text region matches each word.

    Args:
        engine: the database.
        served: the index, as `Follower.served()` gives it.
        encoder: of the same model version as the index.
        words: the queries, at least one character of each known to the network.
        limit: size of a page.
        offset: photos of the ranking to leave out before it.
        min_score: leave out photos below this score; by default none is left out.
        collection: rank only the photos of this collection.

    Returns:
        A page for each word. A photo that was deleted a moment ago is missing from its page, which is then
        shorter; the other pages stay as they are. `took_ms` has the steps encode, index, database and total.

    Raises:
        InvalidQuery: a word has no character that the network knows.
        NotFound: there is no such collection.
        NotReady: the index is of another model version than the encoder.
    """
    if served.model_version != encoder.version:
        raise NotReady("the photos were indexed by another model version than the one that is running")
    found = SearchResult()
    with found.timed("total"):
        with found.timed("encode"):
            embeddings = _encode(encoder, words)
        allowed = None
        if collection is not None:
            with session_scope(engine) as session:
                allowed = queries.image_ids_of(session, collection=collection)
        with found.timed("index"):
            total = served.index.count(allowed)
            # How many reach the score is only known when all are ranked.
            wanted = offset + limit if min_score is None else total
            totals, pages = [], []
            for embedding in embeddings:  # one by one: many whole rankings would fill the memory
                (ranking,) = served.index.search(embedding[None], wanted, allowed)
                if min_score is not None:
                    ranking = [match for match in ranking if match.score >= min_score]
                totals.append(total if min_score is None else len(ranking))
                pages.append(ranking[offset : offset + limit])
        with found.timed("database"):
            hits = _hits(engine, pages)
    found.results = [QueryResult(*result) for result in zip(words, totals, hits, strict=True)]
    return found


def _encode(encoder: "Encoder", words: Sequence[str]) -> NDArray[np.float32]:
    try:
        return encoder.encode_texts(words)
    except ValueError as exc:
        raise InvalidQuery(str(exc)) from exc


def _hits(engine: Engine, pages: Sequence[Sequence[Match]]) -> list[list[Hit]]:
    matches = [match for page in pages for match in page]
    if not matches:
        return [[] for _ in pages]
    proposal_ids = {proposal_id for match in matches for proposal_id, _ in match.proposals}
    with session_scope(engine) as session:
        images = queries.get_images(session, image_ids=[match.image_id for match in matches])
        proposals = queries.get_proposals(session, proposal_ids=list(proposal_ids))
    return [
        [
            Hit(images[match.image_id], match.score, _boxes(match, proposals))
            for match in page
            if match.image_id in images
        ]
        for page in pages
    ]


def _boxes(match: Match, proposals: dict[int, Proposal]) -> list[HitBox]:
    boxes = []
    for proposal_id, score in match.proposals:
        if proposal := proposals.get(proposal_id):
            quad = [proposal.quad[corner : corner + 2] for corner in range(0, 8, 2)]
            boxes.append(HitBox(proposal.box, quad, score, proposal.transcript))
    return boxes
