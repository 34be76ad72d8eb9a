"""Search: words to ranked photos."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.deps import Service, ServiceDep
from app.problems import RequestError, documented
from app.routes.images import brief
from app.schemas import (
    BoxOut,
    CollectionName,
    HitOut,
    SearchAnswer,
    SearchAnswers,
    SearchRequest,
    Word,
)
from indexer import search as engine
from indexer.search import Hit, SearchResult

router = APIRouter(prefix="/search", tags=["search"], responses=documented(404, 422, 503))

MAX_HITS = 10_000


@router.get("", response_model=SearchAnswer)
def search(
    service: ServiceDep,
    q: Annotated[Word, Query(description="The word to look for.", examples=["google"])],
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    min_score: Annotated[float | None, Query(ge=-1, le=1, description="Leave out photos below it.")] = None,
    collection: CollectionName | None = None,
) -> SearchAnswer:
    """Rank all photos by how well their best text region matches a word."""
    request = SearchRequest(
        queries=[q], limit=limit, offset=offset, min_score=min_score, collection=collection
    )
    found = _search(service, request)
    return _answers(found)[0]


@router.post("", response_model=SearchAnswers, responses=documented(400, 403, 413))
def search_many(service: ServiceDep, request: SearchRequest) -> SearchAnswers:
    """Search for several words at once, each with a ranking of its own."""
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
            query=result.query,
            total=result.total,
            took_ms=found.took_ms,
            hits=[_hit(hit) for hit in result.hits],
        )
        for result in found.results
    ]


def _hit(hit: Hit) -> HitOut:
    boxes = [BoxOut(box=b.box, quad=b.quad, score=b.score, text=b.text) for b in hit.boxes]
    return HitOut(image=brief(hit.image), score=hit.score, boxes=boxes)
