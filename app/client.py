"""Python client of the service."""

import hashlib
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from app.schemas import (
    CollectionList,
    CollectionOut,
    Health,
    ImagePage,
    JobOut,
    ReindexAnswer,
    SearchAnswer,
    UploadAnswer,
)
from indexer.errors import GlyphseekError

_DIGESTS_A_REQUEST = 100

Answer = TypeVar("Answer", bound=BaseModel)


class ServiceError(GlyphseekError):
    """The service refused a request, or there is none."""


@dataclass(frozen=True)
class Photo:
    """A photo to upload: its name, and its bytes or the file that holds them."""

    name: str
    content: bytes | Path

    @property
    def size_bytes(self) -> int:
        """Length of the photo."""
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    def sha256(self) -> str:
        """Return the digest by which the service knows the photo."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        with self.content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class Client:
    """Talks to one service; a context manager. Every method raises ServiceError with the service's reason."""

    def __init__(self, url: str, *, timeout_seconds: float = 120.0) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: Of the service, such as http://127.0.0.1:8000.
            timeout_seconds: How long one answer may take.
        """
        self.url = url.rstrip("/")
        try:
            self._http = httpx2.Client(base_url=self.url, timeout=timeout_seconds, trust_env=False)
        except (httpx2.InvalidURL, ValueError) as exc:
            raise ServiceError(f"{url} is not a URL") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def health(self) -> Health:
        """Return the state of the service, also while it is starting."""
        response = self._send("GET", "/readyz", accepted=(200, 503))
        return _parse(Health, response)

    def known(self, digests: Sequence[str], collection: str) -> set[str]:
        """Return which of these SHA-256 the collection has already."""
        found: set[str] = set()
        for start in range(0, len(digests), _DIGESTS_A_REQUEST):
            part = list(digests[start : start + _DIGESTS_A_REQUEST])
            query = {"sha256": part, "collection": collection, "limit": _DIGESTS_A_REQUEST}
            page = _parse(ImagePage, self._send("GET", "/images", params=query))
            found |= {image.sha256 for image in page.items}
        return found

    def upload(self, photos: Sequence[Photo], *, collection: str = "default") -> UploadAnswer:
        """Send photos; the answer says what became of each, in their order."""
        handles = [open(p.content, "rb") if isinstance(p.content, Path) else p.content for p in photos]  # noqa: SIM115
        try:
            files = [
                (
                    "files",
                    (photo.name, handle, mimetypes.guess_type(photo.name)[0] or "application/octet-stream"),
                )
                for photo, handle in zip(photos, handles, strict=True)
            ]
            response = self._send(
                "POST", "/images", files=files, data={"collection": collection}, accepted=(202, 422)
            )
        finally:
            for handle in handles:
                if not isinstance(handle, bytes):
                    handle.close()
        if response.status_code == 422 and b'"items"' not in response.content:  # not one file was looked at
            raise ServiceError(_reason(response))
        return _parse(UploadAnswer, response)

    def collections(self) -> list[CollectionOut]:
        """Return all collections and what they hold."""
        return _parse(CollectionList, self._send("GET", "/collections")).items

    def create_collection(self, name: str, *, quota_bytes: int | None = None) -> CollectionOut:
        """Make an empty collection."""
        new = {"name": name, "quota_bytes": quota_bytes}
        return _parse(CollectionOut, self._send("POST", "/collections", json=new, accepted=(201,)))

    def rename_collection(self, name: str, new_name: str) -> CollectionOut:
        """Give a collection another name."""
        return _parse(CollectionOut, self._send("PATCH", _collection(name), json={"name": new_name}))

    def set_quota(self, name: str, quota_bytes: int | None) -> CollectionOut:
        """Set how many bytes the photos of a collection may have together; `None`: any number."""
        return _parse(
            CollectionOut, self._send("PATCH", _collection(name), json={"quota_bytes": quota_bytes})
        )

    def drop_collection(self, name: str, *, with_photos: bool = False) -> None:
        """Drop a collection; one that holds photos only if they are to be deleted too."""
        query = {"photos": "delete" if with_photos else "keep"}
        self._send("DELETE", _collection(name), params=query, accepted=(204,))

    def reindex(self) -> ReindexAnswer:
        """Have photos indexed again: those that the running network has not indexed, or all."""
        return _parse(ReindexAnswer, self._send("POST", "/reindex", accepted=(202,)))

    def job(self, job_id: int) -> JobOut:
        """Return how far an upload or re-index has come."""
        return _parse(JobOut, self._send("GET", f"/jobs/{job_id}"))

    def search(
        self, word: str, *, limit: int = 20, min_score: float | None = None, collection: str | None = None
    ) -> SearchAnswer:
        """Return the photos that match a word best."""
        query = {"q": word, "limit": limit, "min_score": min_score, "collection": collection}
        given = {name: value for name, value in query.items() if value is not None}
        return _parse(SearchAnswer, self._send("GET", "/search", params=given))

    def failed(self, *, limit: int = 100) -> ImagePage:
        """Return photos that could not be indexed."""
        query = {"status": "failed", "limit": limit}
        return _parse(ImagePage, self._send("GET", "/images", params=query))

    def file(self, image_id: int) -> bytes:
        """Return a photo as it was uploaded."""
        return self._send("GET", f"/images/{image_id}/file").content

    def _send(
        self, method: str, path: str, *, accepted: tuple[int, ...] = (200,), **content: Any
    ) -> httpx2.Response:
        try:
            response = self._http.request(method, path, **content)
        except httpx2.HTTPError as exc:
            raise ServiceError(
                f"no answer from {self.url} ({exc}); start the service with `glyphseek serve`"
            ) from exc
        if response.status_code not in accepted:
            raise ServiceError(_reason(response))
        return response


def _collection(name: str) -> str:
    return f"/collections/{quote(name, safe='')}"


def _parse(model: type[Answer], response: httpx2.Response) -> Answer:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as exc:
        raise ServiceError(f"{response.url} answered something else; is it a glyphseek?") from exc


def _reason(response: httpx2.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{response.url} answered {response.status_code}; is it a glyphseek?"
