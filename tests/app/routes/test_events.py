import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
import uvicorn
from fastapi.testclient import TestClient

from app.main import create_app
from app.routes import events
from app.settings import Settings
from tests.app.conftest import spell, upload, wait
from tests.integration.conftest import RandomEncoder

THREADS_OF_THE_POOL = 40


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams of a second, with states every few milliseconds."""
    monkeypatch.setattr(events, "STREAM_SECONDS", 1.0)
    monkeypatch.setattr(events, "POLL_SECONDS", 0.05)


def states(stream: str) -> list[dict[str, object]]:
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines]


def test_a_stream_begins_with_the_present_state_and_ends(client: TestClient) -> None:
    answer = client.get("/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("retry: ")
    assert states(answer.text) == [client.get("/readyz").json()]


def test_changes_are_sent_as_they_come_until_the_service_stops(
    client: TestClient, working: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "STREAM_SECONDS", 60.0)
    with ThreadPoolExecutor() as threads:
        pulse, service = client.app.state.pulse, client.app.state.service  # type: ignore[attr-defined]
        stream = threads.submit(client.get, "/events")
        wait(lambda: pulse._state)
        upload(client, ("a.png", spell("a")), wait="true")
        wait(lambda: json.loads(pulse._state)["images"] == {"indexed": 1})
        service.stopping.set()
        found = states(stream.result().text)
    assert found[0]["images"] == {}
    assert found[-1]["images"] == {"indexed": 1}
    assert found[-1]["index_watermark"] == 1
    assert all(before != after for before, after in itertools.pairwise(found))


def test_the_number_of_streams_is_bounded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_STREAMS", 1)
    monkeypatch.setattr(events, "STREAM_SECONDS", 60.0)
    with ThreadPoolExecutor() as threads:
        pulse, service = client.app.state.pulse, client.app.state.service  # type: ignore[attr-defined]
        first = threads.submit(client.get, "/events")
        wait(lambda: pulse.streams == 1)
        refused = client.get("/events")
        assert refused.status_code == 503
        assert "listening" in refused.json()["detail"]
        service.stopping.set()
        assert first.result().status_code == 200
    assert client.get("/events").status_code == 200


def test_listeners_share_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = []

    class State:
        def model_dump_json(self) -> str:
            return "{}"

    monkeypatch.setattr(events, "readyz", lambda *_: readings.append(1) or State())
    monkeypatch.setattr(events, "POLL_SECONDS", 60)

    async def listen() -> None:
        pulse = events.Pulse()
        await asyncio.gather(*(pulse.state(None) for _ in range(50)))

    asyncio.run(listen())
    assert len(readings) == 1


@pytest.fixture
def server(settings: Settings) -> Iterator[tuple[uvicorn.Server, threading.Thread, str]]:
    """A real server; the test may stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = create_app(settings, RandomEncoder())
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=8))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield server, thread, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_open_streams_hold_no_threads_and_leave_when_the_browser_does(
    server: tuple[uvicorn.Server, threading.Thread, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "STREAM_SECONDS", 60.0)
    running, _, url = server
    pulse = running.config.app.state.pulse
    limits = httpx2.Limits(max_connections=100)
    with httpx2.Client(base_url=url, trust_env=False, limits=limits) as http:
        requests = [http.build_request("GET", "/events") for _ in range(THREADS_OF_THE_POOL + 10)]
        answers = [http.send(request, stream=True) for request in requests]
        assert http.get("/images", timeout=5).status_code == 200
        assert pulse.streams == len(answers)
        for answer in answers:
            answer.close()
    deadline = time.monotonic() + 5
    while pulse.streams and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pulse.streams == 0


def test_an_open_stream_does_not_delay_the_end(
    server: tuple[uvicorn.Server, threading.Thread, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # streams as long as they really are
    running, thread, url = server
    with httpx2.Client(base_url=url, trust_env=False) as http, http.stream("GET", "/events") as answer:
        next(answer.iter_lines())
        started = time.monotonic()
        running.should_exit = True
        thread.join(timeout=8)
        assert not thread.is_alive()
        assert time.monotonic() - started < 6
