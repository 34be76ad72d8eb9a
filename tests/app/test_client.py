import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app import client as clients
from app.client import AsyncClient, Client, Photo, ServiceError
from tests.app.conftest import spell

JOB = {"id": 1, "kind": "upload", "created_at": "2026-01-01T00:00:00Z", "total": 1, "rejected": 0}
JOB |= {"counts": {}, "done": True, "failures": []}
ITEM = {"id": 1, "name": "a.png", "sha256": "0" * 64, "status": "queued", "reason": None}
ANSWERS = {
    "/jobs/1": (200, JOB),
    "/images": (202, {"items": [ITEM], "job": 1}),
    "/reindex": (202, {"job": 1, "photos": 0, "model_version": "1"}),
}


class Flaky:
    """A service that goes through its troubles first: `drop` closes the connection, a number is a status."""

    def __init__(self, *troubles: str | int) -> None:
        self.troubles = list(troubles)
        self.bodies: list[bytes] = []
        flaky = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                flaky.bodies.append(self.rfile.read(int(self.headers.get("content-length", 0))))
                trouble = flaky.troubles.pop(0) if flaky.troubles else None
                if trouble == "drop":
                    self.close_connection = True
                    return
                path = self.path.partition("?")[0]
                status, body = ANSWERS[path] if trouble is None else (trouble, {"detail": "not now"})
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def flaky() -> Iterator[Callable[..., Flaky]]:
    """Start services that are in trouble."""
    started = []

    def start(*troubles: str | int) -> Flaky:
        service = Flaky(*troubles)
        thread = threading.Thread(target=service.server.serve_forever, args=(0.01,))
        thread.start()
        started.append((service, thread))
        return service

    yield start
    for service, thread in started:
        service.server.shutdown()
        thread.join()
        service.server.server_close()


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "FIRST_PAUSE_SECONDS", 0.01)


def ask(
    kind: type[Client] | type[AsyncClient], url: str, name: str, *arguments: object, **options: int
) -> object:
    """Make one call with a client of this kind."""
    if kind is Client:
        with Client(url, **options) as client:
            return getattr(client, name)(*arguments)

    async def ask_later() -> object:
        async with AsyncClient(url, **options) as client:
            return await getattr(client, name)(*arguments)

    return asyncio.run(ask_later())


both = pytest.mark.parametrize("kind", [Client, AsyncClient])


@both
def test_questions_and_uploads_are_repeated(flaky: Callable[..., Flaky], kind: type[Client]) -> None:
    service = flaky("drop", 503, "drop")
    assert ask(kind, service.url, "job", 1).id == 1  # type: ignore[attr-defined]
    assert len(service.bodies) == 4
    service = flaky(503, "drop")
    data = spell("a")
    answer = ask(kind, service.url, "upload", [Photo("a.png", data)])
    assert answer.items[0].status == "queued"  # type: ignore[attr-defined]
    assert [data in body for body in service.bodies] == [True] * 3, "all of it each time"


@both
@pytest.mark.parametrize("trouble", ["drop", 503])
def test_what_might_be_done_twice_is_not_repeated(
    flaky: Callable[..., Flaky], kind: type[Client], trouble: str | int
) -> None:
    service = flaky(trouble)
    with pytest.raises(ServiceError):
        ask(kind, service.url, "reindex")
    assert len(service.bodies) == 1


@both
@pytest.mark.parametrize(("status", "attempts"), [(503, 3), (404, 1), (500, 1), (507, 1)])
def test_refusals_are_errors_with_the_reason(
    flaky: Callable[..., Flaky], kind: type[Client], status: int, attempts: int
) -> None:
    service = flaky(*[status] * 9)
    with pytest.raises(ServiceError, match="not now"):
        ask(kind, service.url, "job", 1, retries=2)
    assert len(service.bodies) == attempts


@both
def test_nobody_there(kind: type[Client]) -> None:
    started = time.monotonic()
    with pytest.raises(ServiceError, match="start the service with `glyphseek serve`"):
        ask(kind, "http://127.0.0.1:1", "job", 1, retries=2)
    assert 0.03 <= time.monotonic() - started < 10


def test_pauses_grow_up_to_a_limit_and_as_the_service_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "FIRST_PAUSE_SECONDS", 1.0)
    request = clients.Request("GET", "/")
    with Client("http://127.0.0.1", retries=6) as client:
        attempts = clients._Attempts(client, request)
        pauses = [attempts.pause_after_error(clients.httpx2.ConnectError("")) for _ in range(6)]
        for pause, least in zip(pauses, [1, 2, 4, 8, 10, 10], strict=True):
            assert least <= pause <= 1.25 * least
        for asked_for, least in (("3", 3), ("1000", 10), ("Wed, 21 Oct", 1)):
            busy = clients.httpx2.Response(503, headers={"Retry-After": asked_for})
            pause = clients._Attempts(client, request).pause_after(busy)
            assert pause is not None
            assert least <= pause <= 1.25 * least


def test_async_calls_run_side_by_side(service_url: str) -> None:
    async def go() -> tuple[list[str], int]:
        async with AsyncClient(service_url) as client:
            words = ["coffee", "hotel", "tea"]
            uploads = [client.upload([Photo(f"{word}.png", spell(word))], wait=True) for word in words]
            answers = await asyncio.gather(*uploads)
            found = await asyncio.gather(*(client.search(word) for word in words))
            assert [answer.items[0].status for answer in answers] == ["indexed"] * 3
            return [answer.hits[0].image.name for answer in found], (await client.health()).images["indexed"]

    assert asyncio.run(go()) == (["coffee.png", "hotel.png", "tea.png"], 3)


def test_both_clients_have_all_calls_and_describe_them() -> None:
    for name in ("search", "upload", "collections", "drop_collection"):
        for kind in (Client, AsyncClient):
            assert getattr(kind, name).__doc__


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_not_a_url(kind: type[Client]) -> None:
    with pytest.raises(ServiceError, match="is not a URL"):
        kind("http://[::1")
