"""Every error as problem+json (RFC 9457); the one place that knows HTTP status codes of errors."""

import logging
import re
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from app.schemas import Problem
from indexer.errors import (
    Conflict,
    DatabaseRefuses,
    DatabaseUnavailable,
    GlyphseekError,
    ImageRejected,
    InvalidQuery,
    NotFound,
    NotReady,
    StorageFull,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_BODY_BYTES = 2**20
_HOST = re.compile(r"(\[(?P<address>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(:\d{0,5})?")
_STATUS: dict[type[GlyphseekError], int] = {
    NotFound: 404,
    Conflict: 409,
    InvalidQuery: 422,
    ImageRejected: 422,
    NotReady: 503,
    DatabaseUnavailable: 503,
    StorageFull: 507,
}


class RequestError(GlyphseekError):
    """The request cannot be carried out."""

    def __init__(self, status: int, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.extra = extra


def problem(status: int, detail: str, **extra: Any) -> JSONResponse:
    """Return an error response; `extra` becomes further members of the document."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    headers = {"Retry-After": "2"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse(content | extra, status, headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of these error statuses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "model": Problem,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Have the application answer every error with a problem document."""
    app.add_exception_handler(GlyphseekError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _known(request: Request, exc: Exception) -> JSONResponse:
    if isinstance(exc, RequestError):
        return problem(exc.status, str(exc), **exc.extra)
    if isinstance(exc, DatabaseRefuses):
        log.error("%s", exc.in_full, extra={"action": "request", "path": request.url.path})
    for kind, status in _STATUS.items():
        if isinstance(exc, kind):
            return problem(status, str(exc))
    return _unexpected(request, exc)


def _invalid(request: Request, exc: Exception) -> JSONResponse:
    errors = exc.errors() if isinstance(exc, RequestValidationError) else []
    if any(error["loc"] == ("body",) for error in errors) and not _says_json(request):
        return problem(422, "the body must be JSON, sent with `Content-Type: application/json`")
    details = "; ".join(f"{_place(error['loc'])} {message_of(error)}" for error in errors)
    # A lone surrogate, which JSON can smuggle in, could not be sent back.
    return problem(422, details.encode(errors="replace").decode()[:2000] or "the request is not valid")


def _says_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _place(loc: tuple[str | int, ...]) -> str:
    """Return what an error is about, in words."""
    match loc[1:]:
        case (str(name), int(index), *_):
            return f"{name} number {index + 1}"
        case (str(name), *_):
            return name
    return "the body"


def message_of(error: Any) -> str:
    """Return what an error of validation says must be otherwise, to go on after the name of the value."""
    match error["type"]:
        case "missing":
            return "must be given"
        case "json_invalid":
            return f"must be JSON: {error['ctx']['error']}, at character {error['loc'][-1]}"
        case "model_attributes_type" | "dict_type":
            return "must be a JSON object"
        case "value_error":
            return str(error["ctx"]["error"])
    text = re.sub(r"^[A-Z]\w+ should ", "must ", error["msg"])
    return re.sub(r", unable to .*| after validation", "", text)


def _http(request: Request, exc: Exception) -> JSONResponse:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    response = problem(status, str(getattr(exc, "detail", "")))
    response.headers.update(getattr(exc, "headers", None) or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    """Return the methods of a path; Starlette names those of the first of its routes alone."""
    # A path that is written out is not meant where it could stand for a parameter.
    if described := request.app.openapi()["paths"].get(request.url.path):
        return sorted(method.upper() for method in described)
    return [
        method.value
        for method in HTTPMethod
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


def _unexpected(request: Request, exc: Exception) -> JSONResponse:
    log.error("request failed", extra={"action": "request", "path": request.url.path}, exc_info=exc)
    return problem(500, "something went wrong here; the log of the service says what")


class KnownHosts:
    """Refuses requests to host names that are not ours, and writes that pages of other hosts start.

    Without it, a page on the web could reach a service on this machine through the browser: by a name that it
    lets point here, or by a form that it sends here.
    """

    def __init__(self, app: Any, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 421 or 403."""
        if scope["type"] == "http":
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            origin = dict(scope["headers"]).get(b"origin")
            known = "*" in self._hosts or (len(hosts) == 1 and _host_name(hosts[0]) in self._hosts)
            if not known:
                await problem(421, "this service does not go by that host name")(scope, receive, send)
                return
            foreign = origin and [origin.partition(b"://")[2].lower()] != [host.lower() for host in hosts]
            if foreign and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                detail = (
                    "pages of other hosts and ports may not write here; proxies must keep the Host header"
                )
                await problem(403, detail)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class SmallBodies:
    """Refuses large request bodies where they would be read into memory.

    Left out are the paths of photos, which go to the disk piece by piece and have a limit of their own.
    """

    def __init__(self, app: Any, max_bytes: int, except_paths: tuple[str, ...]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._except_paths = except_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; reading more of its body than allowed raises an error, which gives 413."""
        received = 0

        async def receive_little() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413, f"the body of this request may have {self._max_bytes:,} bytes")
            return message

        limited = scope["type"] == "http" and scope["path"] not in self._except_paths
        await self._app(scope, receive_little if limited else receive, send)


def _host_name(value: bytes) -> str | None:
    """Return the host of `host:port`, without an IPv6 address's brackets; `None` if it is neither."""
    match = _HOST.fullmatch(value.decode("latin-1").lower())
    return match and (match["address"] or match["name"])
