"""The calls of the service as its clients make them, each written once for all of them.

A call is a generator: it yields requests, is sent the response to each, and returns its answer. What sends
them, and waits in between, is a client's business (`app.client`).
"""

import io
import json
import mimetypes
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from app.photos import Photo
from app.schemas import (
    AnnotateAnswer,
    CollectionList,
    CollectionOut,
    Health,
    ImageDetail,
    ImagePage,
    ImageSearchAnswer,
    JobOut,
    ProposalList,
    ReindexAnswer,
    SearchAnswer,
    SearchAnswers,
    SuggestionList,
    SuggestionOut,
    UploadAnswer,
)
from indexer.errors import GlyphseekError

_DIGESTS_A_REQUEST = 100

Body = TypeVar("Body", bound=BaseModel)
Answer = TypeVar("Answer")
Progress = Callable[[int, int], None]


class ServiceError(GlyphseekError):
    """The service refused a request, or there is none; `status` is that of its answer, 0 without one."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """A request to send.

    Attributes:
        content: further arguments of httpx2, such as `params` and `json`.
        accepted: statuses that are no errors.
        repeatable: whether it may be sent again when it is not known what became of it.
    """

    method: str
    path: str
    content: dict[str, Any] = field(default_factory=dict)
    accepted: tuple[int, ...] = (200,)
    repeatable: bool = True


Steps = Generator[Request, httpx2.Response, Answer]


def health() -> Steps[Health]:
    """Return the state of the service at this moment, also while it is starting."""
    return _parse(Health, (yield Request("GET", "/readyz", accepted=(200, 503), repeatable=False)))


def search(
    query: str,
    *,
    limit: int = 20,
    offset: int = 0,
    match: str = "similar",
    min_score: float | str | None = None,
    collection: str | None = None,
    where: Sequence[str] = (),
    taken_after: datetime | None = None,
    taken_before: datetime | None = None,
) -> Steps[SearchAnswer]:
    """Return the photos that match a query best.

    Args:
        query: Words, `"a phrase"`, `-without`.
        limit: Most photos.
        offset: Photos of the ranking to leave out before them.
        match: `similar`, or how the words must stand in what was read: `exact`, `prefix`, `contains`.
        min_score: Leave out photos below it; `suggested` for what the answer suggests.
        collection: Search only this one.
        where: Conditions that all hold, such as `meta.year>=2020` or `width>=1000`.
        taken_after: Only photos taken then or later.
        taken_before: Only photos taken before.
    """
    parameters: dict[str, Any] = {"q": query, "limit": limit, "offset": offset, "match": match}
    parameters |= {"min_score": min_score, "collection": collection, "where": where}
    parameters |= {"taken_after": taken_after, "taken_before": taken_before}
    return _parse(SearchAnswer, (yield _get("/search", _written(parameters))))


def export(query: str, *, format: str = "csv", **options: Any) -> Steps[bytes]:
    """Return the whole ranking for a query as a file, `csv` or `coco`; other options as of `search`."""
    return (yield _get("/search", _written({"q": query, "format": format, **options}))).content


def _written(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with moments and conditions as they stand in an address."""
    written = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in parameters.items()
    }
    return written | {"where": list(parameters.get("where", ())) or None}


def search_image(photo: Photo, **options: Any) -> Steps[ImageSearchAnswer]:
    """Return the photos that show the words of a photo best, which the service does not keep.

    Args:
        photo: Or a part of one, with text in it.
        options: As of `search`.
    """
    with photo.open() as file:
        content = {"files": [("files", (photo.name, file))], "params": _given(_written(options))}
        return _parse(ImageSearchAnswer, (yield Request("POST", "/search/image", content)))


def suggest(text: str, *, limit: int = 8) -> Steps[list[SuggestionOut]]:
    """Return queries that complete the last word of a text with words read in photos, most photos first."""
    return _parse(SuggestionList, (yield _get("/suggest", {"q": text, "limit": limit}))).items


def search_many(queries: Sequence[str], *, limit: int = 20) -> Steps[list[SearchAnswer]]:
    """Search for several queries at once; return a ranking for each, in their order."""
    request = Request("POST", "/search", {"json": {"queries": list(queries), "limit": limit}})
    return _parse(SearchAnswers, (yield request)).results


def upload(
    photos: Sequence[Photo],
    *,
    collection: str = "default",
    metadata: dict[str, Any] | None = None,
    wait: bool = False,
    progress: Progress | None = None,
) -> Steps[UploadAnswer]:
    """Send photos; the answer says what became of each, in their order.

    Sending them again changes nothing: the service knows them by their digests.

    Args:
        photos: To send, in one request.
        collection: Where to put them.
        metadata: Kept with each of them.
        wait: Whether to wait until they are indexed, for 60 s at most.
        progress: Called with the number of bytes that have been read for sending, and of how many.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(photo.open()) for photo in photos]
        total = sum(photo.size_bytes for photo in photos)
        readers = [_Reader(file, files, total, progress) for file in files]
        form = {"collection": collection, "metadata": json.dumps(metadata or {})}
        parts = [
            ("files", (photo.name, reader, mimetypes.guess_type(photo.name)[0] or "application/octet-stream"))
            for photo, reader in zip(photos, readers, strict=True)
        ]
        content = {"files": parts, "data": form, "params": {"wait": wait}}
        response = yield Request("POST", "/images", content, accepted=(202, 422))
    if response.status_code == 422 and b'"items"' not in response.content:  # not one file was looked at
        raise refusal(response)
    return _parse(UploadAnswer, response)


def annotate(photo: Photo, words: Sequence[str]) -> Steps[AnnotateAnswer]:
    """Return where words are in a photo, which the service does not keep.

    Args:
        photo: To look at.
        words: That are in it, each as often as it is there; none with a space in it.
    """
    with photo.open() as file:
        content = {"files": [("files", (photo.name, file))], "data": {"words": " ".join(words)}}
        return _parse(AnnotateAnswer, (yield Request("POST", "/annotate", content)))


class _Reader:
    """A file that tells how much of all the files of a request has been read."""

    def __init__(
        self, file: BinaryIO, all_files: Sequence[BinaryIO], total: int, progress: Progress | None
    ) -> None:
        self._file, self._all_files = file, all_files
        self._total, self._progress = total, progress

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes."""
        data = self._file.read(size)
        if data and self._progress is not None:
            self._progress(sum(file.tell() for file in self._all_files), self._total)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place; when the first file goes to its start, everything is sent (again)."""
        if self._file is self._all_files[0] and (offset, whence) == (0, io.SEEK_SET):
            for file in self._all_files:
                file.seek(0)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()


def known(digests: Sequence[str], collection: str) -> Steps[set[str]]:
    """Return which of these SHA-256 the collection has already."""
    found: set[str] = set()
    for start in range(0, len(digests), _DIGESTS_A_REQUEST):
        part = list(digests[start : start + _DIGESTS_A_REQUEST])
        query = {"sha256": part, "collection": collection, "limit": _DIGESTS_A_REQUEST}
        found |= {image.sha256 for image in _parse(ImagePage, (yield _get("/images", query))).items}
    return found


def images(
    *, status: str | None = None, collection: str | None = None, limit: int = 50, cursor: int = 0
) -> Steps[ImagePage]:
    """Return photos by id; `next` of the answer is the `cursor` of the following ones."""
    query = {"status": status, "collection": collection, "limit": limit, "cursor": cursor}
    return _parse(ImagePage, (yield _get("/images", query)))


def image(image_id: int) -> Steps[ImageDetail]:
    """Return a photo and how far its indexing has come."""
    return _parse(ImageDetail, (yield _get(f"/images/{image_id}")))


def file(image_id: int) -> Steps[bytes]:
    """Return a photo as it was uploaded."""
    return (yield _get(f"/images/{image_id}/file")).content


def thumbnail(image_id: int) -> Steps[bytes]:
    """Return a small upright JPEG of a photo."""
    return (yield _get(f"/images/{image_id}/thumbnail")).content


def proposals(image_id: int) -> Steps[ProposalList]:
    """Return the text regions of a photo, best first."""
    return _parse(ProposalList, (yield _get(f"/images/{image_id}/proposals")))


def delete_image(image_id: int) -> Steps[None]:
    """Remove a photo; doing it twice is no error."""
    yield Request("DELETE", f"/images/{image_id}", accepted=(204,))


def retry(image_id: int) -> Steps[ImageDetail]:
    """Queue a failed photo again."""
    return _parse(ImageDetail, (yield Request("POST", f"/images/{image_id}/retry", accepted=(202,))))


def collections() -> Steps[list[CollectionOut]]:
    """Return all collections and what they hold."""
    return _parse(CollectionList, (yield _get("/collections"))).items


def create_collection(name: str, *, quota_bytes: int | None = None) -> Steps[CollectionOut]:
    """Make an empty collection."""
    content = {"json": {"name": name, "quota_bytes": quota_bytes}}
    # Sent twice, it would be refused: the name is taken.
    request = Request("POST", "/collections", content, accepted=(201,), repeatable=False)
    return _parse(CollectionOut, (yield request))


def rename_collection(name: str, new_name: str) -> Steps[CollectionOut]:
    """Give a collection another name."""
    request = Request("PATCH", _collection(name), {"json": {"name": new_name}}, repeatable=False)
    return _parse(CollectionOut, (yield request))


def set_quota(name: str, quota_bytes: int | None) -> Steps[CollectionOut]:
    """Set how many bytes the photos of a collection may have together; `None`: any number."""
    request = Request("PATCH", _collection(name), {"json": {"quota_bytes": quota_bytes}})
    return _parse(CollectionOut, (yield request))


def drop_collection(name: str, *, with_photos: bool = False) -> Steps[None]:
    """Drop a collection; one that holds photos only if they are to be deleted too."""
    content = {"params": {"photos": "delete" if with_photos else "keep"}}
    yield Request("DELETE", _collection(name), content, accepted=(204,), repeatable=False)


def job(job_id: int) -> Steps[JobOut]:
    """Return how far an upload or re-index has come."""
    return _parse(JobOut, (yield _get(f"/jobs/{job_id}")))


def reindex() -> Steps[ReindexAnswer]:
    """Have photos indexed again: those that the running network has not indexed, or all."""
    request = Request("POST", "/reindex", accepted=(202,), repeatable=False)
    return _parse(ReindexAnswer, (yield request))


def _get(path: str, query: dict[str, Any] | None = None) -> Request:
    return Request("GET", path, {"params": _given(query or {})})


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _collection(name: str) -> str:
    return f"/collections/{quote(name, safe='')}"


def _parse(model: type[Body], response: httpx2.Response) -> Body:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as exc:
        raise ServiceError(f"{response.url} answered something else; is it a glyphseek?") from exc


def refusal(response: httpx2.Response) -> ServiceError:
    """Return the error of a response, with the reason in the service's words."""
    try:
        reason = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        reason = f"{response.url} answered {response.status_code}; is it a glyphseek?"
    return ServiceError(reason, response.status_code)
