"""Python clients of the service: `Client`, and `AsyncClient` with the same calls to be awaited."""

import asyncio
import functools
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast, overload

import httpx2

from app import calls
from app.calls import Request, ServiceError, Steps, refusal
from app.photos import Photo

__all__ = ["AsyncClient", "Client", "Photo", "ServiceError"]

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
RETRIES = 6  # some 30 s: as long as a service takes to start again
# The service may have stopped or be restarting. That it takes long is no reason to ask again.
_INTERRUPTIONS = (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ConnectTimeout)

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")
Http = TypeVar("Http")


class _Method(Generic[Parameters, Answer]):
    """A call as a method: of a `Client` it returns the answer, of an `AsyncClient` what is to be awaited."""

    def __init__(self, call: Callable[Parameters, Steps[Answer]]) -> None:
        self._call = call
        self.__doc__ = call.__doc__

    @overload
    def __get__(self, client: "Client", owner: type) -> Callable[Parameters, Answer]: ...

    @overload
    def __get__(
        self, client: "AsyncClient", owner: type
    ) -> Callable[Parameters, Coroutine[Any, Any, Answer]]: ...

    def __get__(self, client: "Client | AsyncClient", owner: type) -> Any:
        if client is None:  # asked for its description
            return self._call

        @functools.wraps(self._call)
        def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Any:
            return client.run(self._call(*args, **kwargs))

        return run


class _Service:
    """One service and its calls. Every call raises ServiceError with the service's reason."""

    health = _Method(calls.health)
    search = _Method(calls.search)
    search_many = _Method(calls.search_many)
    search_image = _Method(calls.search_image)
    suggest = _Method(calls.suggest)
    export = _Method(calls.export)
    upload = _Method(calls.upload)
    annotate = _Method(calls.annotate)
    known = _Method(calls.known)
    images = _Method(calls.images)
    image = _Method(calls.image)
    file = _Method(calls.file)
    thumbnail = _Method(calls.thumbnail)
    proposals = _Method(calls.proposals)
    delete_image = _Method(calls.delete_image)
    retry = _Method(calls.retry)
    collections = _Method(calls.collections)
    create_collection = _Method(calls.create_collection)
    rename_collection = _Method(calls.rename_collection)
    set_quota = _Method(calls.set_quota)
    drop_collection = _Method(calls.drop_collection)
    job = _Method(calls.job)
    reindex = _Method(calls.reindex)

    def __init__(self, url: str, *, timeout_seconds: float = 120.0, retries: int = RETRIES) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: Of the service, such as http://127.0.0.1:8000.
            timeout_seconds: How long one answer may take.
            retries: How often a request is sent again, after growing pauses, when the service is not to be
                reached or says 503. Only what does no harm when it is done twice, uploads among it.
        """
        self.url = url.rstrip("/")
        self.retries = retries
        self._timeout_seconds = timeout_seconds

    def _open(self, kind: Callable[..., Http]) -> Http:
        try:
            return kind(base_url=self.url, timeout=self._timeout_seconds, trust_env=False)
        except (httpx2.InvalidURL, ValueError) as exc:
            raise ServiceError(f"{self.url} is not a URL") from exc


class _Attempts:
    """Decides after each attempt at a request whether and when there is another."""

    def __init__(self, service: _Service, request: Request) -> None:
        self._service, self._request = service, request
        self._left = service.retries if request.repeatable else 0
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def pause_after(self, response: httpx2.Response) -> float | None:
        """Return after how many seconds to ask again, or `None` if the response is an answer.

        Raises:
            ServiceError: It is a refusal, and no further attempt is to be made.
        """
        if response.status_code in self._request.accepted:
            return None
        if response.status_code != httpx2.codes.SERVICE_UNAVAILABLE or not self._left:
            raise refusal(response)
        asked_for = response.headers.get("retry-after", "")
        return self._next(at_least=float(asked_for) if asked_for.isdecimal() else 0)

    def pause_after_error(self, exc: httpx2.HTTPError) -> float:
        """Return after how many seconds to ask again.

        Raises:
            ServiceError: No further attempt is to be made.
        """
        if not isinstance(exc, _INTERRUPTIONS) or not self._left:
            raise ServiceError(
                f"no answer from {self._service.url} ({exc}); start the service with `glyphseek serve`"
            ) from exc
        return self._next()

    def _next(self, at_least: float = 0) -> float:
        self._left -= 1
        pause_seconds = max(at_least, self._pause_seconds)
        self._pause_seconds *= 2
        # Not all clients of a service at the same moment.
        return min(LONGEST_PAUSE_SECONDS, pause_seconds) * random.uniform(1, 1.25)


class Client(_Service):
    """Talks to one service; a context manager. Every call raises ServiceError with the service's reason."""

    def __init__(self, url: str, *, timeout_seconds: float = 120.0, retries: int = RETRIES) -> None:
        super().__init__(url, timeout_seconds=timeout_seconds, retries=retries)
        self._http = self._open(httpx2.Client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the service."""
        self._http.close()

    def run(self, steps: Steps[Answer]) -> Answer:
        """Send the requests of a call, and return its answer."""
        with closing(steps):
            try:
                request = next(steps)
                while True:
                    request = steps.send(self._send(request))
            except StopIteration as end:
                return cast(Answer, end.value)

    def _send(self, request: Request) -> httpx2.Response:
        attempts = _Attempts(self, request)
        while True:
            try:
                response = self._http.request(request.method, request.path, **request.content)
                pause_seconds = attempts.pause_after(response)
            except httpx2.HTTPError as exc:
                pause_seconds = attempts.pause_after_error(exc)
            if pause_seconds is None:
                return response
            time.sleep(pause_seconds)


class AsyncClient(_Service):
    """Talks to one service; an async context manager. Every call is awaited, and may raise ServiceError."""

    def __init__(self, url: str, *, timeout_seconds: float = 120.0, retries: int = RETRIES) -> None:
        super().__init__(url, timeout_seconds=timeout_seconds, retries=retries)
        self._http = self._open(httpx2.AsyncClient)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to the service."""
        await self._http.aclose()

    async def run(self, steps: Steps[Answer]) -> Answer:
        """Send the requests of a call, and return its answer."""
        with closing(steps):
            try:
                request = next(steps)
                while True:
                    request = steps.send(await self._send(request))
            except StopIteration as end:
                return cast(Answer, end.value)

    async def _send(self, request: Request) -> httpx2.Response:
        attempts = _Attempts(self, request)
        while True:
            try:
                response = await self._http.request(request.method, request.path, **request.content)
                pause_seconds = attempts.pause_after(response)
            except httpx2.HTTPError as exc:
                pause_seconds = attempts.pause_after_error(exc)
            if pause_seconds is None:
                return response
            await asyncio.sleep(pause_seconds)
