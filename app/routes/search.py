"""Search: queries to ranked photos."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.deps import Service, ServiceDep
from app.problems import RequestError, documented
from app.routes.images import brief
from app.schemas import (
    BoxOut,
    CollectionName,
    HitOut,
    MinScore,
    QueryText,
    SearchAnswer,
    SearchAnswers,
    SearchRequest,
)
from indexer import search as engine
from indexer.hits import Hit
from indexer.search import SearchResult

router = APIRouter(prefix="/search", tags=["search"], responses=documented(404, 422, 503))

MAX_HITS = 10_000
QUERY = 'Words, up to 16; a "phrase in quotes" stands together, a -word or -"phrase" is to be absent.'


@router.get("", response_model=SearchAnswer)
def search(
    service: ServiceDep,
    q: Annotated[QueryText, Query(description=QUERY, examples=["google", 'coffee "to go" -tea'])],
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    min_score: Annotated[
        MinScore | None,
        Query(description="Leave out photos below it, or below the answer's `suggested_min_score`."),
    ] = None,
    collection: CollectionName | None = None,
) -> SearchAnswer:
    """Rank all photos by how well their text regions match the query.

    Nothing is left out without `min_score`. Of several words, photos that likely show most of them come
    first, then the mean of the words' best regions decides, then the id.
    """
    request = SearchRequest(
        queries=[q], limit=limit, offset=offset, min_score=min_score, collection=collection
    )
    found = _search(service, request)
    return _answers(found)[0]


@router.post("", response_model=SearchAnswers, responses=documented(400, 403, 413))
def search_many(service: ServiceDep, request: SearchRequest) -> SearchAnswers:
    """Search for several queries at once, each with a ranking of its own."""
    if len(request.queries) * request.limit > MAX_HITS:
        raise RequestError(422, f"queries x limit may be {MAX_HITS:,} at most")
    found = _search(service, request)
    return SearchAnswers(results=_answers(found), took_ms=found.took_ms)


def _search(service: Service, request: SearchRequest) -> SearchResult:
    served = service.follower.served()
    with service.metrics.search_seconds.time():
        found = engine.search(
            service.engine,
            served,
            service.encoder_of(served.model_version),
            request.queries,
            limit=request.limit,
            offset=request.offset,
            min_score=request.min_score,
            collection=request.collection,
        )
    service.metrics.searches.inc(len(request.queries))
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
            took_ms=found.took_ms,
            hits=[_hit(hit) for hit in result.hits],
        )
        for result in found.results
    ]


def _hit(hit: Hit) -> HitOut:
    boxes = [
        BoxOut(id=b.proposal_id, word=b.word, box=b.box, quad=b.quad, score=b.score, text=b.text)
        for b in hit.boxes
    ]
    return HitOut(image=brief(hit.image), score=hit.score, boxes=boxes)
