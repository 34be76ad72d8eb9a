"""Search: queries to ranked photos."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from app import single_photo
from app.deps import Service, ServiceDep, SessionDep
from app.export import as_coco, as_csv
from app.problems import RequestError, documented
from app.routes.images import brief
from app.schemas import (
    BoxOut,
    HitOut,
    ImageSearchAnswer,
    QueryRegion,
    SearchAnswer,
    SearchAnswers,
    SearchOptions,
    SearchParameters,
    SearchRequest,
    SuggestionList,
    SuggestionOut,
)
from app.uploads import Form, form_body
from app.values import QueryText
from indexer import search as engine
from indexer import suggestions
from indexer.filters import Filters
from indexer.hits import Hit
from indexer.results import SearchResult
from indexer.search import WholeRanking

router = APIRouter(tags=["search"], responses=documented(404, 422, 503))

MAX_HITS = 10_000
# Not plain application/json: it is another document than the answer.
CSV, COCO = "text/csv", "application/vnd.coco+json"
_FORM = form_body(["files"], {"files": single_photo.PHOTO_FIELD})
FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {CSV: {"schema": {"type": "string"}}, COCO: {"schema": {"type": "object"}}}}
}


@router.get("/search", response_model=SearchAnswer, responses=FILES)
def search(service: ServiceDep, request: Annotated[SearchParameters, Query()]) -> Response:
    """Rank all photos by how well their text regions match the query.

    Nothing is left out without `min_score`. Of several words, photos that likely show most of them come
    first, then the mean of the words' best regions decides, then the id. Of a single word, the doubtful
    photos among the first 20 are ordered by their score and how likely they show it by all that was seen.
    """
    if request.format != "json":
        return _export(service, request)
    (answer,) = _answers(_search(service, [request.q], request))
    # Made of checked values: to check it again would take a millisecond.
    return Response(answer.model_dump_json(), media_type="application/json")


@router.post("/search", response_model=SearchAnswers, responses=documented(400, 403, 413))
def search_many(service: ServiceDep, request: SearchRequest) -> SearchAnswers:
    """Search for several queries at once, each with a ranking of its own."""
    if len(request.queries) * request.limit > MAX_HITS:
        raise RequestError(422, f"queries x limit may be {MAX_HITS:,} at most")
    found = _search(service, request.queries, request)
    return SearchAnswers(results=_answers(found), took_ms=found.took_ms)


@router.post(
    "/search/image",
    response_model=ImageSearchAnswer,
    responses=documented(400, 403, 408, 413, 415, 507),
    openapi_extra={"requestBody": _FORM},
)
async def search_image(
    request: Request, service: ServiceDep, options: Annotated[SearchOptions, Query()]
) -> ImageSearchAnswer:
    """Rank all photos by how well they show the words of a photo or of a part of one, which is not kept.

    A photo's score is the mean, over the words found in the photo that was sent, of its best region for each;
    the 16 surest words count. One photo at a time: 503 while another one is at work.
    """
    async with single_photo.received(request, service) as form:
        return await single_photo.run_alone(service, partial(_search_image, service, form, options))


def _search_image(service: Service, form: Form, options: SearchOptions) -> ImageSearchAnswer:
    served = service.follower.served()
    encoder = service.encoder_of(served.model_version)
    pixels = single_photo.decode(service, form)
    started = time.perf_counter()
    proposals = encoder.encode_images([pixels])[0]
    encode_ms = round((time.perf_counter() - started) * 1000, 2)
    found, numbers = engine.search_regions(
        service.engine, served, encoder, proposals, limit=options.limit, **_wishes(options)
    )
    found.took_ms["encode"] = encode_ms
    service.metrics.searches.inc()
    (answer,) = _answers(found)
    regions = [
        QueryRegion(
            word=word,
            text=proposals.transcripts[number],
            box=proposals.boxes[number].tolist(),
            quad=proposals.quads[number].tolist(),
            score=float(proposals.scores[number]),
        )
        for word, number in zip(answer.words, numbers, strict=True)
    ]
    return ImageSearchAnswer(**dict(answer), regions=regions)


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
    encoder = service.encoder_of(served.model_version)
    with service.metrics.search_seconds.time():
        found = engine.search(service.engine, served, encoder, texts, limit=options.limit, **_wishes(options))
    service.metrics.searches.inc(len(texts))
    return found


def _wishes(options: SearchOptions) -> dict[str, Any]:
    filters = Filters(
        collection=options.collection,
        where=tuple(options.where),
        taken_after=options.taken_after,
        taken_before=options.taken_before,
    )
    wishes = {"offset": options.offset, "mode": options.match, "min_score": options.min_score}
    return wishes | {"filters": filters}


def _export(service: Service, request: SearchParameters) -> Response:
    served = service.follower.served()
    encoder = service.encoder_of(served.model_version)
    limit = request.limit if "limit" in request.model_fields_set else None
    found = WholeRanking(service.engine, served, encoder, request.q, limit=limit, **_wishes(request))
    write, media_type = (as_csv, CSV) if request.format == "csv" else (as_coco, COCO)
    ending = "csv" if request.format == "csv" else "coco.json"
    headers = {"Content-Disposition": f'attachment; filename="search.{ending}"'}
    return StreamingResponse(write(found), media_type=media_type, headers=headers)


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
