"""The page at `/`, the documentation at `/docs` and their files; nothing of them comes from elsewhere."""

import mimetypes
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from app.problems import RequestError

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parents[1] / "page"
HEADERS = {
    # Scripts and styles come from our files alone. Swagger UI draws its icons from `data:` addresses.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Asset(NamedTuple):
    """A file of the page, ready to be sent."""

    content: bytes
    media_type: str
    etag: str


@cache
def _assets() -> dict[str, Asset]:
    """Read every file of the page, by its path below the folder: no other path can be asked for."""
    paths = [path for path in FOLDER.rglob("*") if path.is_file()]
    return {path.relative_to(FOLDER).as_posix(): _asset(path) for path in paths}


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    # Not left to the machine's own table, where .js may be anything.
    kind = {".js": "text/javascript", ".svg": "image/svg+xml"}.get(path.suffix)
    media_type = kind or mimetypes.guess_type(path.name)[0] or "text/plain"
    return Asset(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')


@router.get("/")
def index(request: Request) -> Response:
    """Return the page."""
    return _send(request, "index.html")


@router.get("/docs")
def docs(request: Request) -> Response:
    """Return the documentation of the API."""
    return _send(request, "docs.html")


@router.get("/page/{path:path}")
def file(request: Request, path: str) -> Response:
    """Return a script, style or picture of the page."""
    return _send(request, path)


def _send(request: Request, path: str) -> Response:
    asset = _assets().get(path)
    if asset is None:
        raise RequestError(404, "the page has no such file")
    headers = {**HEADERS, "ETag": asset.etag}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if asset.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers=headers, media_type=asset.media_type)
