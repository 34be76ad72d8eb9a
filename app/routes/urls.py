"""Photos from the web, by their addresses; off unless the settings allow it."""

import asyncio
import json
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Query

from app import fetch, metadata, uploads
from app.deps import Service, ServiceDep
from app.problems import RequestError, documented
from app.routes import images
from app.schemas import UploadAnswer, UrlList
from indexer.archives import Arrival, Refusal
from indexer.errors import StorageFull
from indexer.intake import Receipt

router = APIRouter(prefix="/images", tags=["photos"], responses=documented(422, 503))


@router.post("/urls", status_code=202, response_model=UploadAnswer, responses=documented(400, 403, 413, 507))
async def take_in_urls(
    wanted: UrlList,
    service: ServiceDep,
    wait: Annotated[
        bool, Query(description="Answer when all are indexed, at the latest after 60 s.")
    ] = False,
) -> Any:
    """Fetch photos and take them in as if they had been uploaded; the answer is in the order of the URLs."""
    if not service.settings.fetch_urls:
        raise RequestError(403, "fetching is off; set GLYPHSEEK_FETCH_URLS=true, or upload the files")
    try:
        facts = metadata.parse(json.dumps(wanted.metadata))
    except ValueError as exc:
        raise RequestError(422, f"metadata: not a JSON object that can be kept: {exc}") from exc
    async with uploads.place(service.uploads):
        taking = (_take_in(service, url, wanted.collection, facts) for url in wanted.urls)
        outcomes = await asyncio.gather(*taking, return_exceptions=True)
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    for outcome in outcomes:
        if isinstance(outcome, StorageFull):
            raise images.disk_full(outcome, receipts) from outcome
        if isinstance(outcome, BaseException):
            raise outcome
    job = await run_sync(images.create_job, service, receipts)
    return await images.answer(service, receipts, job, wait=wait)


@router.api_route("/urls", methods=["GET", "PUT", "PATCH", "DELETE"], include_in_schema=False)
def refuse() -> None:
    """Say that only POST is meant, instead of taking `urls` for the id of a photo."""
    raise HTTPException(405, headers={"Allow": "POST"})


async def _take_in(service: Service, url: str, collection: str, facts: dict[str, Any]) -> Receipt:
    # In threads of their own: a slow server must not keep uploads waiting.
    arrival = await run_sync(_fetch, service, url, limiter=service.fetch_threads)
    return await run_sync(images.take_in, service, arrival, collection, facts, limiter=service.upload_threads)


def _fetch(service: Service, url: str) -> Arrival | Refusal:
    try:
        return fetch.fetch(url, service.blobs.temporary(), max_bytes=service.settings.max_request_bytes)
    except fetch.NotFetched as exc:
        return Refusal(fetch.name_of(url), str(exc))
