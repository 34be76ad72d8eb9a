"""The service while its database is away, or is there and says nothing, and after that."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from app.settings import Settings
from indexer import database
from indexer.database import migrate
from indexer.embedded import EmbeddedPostgres
from indexer.server_state import server_processes
from tests.app.conftest import spell, wait

REQUESTS = (
    ("GET", "/search?q=coffee"),
    ("POST", "/search"),
    ("POST", "/search/image"),
    ("GET", "/suggest?q=c"),
    ("GET", "/images"),
    ("POST", "/images"),
    ("GET", "/images/1"),
    ("GET", "/images/1/file"),
    ("GET", "/images/1/thumbnail"),
    ("GET", "/images/1/proposals"),
    ("POST", "/images/1/retry"),
    ("DELETE", "/images/1"),
    ("GET", "/jobs/1"),
    ("GET", "/collections"),
    ("POST", "/collections"),
    ("POST", "/reindex"),
    ("GET", "/metrics"),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A Postgres that may be stopped."""
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        migrate(server.url)
        yield server


@pytest.fixture
def settings(tmp_path: Path, server: EmbeddedPostgres) -> Settings:
    """Settings of a service on that database."""
    return Settings(data_dir=tmp_path / "data", database_url=server.url)


def ask(url: str, method: str, path: str) -> tuple[httpx2.Response, float]:
    """Return the answer to a request, and after how many seconds it came."""
    content: dict[str, object] = {}
    if method == "POST" and path in ("/images", "/search/image"):
        content = {"files": {"files": ("a.png", spell("late"))}}
    elif method == "POST":
        content = {"json": {"queries": ["coffee"]} if path == "/search" else {"name": "trip"}}
    started = time.monotonic()
    answer = httpx2.request(method, f"{url}{path}", timeout=60, **content)
    return answer, time.monotonic() - started


def put_in(url: str, words: str) -> None:
    files = {"files": (f"{words}.png", spell(words))}
    (item,) = httpx2.post(f"{url}/images?wait=true", files=files, timeout=70).json()["items"]
    assert item["status"] == "indexed"


def check_refusals(url: str, within_seconds: float) -> None:
    """Every request is answered with 503 in time, and says what to do."""
    with ThreadPoolExecutor(len(REQUESTS) + 1) as pool:
        ready = pool.submit(ask, url, "GET", "/readyz")
        answers = list(pool.map(lambda request: ask(url, *request), REQUESTS))
    for (method, path), (answer, seconds) in zip(REQUESTS, answers, strict=True):
        assert answer.status_code == 503, (method, path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "try again" in answer.json()["detail"]
        assert answer.headers["retry-after"]
        assert seconds < within_seconds, (method, path)
    assert ready.result()[0].status_code == 503
    assert ready.result()[0].json()["checks"]["database"] is False
    assert ready.result()[1] < within_seconds
    assert httpx2.get(f"{url}/livez", timeout=5).status_code == 200


def check_recovery(url: str) -> None:
    """By itself it is ready again, answers, and takes photos in; no refused one is there."""
    deadline = time.monotonic() + 30
    while httpx2.get(f"{url}/readyz", timeout=20).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert httpx2.get(f"{url}/search?q=coffee", timeout=20).json()["hits"][0]["image"]["name"] == "coffee.png"
    put_in(url, "hotel")
    hits = httpx2.get(f"{url}/search?q=hotel", timeout=20).json()["hits"]
    assert [hit["image"]["name"] for hit in hits] == ["hotel.png", "coffee.png"]


def test_a_database_that_is_away(server: EmbeddedPostgres, service_url: str) -> None:
    put_in(service_url, "coffee")
    server.stop()
    check_refusals(service_url, within_seconds=15)
    server.start()
    check_recovery(service_url)


@contextmanager
def halted(folder: Path) -> Iterator[None]:
    """Have the server say nothing, and keep its connections open."""
    processes = [process.pid for process in server_processes(folder)]
    assert processes
    try:
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


def test_a_database_that_hangs(server: EmbeddedPostgres, service_url: str, tmp_path: Path) -> None:
    put_in(service_url, "coffee")
    with halted(tmp_path / "postgres" / "postgres"):
        check_refusals(service_url, within_seconds=30)
    check_recovery(service_url)


def test_a_database_that_begins_to_hang_amid_uploads(
    server: EmbeddedPostgres, service_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "ANSWER_TIMEOUT_SECONDS", 3.0)
    stop = threading.Event()
    answers: list[httpx2.Response] = []

    def send(sender: int) -> None:
        for number in range(300):
            if stop.is_set():
                return
            files = {"files": ("a.png", spell(f"word {sender} {number}"))}
            answers.append(httpx2.post(f"{service_url}/images", files=files, timeout=30))

    with ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(send, sender) for sender in range(4)]
        wait(lambda: len(answers) > 8)
        with halted(tmp_path / "postgres" / "postgres"):
            time.sleep(1)
            stop.set()
            for sender in senders:
                sender.result()
    assert {answer.status_code for answer in answers} == {202, 503}
    taken = {answer.json()["items"][0]["id"] for answer in answers if answer.status_code == 202}

    def indexed() -> bool:
        page = httpx2.get(f"{service_url}/images?status=indexed&limit=1000", timeout=20).json()
        return taken <= {image["id"] for image in page["items"]}

    wait(indexed, seconds=60)
