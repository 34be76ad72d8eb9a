"""Photos: upload, list, files, proposals, delete."""

import asyncio
import io
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, BinaryIO, cast

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter, ValidationError

from app import metadata, uploads
from app.deps import Service, ServiceDep, SessionDep
from app.problems import RequestError, documented, message_of
from app.schemas import (
    ImageBrief,
    ImageDetail,
    ImagePage,
    ImageStatus,
    ProposalList,
    ProposalOut,
    UploadAnswer,
    UploadItem,
)
from app.values import CollectionName, Id, Sha256
from indexer import archives, changes, images, intake, pipeline, queries, queue
from indexer.archives import Arrival, Refusal
from indexer.database import session_scope
from indexer.errors import ImageRejected, StorageFull
from indexer.intake import Receipt
from indexer.shown import Photo
from indexer.tables import Image

router = APIRouter(prefix="/images", tags=["photos"], responses=documented(422, 503))

WAIT_SECONDS = 60.0
INDEX_POLLS, INDEX_POLL_SECONDS = 250, 0.02
_CHUNK_BYTES = 2**18
_ZIP_GROWTH = 4  # photos hardly shrink in a zip
_NAME = TypeAdapter(CollectionName)
_FORM = uploads.form_body(
    ["files"],
    {
        "files": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC, AVIF, or zips of them.",
        },
        "collection": {"type": "string", "default": "default", "maxLength": 100},
        "metadata": {
            "type": "string",
            "description": "A JSON object of at most 16 KiB, kept with each photo.",
        },
    },
)

ImageId = Annotated[Id, Path(description="Id of the photo.")]


@router.post(
    "",
    status_code=202,
    response_model=UploadAnswer,
    responses=documented(400, 403, 408, 413, 415, 507),
    openapi_extra={"requestBody": _FORM},
)
async def upload(
    request: Request,
    service: ServiceDep,
    wait: Annotated[
        bool, Query(description="Answer when all are indexed, at the latest after 60 s.")
    ] = False,
) -> Any:
    """Take photos in. A 202 means that they are on disk and queued."""
    settings = service.settings
    async with uploads.place(service.uploads):
        form = await uploads.receive(
            request,
            service.blobs.temporary,
            max_files=settings.max_files,
            max_request_bytes=settings.max_request_bytes,
        )
        try:
            receipts, job = await run_sync(_take_in, service, form, limiter=service.upload_threads)
        finally:
            form.discard()
    return await answer(service, receipts, job, wait=wait)


async def answer(service: Service, receipts: list[Receipt], job: int, *, wait: bool) -> UploadAnswer:
    """Return what became of files, when they are indexed if that is to be waited for.

    Raises:
        RequestError: None of them was taken.
    """
    items = [UploadItem(**vars(receipt)) for receipt in receipts]
    for item in items:
        service.metrics.uploads.labels(item.status).inc()
    if all(item.status == "rejected" for item in items):
        rejected = [item.model_dump() for item in items]
        raise RequestError(422, "none of the files was taken", items=rejected, job=job)
    if wait:
        await _wait(service, items)
    return UploadAnswer(items=items, job=job)


def _take_in(service: Service, form: uploads.Form) -> tuple[list[Receipt], int]:
    collection, facts = _collection(form.fields), _metadata(form.fields)
    if not form.files:
        raise RequestError(422, "there is no file in the form field `files`")
    receipts: list[Receipt] = []
    try:
        for arrival in _unpacked(service, form.files):
            receipts.append(take_in(service, arrival, collection, facts))
        return receipts, create_job(service, receipts)
    except StorageFull as exc:
        raise disk_full(exc, receipts) from exc


def take_in(service: Service, arrival: Arrival | Refusal, collection: str, facts: dict[str, Any]) -> Receipt:
    """Store one file and queue it, as `intake.take_in`."""
    return intake.take_in(
        service.engine,
        service.blobs,
        service.sandbox,
        arrival,
        collection=collection,
        metadata=facts,
        max_pixels=service.settings.max_pixels,
    )


def disk_full(error: StorageFull, receipts: list[Receipt]) -> RequestError:
    """Return the error that also says which files of an upload were taken before the disk was full."""
    taken = [vars(receipt) for receipt in receipts if receipt.id is not None]
    return RequestError(507, f"{error} (taken before that, and kept: {len(taken)})", taken=taken)


def create_job(service: Service, receipts: list[Receipt]) -> int:
    """Note what an upload waits for; return the number of its job."""
    ids = [receipt.id for receipt in receipts if receipt.id is not None]
    with session_scope(service.engine) as session:
        return queries.create_job(session, kind="upload", image_ids=ids, rejected=len(receipts) - len(ids))


def _unpacked(service: Service, files: list[Arrival]) -> Iterator[Arrival | Refusal]:
    """Yield the files of an upload, those in zips one by one."""
    zips = {arrival.path for arrival in files if archives.is_zip(arrival.path)}
    room = service.settings.max_files - (len(files) - len(zips))
    for arrival in files:
        if arrival.path not in zips:
            yield arrival
            continue
        try:
            entries = 0
            for entry in archives.unpack(
                arrival.path,
                service.blobs.temporary,
                max_entries=room,
                max_bytes=_ZIP_GROWTH * service.settings.max_request_bytes,
            ):
                entries += 1
                yield entry
            room -= entries
            if not entries:
                yield Refusal(arrival.name, "the zip holds no files")
        except ImageRejected as exc:
            yield Refusal(arrival.name, str(exc))


def _collection(fields: dict[str, str]) -> str:
    try:
        return _NAME.validate_python(fields.get("collection", "default"))
    except ValidationError as exc:
        raise RequestError(422, f"collection {message_of(exc.errors()[0])}") from exc


def _metadata(fields: dict[str, str]) -> dict[str, Any]:
    try:
        return metadata.parse(fields.get("metadata", ""))
    except ValueError as exc:
        raise RequestError(422, f"metadata: not a JSON object that can be kept: {exc}") from exc


async def _wait(service: Service, items: list[UploadItem]) -> None:
    """Wait until the photos are indexed or failed and the index holds them; note their status."""
    deadline = time.monotonic() + WAIT_SECONDS
    waiting = {item.id for item in items if item.id is not None}
    pause = 0.05
    while time.monotonic() < deadline:
        states = await run_sync(_states, service, list(waiting))
        if not any(status in ("queued", "processing") for status, _ in states.values()):
            break
        await asyncio.sleep(pause)
        pause = min(1.0, pause * 1.5)
    else:
        states = await run_sync(_states, service, list(waiting))
    last = await run_sync(_last_change, service)
    for _ in range(INDEX_POLLS):
        if service.follower.watermark >= last or time.monotonic() > deadline:
            break
        await asyncio.sleep(INDEX_POLL_SECONDS)
    for item in items:
        if item.id in states and item.status != "duplicate":
            item.status, item.reason = states[item.id]


def _states(service: Service, image_ids: list[int]) -> dict[int, tuple[Any, str | None]]:
    with session_scope(service.engine) as session:
        found = queries.get_images(session, image_ids=image_ids)
        return {image_id: (image.status, image.reason) for image_id, image in found.items()}


def _last_change(service: Service) -> int:
    with session_scope(service.engine) as session:
        return changes.read_state(session).last_seq


@router.get("", response_model=ImagePage)
def list_images(
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[int, Query(ge=0, le=2**63 - 1, description="`next` of the page before.")] = 0,
    status: ImageStatus | None = None,
    collection: CollectionName | None = None,
    sha256: Annotated[
        list[Sha256] | None,
        Query(max_length=100, description="Only photos with one of these digests."),
    ] = None,
) -> ImagePage:
    """List photos by ascending id."""
    found = queries.list_images(
        session, limit=limit, after_id=cursor, collection=collection, status=status, sha256s=sha256
    )
    last = found[-1].id if len(found) == limit else None
    return ImagePage(items=[detail(image) for image in found], next=last)


@router.get("/{image_id}", response_model=ImageDetail, responses=documented(404))
def get_image(session: SessionDep, image_id: ImageId) -> ImageDetail:
    """Return a photo and how far its indexing has come."""
    return detail(queries.get_image(session, image_id=image_id))


@router.delete("/{image_id}", status_code=204, responses=documented(403))
def delete_image(service: ServiceDep, image_id: ImageId) -> Response:
    """Remove a photo from database, index and disk; doing it twice is no error."""
    pipeline.delete_photo(service.engine, service.blobs, image_id=image_id)
    return Response(status_code=204)


@router.post("/{image_id}/retry", status_code=202, response_model=ImageDetail, responses=documented(403, 404))
def retry(session: SessionDep, image_id: ImageId) -> ImageDetail:
    """Queue a failed photo again."""
    queue.retry(session, image_id=image_id)
    return detail(queries.get_image(session, image_id=image_id))


@router.get("/{image_id}/proposals", response_model=ProposalList, responses=documented(404))
def list_proposals(session: SessionDep, image_id: ImageId) -> ProposalList:
    """Return the text regions of a photo, best first."""
    return ProposalList(
        items=[
            ProposalOut(
                id=proposal.id,
                box=proposal.box,
                quad=[proposal.quad[corner : corner + 2] for corner in range(0, 8, 2)],
                score=proposal.score,
                text=proposal.transcript,
                confidence=proposal.confidence,
            )
            for proposal in queries.list_proposals(session, image_id=image_id)
        ]
    )


_FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "The client has this file already."},
    **documented(404),
}


@router.get("/{image_id}/file", response_class=StreamingResponse, responses=_FILE_RESPONSES)
def get_file(request: Request, session: SessionDep, service: ServiceDep, image_id: ImageId) -> Response:
    """Return the photo as it was uploaded."""
    image = queries.get_image(session, image_id=image_id)
    return _file(request, service.blobs.open(image.sha256), f'"{image.sha256}"', image.media_type)


@router.get("/{image_id}/thumbnail", response_class=StreamingResponse, responses=_FILE_RESPONSES)
async def get_thumbnail(request: Request, service: ServiceDep, image_id: ImageId) -> Response:
    """Return a small upright JPEG of the photo."""
    sha256 = await run_sync(_sha256, service, image_id)
    path = service.blobs.thumbnail_path(sha256)
    try:
        file: BinaryIO = await run_sync(path.open, "rb")
    except FileNotFoundError:
        # Not in the threads that searches run in: it may take long.
        file = await run_sync(_make_thumbnail, service, sha256, limiter=service.upload_threads)
    return _file(request, file, f'"{sha256}-480"', "image/jpeg")


def _sha256(service: Service, image_id: int) -> str:
    with session_scope(service.engine) as session:
        return queries.get_image(session, image_id=image_id).sha256


def _make_thumbnail(service: Service, sha256: str) -> BinaryIO:
    service.blobs.open(sha256).close()  # raises NotFound if the photo was deleted just now
    photo, max_pixels = service.blobs.path(sha256), service.settings.max_pixels
    data = service.sandbox.call(images.thumbnail, photo, max_pixels)
    with suppress(StorageFull):  # it will be made again
        service.blobs.write_thumbnail(sha256, data)
    return io.BytesIO(data)


def _file(request: Request, file: BinaryIO, etag: str, media_type: str) -> Response:
    """Return an open file, which stays readable even if the photo is deleted meanwhile."""
    headers = {"ETag": etag, "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or "*" in known:
        file.close()
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(file.seek(0, 2))
    file.seek(0)
    return StreamingResponse(_chunks(file), headers=headers, media_type=media_type)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def brief(photo: Photo) -> ImageBrief:
    """Return a photo as results show it."""
    return ImageBrief(**_brief(photo, photo.collection))


def _brief(image: Image | Photo, collection: str) -> dict[str, Any]:
    return {
        "id": image.id,
        "name": image.name,
        "collection": collection,
        "width": image.width,
        "height": image.height,
        "metadata": image.extra,
        "taken_at": image.taken_at,
        "url": f"/images/{image.id}/file",
        "thumbnail_url": f"/images/{image.id}/thumbnail",
    }


def detail(image: Image) -> ImageDetail:
    """Return everything about a photo."""
    return ImageDetail(
        **_brief(image, image.collection.name),
        sha256=image.sha256,
        media_type=image.media_type,
        size_bytes=image.size_bytes,
        status=cast(ImageStatus, image.status),
        reason=image.reason,
        proposals=image.proposal_count,
        model_version=image.model_version,
        created_at=image.created_at,
        indexed_at=image.indexed_at,
    )
