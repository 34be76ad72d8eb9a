"""From queries to ranked photos with boxes."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from sqlalchemy import Engine

from indexer import hits, queries, ranking
from indexer.database import session_scope
from indexer.errors import NotReady
from indexer.follower import Served
from indexer.hits import Found, Hit
from indexer.phrases import Placement, Quad
from indexer.query_language import Query, Term, parse
from indexer.ranking import Embeddings, Scores
from indexer.segment import Ids
from model import calibration
from model.calibration import Calibration

if TYPE_CHECKING:  # importing torch takes seconds
    from model.encoder import Encoder


MinScore = float | Literal["suggested"]


@dataclass(frozen=True)
class QueryResult:
    """One page of the ranking for one query.

    Attributes:
        query: As it was understood.
        total: Photos on all pages.
        suggested_min_score: Score from which a photo likely shows the query.
        hits: Best first.
    """

    query: Query
    total: int
    suggested_min_score: float
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


@dataclass(frozen=True)
class _Search:
    """What all queries of a search share."""

    engine: Engine
    served: Served
    embeddings: Embeddings
    calibration: Calibration
    allowed: Ids | None
    limit: int
    offset: int
    min_score: MinScore | None


def search(
    engine: Engine,
    served: Served,
    encoder: "Encoder",
    texts: Sequence[str],
    *,
    limit: int,
    offset: int = 0,
    min_score: MinScore | None = None,
    collection: str | None = None,
) -> SearchResult:
    """Rank all photos by how well they match each query.

    Args:
        engine: the database.
        served: the index, as `Follower.served()` gives it.
        encoder: of the same model version as the index.
        texts: the queries, as `query_language` understands them.
        limit: size of a page.
        offset: photos of the ranking to leave out before it.
        min_score: leave out photos below this score, or below the one that is suggested for the query; by
            default none is left out.
        collection: rank only the photos of this collection.

    Returns:
        A page for each query. A photo that was deleted a moment ago is missing from its page, which is then
        shorter; the other pages stay as they are. `took_ms` has the steps encode, index, database and total.

    Raises:
        InvalidQuery: a query has no word that the network knows, or too many.
        NotFound: there is no such collection.
        NotReady: the index is of another model version than the encoder.
    """
    if served.model_version != encoder.version:
        raise NotReady("the photos were indexed by another model version than the one that is running")
    found = SearchResult()
    with found.timed("total"):
        parsed = [parse(text, encoder.charset) for text in texts]
        with found.timed("encode"):
            embeddings = _embed(encoder, parsed)
        allowed = None
        if collection is not None:
            with session_scope(engine) as session:
                allowed = queries.image_ids_of(session, collection=collection)
        known = calibration.of_version(encoder.version)
        this = _Search(engine, served, embeddings, known, allowed, limit, offset, min_score)
        with found.timed("index"):
            pages = [_page(this, query) for query in parsed]  # one by one: whole rankings fill the memory
        with found.timed("database"), session_scope(engine) as session:
            listed = hits.build(session, [page for _, page in pages])
    found.results = [
        QueryResult(query, total, ranking.suggested_cut(query, known), page)
        for query, (total, _), page in zip(parsed, pages, listed, strict=True)
    ]
    return found


def _embed(encoder: "Encoder", parsed: Sequence[Query]) -> Embeddings:
    texts = list(dict.fromkeys(text for query in parsed for text in ranking.texts_of(query)))
    return dict(zip(texts, encoder.encode_texts(texts), strict=True))


def _page(this: _Search, query: Query) -> tuple[int, list[Found]]:
    """Return how many photos the ranking has, and those on the page."""
    one_word = len(query.words) == 1 and not query.excluded
    return _page_of_word(this, query.words[0]) if one_word and this.min_score is None else _cut(this, query)


def _page_of_word(this: _Search, word: str) -> tuple[int, list[Found]]:
    """As `_cut`, without scores of photos that are not needed."""
    index = this.served.index
    wanted = this.offset + this.limit
    (matches,) = index.search(this.embeddings[word][None], wanted, this.allowed)
    page = [Found(match.image_id, match.score, {word: match.proposals}) for match in matches[this.offset :]]
    return index.count(this.allowed), page


def _cut(this: _Search, query: Query) -> tuple[int, list[Found]]:
    read_quads = partial(_quads, this.engine)
    scores = ranking.score(this.served.index, query, this.embeddings, this.allowed, read_quads)
    order = ranking.order(query, scores, this.calibration)
    totals = ranking.total(query, scores.terms)
    if this.min_score is not None:
        suggested = ranking.suggested_cut(query, this.calibration)
        order = order[totals[order] >= (suggested if this.min_score == "suggested" else this.min_score)]
    page = order[this.offset : this.offset + this.limit]
    return len(order), _explain(this, query, scores, page, totals[page].tolist())


def _explain(
    this: _Search, query: Query, scores: Scores, positions: Ids, totals: Sequence[float]
) -> list[Found]:
    """Return the photos at these positions with the regions that show the words."""
    image_ids = scores.image_ids[positions]
    texts = ranking.texts_of(query)
    vectors = np.stack([this.embeddings[text] for text in texts])
    matches = this.served.index.search(vectors, len(image_ids), image_ids)
    regions = {
        text: {match.image_id: match.proposals for match in found}
        for text, found in zip(texts, matches, strict=True)
    }
    page = []
    for image_id, score in zip(image_ids.tolist(), totals, strict=True):
        of_photo: dict[str, hits.Regions] = {}
        for term, placements in zip(query.terms, scores.placements, strict=True):
            near = {text: found.get(image_id, ()) for text, found in regions.items()}
            of_photo |= _of_term(term, near, placements.get(image_id))
        page.append(Found(image_id, score, of_photo))
    return page


def _of_term(
    term: Term, near: Mapping[str, hits.Regions], placement: Placement | None
) -> dict[str, hits.Regions]:
    """Return for each word of a term its regions in one photo, the one that counts first.

    Where a whole line reads more like a phrase than its words do, the line comes first, under the phrase.
    """
    regions = {word: near[word] for word in term.words}
    if placement is None:
        return regions
    for word, place in zip(term.words, placement.places, strict=True):
        rest = [pair for pair in near[word] if pair[0] != place.proposal_id]
        regions[word] = [(place.proposal_id, place.score), *rest]
    line = near["".join(term.words)][:1]
    if line and line[0][1] > placement.score:
        return {" ".join(term.words): line, **regions}
    return regions


def _quads(engine: Engine, proposal_ids: Sequence[int]) -> Mapping[int, Quad]:
    with session_scope(engine) as session:
        return queries.get_quads(session, proposal_ids=proposal_ids)
