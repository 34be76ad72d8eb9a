"""Search: queries to ranked photos."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from app.deps import Service, ServiceDep, SessionDep
from app.problems import RequestError, documented
from app.routes.images import brief
from app.schemas import (
    BoxOut,
    HitOut,
    QueryText,
    SearchAnswer,
    SearchAnswers,
    SearchOptions,
    SearchParameters,
    SearchRequest,
    SuggestionList,
    SuggestionOut,
)
from indexer import search as engine
from indexer import suggestions
from indexer.filters import Filters
from indexer.hits import Hit
from indexer.search import SearchResult

router = APIRouter(tags=["search"], responses=documented(404, 422, 503))

MAX_HITS = 10_000


@router.get("/search", response_model=SearchAnswer)
def search(service: ServiceDep, request: Annotated[SearchParameters, Query()]) -> SearchAnswer:
    """Rank all photos by how well their text regions match the query.

    Nothing is left out without `min_score`. Of several words, photos that likely show most of them come
    first, then the mean of the words' best regions decides, then the id.
    """
    return _answers(_search(service, [request.q], request))[0]


@router.post("/search", response_model=SearchAnswers, responses=documented(400, 403, 413))
def search_many(service: ServiceDep, request: SearchRequest) -> SearchAnswers:
    """Search for several queries at once, each with a ranking of its own."""
    if len(request.queries) * request.limit > MAX_HITS:
        raise RequestError(422, f"queries x limit may be {MAX_HITS:,} at most")
    found = _search(service, request.queries, request)
    return SearchAnswers(results=_answers(found), took_ms=found.took_ms)


@router.get("/suggest", response_model=SuggestionList)
def suggest(
    session: SessionDep,
    q: Annotated[QueryText, Query(description="What was typed so far.", examples=["cof"])],
    limit: Annotated[int, Query(ge=1, le=50)] = 8,
) -> SuggestionList:
    """Complete the last word of a query with words that were read in photos."""
    found = suggestions.complete(session, text=q, limit=limit)
    return SuggestionList(items=[SuggestionOut(text=each.text, photos=each.photos) for each in found])


def _search(service: Service, texts: Sequence[str], options: SearchOptions) -> SearchResult:
    served = service.follower.served()
    with service.metrics.search_seconds.time():
        found = engine.search(
            service.engine,
            served,
            service.encoder_of(served.model_version),
            texts,
            limit=options.limit,
            offset=options.offset,
            mode=options.match,
            min_score=options.min_score,
            filters=Filters(
                collection=options.collection,
                where=tuple(options.where),
                taken_after=options.taken_after,
                taken_before=options.taken_before,
            ),
        )
    service.metrics.searches.inc(len(texts))
    return found


def _answers(found: SearchResult) -> list[SearchAnswer]:
    return [
        SearchAnswer(
            query=result.query.text,
            words=result.query.words,
            excluded=[word for term in result.query.excluded for word in term.words],
            ignored=list(result.query.ignored),
            total=result.total,
            suggested_min_score=result.suggested_min_score,
            did_you_mean=result.did_you_mean,
            took_ms=found.took_ms,
            hits=[_hit(hit) for hit in result.hits],
        )
        for result in found.results
    ]


def _hit(hit: Hit) -> HitOut:
    boxes = [
        BoxOut(
            id=box.proposal_id,
            word=box.word,
            box=box.box,
            quad=box.quad,
            score=box.score,
            text=box.text,
            match=box.match,
        )
        for box in hit.boxes
    ]
    return HitOut(image=brief(hit.image), score=hit.score, match=hit.match, boxes=boxes)
