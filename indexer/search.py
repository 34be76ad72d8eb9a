"""From queries to ranked photos with boxes."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from indexer import beginnings, hits, queries, ranking, transcripts
from indexer.database import reading_scope
from indexer.errors import NotReady
from indexer.filters import NO_FILTERS, Filters, photos
from indexer.folding import fold
from indexer.follower import Served
from indexer.hits import Found, Hit, Page
from indexer.query_language import Query, Term, parse_all, words_of
from indexer.ranking import Embeddings, Ranker, ReadQuads, Scores
from indexer.results import QueryResult, SearchResult
from indexer.segment import NO_TEXT_SCORE, Ids, Mask, Vectors
from indexer.suggestions import nearest, respell
from indexer.transcripts import Way
from model import calibration
from model.calibration import Calibration
from model.reranking import RERANKED

if TYPE_CHECKING:  # importing torch takes seconds
    from model.encoder import Encoder, Proposals


MinScore = float | Literal["suggested"]
# "similar": all photos, ranked; otherwise those in which the words were read in this way.
Mode = Literal["similar"] | Way
# Photos in whose best regions another spelling is looked for, and most spellings to offer.
SPELLING_PHOTOS, SPELLINGS, MIN_SPELLING_LETTERS = 20, 3, 3


@dataclass(frozen=True)
class _Ranked:
    """A ranking: scores by position; the positions in their order, at least the first; how many there are."""

    scores: Scores
    totals: Vectors
    order: NDArray[np.intp]
    total: int
    best: float


@dataclass(frozen=True)
class _Search:
    """What all queries of a search share."""

    session: Session
    served: Served
    fold_for_network: Callable[[str], str]
    embeddings: Embeddings
    calibration: Calibration
    mode: Mode
    allowed: Ids | None
    limit: int
    offset: int
    min_score: MinScore | None

    @property
    def way(self) -> Way:
        """How a word may stand in a transcript."""
        return "contains" if self.mode == "similar" else self.mode

    @property
    def read_quads(self) -> ReadQuads:
        """Returns the corners of proposals."""
        return partial(queries.get_quads, self.session)


def search(
    engine: Engine,
    served: Served,
    encoder: "Encoder",
    texts: Sequence[str],
    *,
    limit: int,
    offset: int = 0,
    mode: Mode = "similar",
    min_score: MinScore | None = None,
    filters: Filters = NO_FILTERS,
) -> SearchResult:
    """Rank all photos by how well they match each query.

    Args:
        engine: the database.
        served: the index, as `Follower.served()` gives it.
        encoder: of the same model version as the index.
        texts: the queries, as `query_language` understands them.
        limit: size of a page.
        offset: photos of the ranking to leave out before it.
        mode: rank all photos, or only those in which the words of the query were read.
        min_score: leave out photos below this score; with `suggested` those below the one that is suggested,
            for the query or one of its beginnings; by default none is left out. A photo in whose transcripts
            the query stands counts as one that reaches the suggested score.
        filters: which photos to rank.

    Returns:
        A page for each query. A photo that was deleted a moment ago is missing from its page, which is then
        shorter; other pages stay as they are, but for the first 20 photos. `took_ms` has the steps encode,
        index, database, suggestions and total.

    Raises:
        InvalidQuery: a query has no word that the network knows, or too many; a filter is none.
        NotFound: there is no such collection.
        NotReady: the index is of another model version than the encoder.
    """
    found = SearchResult()
    with found.timed("total"), reading_scope(engine) as session:
        with found.timed("encode"):
            parsed, embeddings = _embed(served, encoder, texts, min_score)
        this = _start(
            session,
            served,
            encoder,
            embeddings,
            limit=limit,
            offset=offset,
            mode=mode,
            min_score=min_score,
            filters=filters,
        )
        _fill(found, this, parsed)
    return found


def search_regions(
    engine: Engine, served: Served, encoder: "Encoder", proposals: "Proposals", **options: Any
) -> tuple[SearchResult, list[int]]:
    """Rank all photos by how well they show the text regions of a photo.

    The regions are what words are in `search`, with their own embeddings instead of the words'. Of regions
    that read alike the surest counts, of all the 16 surest; a line counts by its words.

    Args:
        engine: the database.
        served: the index, as `Follower.served()` gives it.
        encoder: of the same model version as the index.
        proposals: of the photo, by the same encoder.
        options: as of `search`.

    Returns:
        The result, whose query has what was read in the regions for words; and the numbers of the regions.

    Raises:
        InvalidQuery: nothing was read in any region; a filter is none.
        NotFound: there is no such collection.
        NotReady: the index is of another model version than the encoder.
    """
    _check_version(served, encoder)
    found = SearchResult()
    with found.timed("total"), reading_scope(engine) as session:
        regions = words_of(proposals.transcripts, encoder.charset)
        query = Query(" ".join(regions), tuple(Term((word,)) for word in regions), (), ())
        embeddings = {word: proposals.embeddings[number] for word, number in regions.items()}
        this = _start(session, served, encoder, embeddings, **options)
        _fill(found, this, [query])
    return found, list(regions.values())


def _fill(found: SearchResult, this: _Search, parsed: Sequence[Query]) -> None:
    """Answer the queries."""
    with found.timed("index"):
        pages = [_page(this, query) for query in parsed]  # one by one: whole rankings fill the memory
    with found.timed("database"):
        listed = _hits(this, pages)
    with found.timed("suggestions"):
        meant = [_did_you_mean(this, *each) for each in zip(pages, listed, strict=True)]
    cuts = [ranking.suggested_cut(page.query, this.calibration) for page in pages]
    found.results = [
        QueryResult(page.query, page.total, cut, of_page, instead)
        for page, cut, of_page, instead in zip(pages, cuts, listed, meant, strict=True)
    ]


def _hits(this: _Search, pages: Sequence[Page]) -> list[list[Hit]]:
    return hits.build(this.session, pages, embeddings=this.embeddings, version=this.served.model_version)


def _check_version(served: Served, encoder: "Encoder") -> None:
    if served.model_version != encoder.version:
        raise NotReady("the photos were indexed by another model version than the one that is running")


class WholeRanking:
    """The whole ranking of a query, whose hits are made a part at a time."""

    def __init__(
        self, engine: Engine, served: Served, encoder: "Encoder", text: str, limit: int | None, **options: Any
    ) -> None:
        """Rank all photos; arguments and errors as of `search`, but without a limit all are wanted."""
        (self.query,), embeddings = _embed(served, encoder, [text], options.get("min_score"))
        wanted = sys.maxsize if limit is None else limit
        self._engine = engine
        with reading_scope(engine) as session:
            this = _start(session, served, encoder, embeddings, limit=wanted, **options)
            self._this = _without_excluded(this, self.query)
            self._ranked = _rank(self._this, self.query, sys.maxsize)

    def parts(self, size: int = 200) -> Iterator[list[Hit]]:
        """Yield the hits from the offset on, so many at a time; those deleted meanwhile are missing."""
        this, total = self._this, self._ranked.total
        end = min(total, this.offset + this.limit)
        for start in range(this.offset, end, size):
            part = slice(start, min(end, start + size))
            found = _explain(this, self.query, self._ranked, _needed(this, self.query, part))
            page = _page_at(this, self.query, part, total, found)
            with reading_scope(self._engine) as session:  # none is open while the receiver takes its time
                (listed,) = _hits(replace(this, session=session), [page])
            yield listed


def _embed(
    served: Served, encoder: "Encoder", texts: Sequence[str], min_score: MinScore | None
) -> tuple[list[Query], Embeddings]:
    """Return the queries taken apart, and the embeddings of their words and, if needed, their beginnings."""
    _check_version(served, encoder)
    parsed = parse_all(texts, encoder.charset)
    wanted = [text for query in parsed for text in ranking.texts_of(query)]
    if min_score == "suggested":
        wanted += [text for query in parsed for text in beginnings.texts_of(query)]
    words = list(dict.fromkeys(wanted))
    return parsed, dict(zip(words, encoder.encode_texts(words), strict=True))


def _start(
    session: Session,
    served: Served,
    encoder: "Encoder",
    embeddings: Embeddings,
    *,
    limit: int,
    offset: int = 0,
    mode: Mode = "similar",
    min_score: MinScore | None = None,
    filters: Filters = NO_FILTERS,
) -> _Search:
    allowed = None if filters == NO_FILTERS else photos(session, filters)
    known = calibration.of_version(served.model_version)
    fold_for_network = encoder.charset.fold
    return _Search(
        session, served, fold_for_network, embeddings, known, mode, allowed, limit, offset, min_score
    )


def _page(this: _Search, query: Query) -> Page:
    this = _without_excluded(this, query)
    uncut = this.mode == "similar" and this.min_score is None
    word = query.words[0] if len(query.words) == 1 and uncut else None
    part = slice(this.offset, this.offset + this.limit)
    needed = _needed(this, query, part)
    total, found, best = _cut(this, query, needed) if word is None else _part_of_word(this, word, needed)
    likely = total > 0 and best >= ranking.suggested_cut(query, this.calibration)
    return _page_at(this, query, part, total, found, likely)


def _without_excluded(this: _Search, query: Query) -> _Search:
    """Leave out the photos that likely show what a query excludes; where it must be read, `_read_in` does."""
    if not query.excluded or this.mode != "similar":
        return this
    among = this.served.index, query, this.embeddings, this.allowed, this.read_quads
    return replace(this, allowed=ranking.without_excluded(*among, this.calibration))


def _is_reordered(this: _Search, query: Query, part: slice) -> bool:
    return this.mode == "similar" and len(query.words) == 1 and part.start < RERANKED


def _needed(this: _Search, query: Query, part: slice) -> slice:
    """Return which photos of a ranking must be known to show a part of it."""
    return slice(0, max(part.stop, RERANKED)) if _is_reordered(this, query, part) else part


def _page_at(
    this: _Search, query: Query, part: slice, total: int, found: Sequence[Found], likely: bool = True
) -> Page:
    """Return a part of a ranking as a page, given the photos that it needs."""
    first = _needed(this, query, part).start
    shown = slice(part.start - first, part.stop - first)
    page = Page(query, this.way, this.mode != "similar", total, found, shown, likely=likely)
    if not _is_reordered(this, query, part):
        return page
    cut, word = ranking.suggested_cut(query, this.calibration), this.fold_for_network(query.words[0])
    return replace(page, doubtful=cut, word=word)


def _part_of_word(this: _Search, word: str, part: slice) -> tuple[int, list[Found], float]:
    """As `_cut`, without scores of photos that are not needed."""
    index, vectors = this.served.index, this.embeddings[word][None]
    (matches,) = index.search(vectors, part.stop, this.allowed)
    found = [Found(each.image_id, each.score, {word: each.proposals}) for each in matches[part]]
    return index.count(this.allowed), found, matches[0].score if matches else NO_TEXT_SCORE


def _cut(this: _Search, query: Query, part: slice) -> tuple[int, list[Found], float]:
    """Return how many photos the ranking of a query has, those of a part of it, and the best score."""
    ranked = _rank(this, query, part.stop)
    return ranked.total, _explain(this, query, ranked, part), ranked.best


def _rank(this: _Search, query: Query, count: int) -> _Ranked:
    index, wanted = this.served.index, None
    allowed = this.allowed if this.mode == "similar" else _read_in(this, query, this.mode)
    if this.min_score is not None:
        wanted = _wanted(this, query, this.min_score)
        allowed = ranking.candidates(index, query, this.embeddings, allowed, *wanted)
    ranker = Ranker(index, query, this.embeddings, allowed, this.read_quads)
    scores = ranker.score_first(count, this.calibration) if wanted is None else ranker.score()
    order = ranking.order(query, scores, this.calibration)
    totals = ranking.total(query, scores.terms)
    best = totals[order].max(initial=NO_TEXT_SCORE)
    if wanted is not None:
        order = order[_reaching(this, query, scores, *wanted)[order]]
    return _Ranked(scores, totals, order, scores.total if wanted is None else len(order), float(best))


def _did_you_mean(this: _Search, page: Page, listed: Sequence[Hit]) -> list[str]:
    """Return other queries, if this one was read in no photo and none likely shows it: of words that were.

    With the first page only, and not for words that are too short to be misspelt.
    """
    query, words = page.query, list(dict.fromkeys(page.query.words))
    if page.likely or this.offset or min(map(len, words)) < MIN_SPELLING_LETTERS:
        return []
    boxes = [box for hit in listed for box in hit.boxes]
    if not boxes:  # what looks like the words was left out
        similar = replace(this, mode="similar", min_score=None, limit=SPELLING_PHOTOS)
        boxes = [box for hit in _hits(similar, [_page(similar, query)])[0] for box in hit.boxes]
    near = {
        word: nearest(word, [fold(box.text) for box in boxes if box.word == word and " " not in box.text])
        for word in words
    }
    if not any(near.values()):  # nothing to offer: the statement below can be spared
        return []
    read = _reading(this, query.terms, this.way)
    if all(len(ids if this.allowed is None else np.intersect1d(ids, this.allowed)) for ids in read):
        return []
    if len(words) == 1:
        return [respell(query, {words[0]: other}) for other in near[words[0]][:SPELLINGS]]
    unread = [term.words for term, ids in zip(query.terms, read, strict=True) if not len(ids)]
    others = {word: near[word][0] for of_term in unread for word in of_term if near[word]}
    return [respell(query, others)] if others else []


def _read_in(this: _Search, query: Query, way: Way) -> Ids:
    """Return the allowed photos in which all terms were read, and none of the excluded."""
    every, none = (_reading(this, terms, way) for terms in (query.terms, query.excluded))
    wanted = every if this.allowed is None else [*every, this.allowed]
    return reduce(np.setdiff1d, none, reduce(np.intersect1d, wanted))


def _wanted(this: _Search, query: Query, min_score: MinScore) -> tuple[float, Sequence[Ids]]:
    """Return the least score, and for each term the photos that count as reaching it: it was read there."""
    suggested = ranking.suggested_cut(query, this.calibration)
    least = suggested if min_score == "suggested" else float(min_score)
    if least > suggested + ranking.ROUNDING:  # what was read counts for no more than that
        return least, [np.empty(0, np.int64)] * len(query.terms)
    return least, _reading(this, query.terms, this.way)


def _reaching(this: _Search, query: Query, scores: Scores, min_score: float, read: Sequence[Ids]) -> Mask:
    reached = ranking.reaching(query, scores, min_score, read, this.calibration)
    if this.min_score == "suggested" and this.mode == "similar":
        found = scores.image_ids[reached], read
        kept = beginnings.found_by_all(this.session, this.served, query, this.embeddings, *found)
        reached &= np.isin(scores.image_ids, kept)
    return reached


def _reading(this: _Search, terms: Sequence[Term], way: Way) -> list[Ids]:
    version = this.served.model_version
    return transcripts.photos_reading(this.session, terms=terms, way=way, version=version)


def _explain(this: _Search, query: Query, ranked: _Ranked, part: slice) -> list[Found]:
    """Return photos of a part of the ranking with the regions that show the words."""
    positions = ranked.order[part]
    photos_there = ranked.scores.image_ids[positions], ranked.totals[positions]
    return hits.explain(this.served.index, query, this.embeddings, *photos_there, ranked.scores.placements)
