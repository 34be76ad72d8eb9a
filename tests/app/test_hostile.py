"""The service under attack, through real connections."""

import contextlib
import io
import json
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import text

from app.main import create_app
from app.settings import Settings
from indexer import images, queries, queue, worker
from indexer.blobs import BlobStore
from indexer.database import create_engine, session_scope
from indexer.sandbox import Sandbox
from model.encoder import Encoder
from tests.app import decoders
from tests.app.conftest import connect, spell, stored, upload, wait
from tests.integration.conftest import RandomEncoder

HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
END = b"\r\n--b--\r\n"


def post_head(length: int) -> bytes:
    return (
        b"POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )


def status(connection: socket.socket) -> int:
    """Return the status of the answer, 0 if the connection was closed without one."""
    found = re.match(rb"HTTP/1.1 (\d+) ", connection.recv(65536))
    return int(found[1]) if found else 0


def search_seconds(url: str) -> float:
    started = time.monotonic()
    assert httpx2.get(f"{url}/search?q=coffee", timeout=20).status_code == 200
    return time.monotonic() - started


def test_slow_uploads_leave_searches_alone_and_broken_ones_leave_nothing(
    service_url: str, settings: Settings
) -> None:
    bodies = [HEAD + spell(f"word{number}") + END for number in range(settings.max_uploads)]
    connections = [connect(service_url, post_head(len(body)) + body[: len(HEAD) + 20]) for body in bodies]
    wait(lambda: len(stored(settings)) == settings.max_uploads)
    for connection, body in zip(connections, bodies, strict=True):  # a trickle
        connection.sendall(body[len(HEAD) + 20 :][:1])
    assert max(search_seconds(service_url) for _ in range(5)) < 5  # also on a very busy machine
    further = httpx2.post(f"{service_url}/images", files={"files": ("a.png", spell("x"))}, timeout=20)
    assert further.status_code == 503
    assert further.headers["content-type"] == "application/problem+json"
    assert further.headers["retry-after"]
    half = settings.max_uploads // 2
    for connection in connections[:half]:  # these go away
        connection.close()
    for connection, body in zip(connections[half:], bodies[half:], strict=True):
        connection.sendall(body[len(HEAD) + 21 :])
    assert {status(connection) for connection in connections[half:]} == {202}
    for connection in connections[half:]:
        connection.close()
    wait(lambda: not any((settings.photos_dir / "tmp").iterdir()))
    listed = httpx2.get(f"{service_url}/images?limit=1000", timeout=20).json()["items"]
    assert len(listed) == settings.max_uploads - half


def test_headers_that_never_end_leave_searches_alone(service_url: str) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(connect(service_url, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "))
        assert max(search_seconds(service_url) for _ in range(3)) < 5


def test_large_bodies_are_refused_where_none_is_needed(service_url: str) -> None:
    big = b" " * 3_000_000
    headers = {"Content-Type": "application/json"}
    for content in (big, iter([big])):
        answer = httpx2.post(f"{service_url}/search", content=content, headers=headers, timeout=20)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        {"If-None-Match": "*"},
        {"If-None-Match": '"' + "x" * 10_000},
        {"Range": "bytes=5-1"},
        {"Range": "bytes=0-0"},
        {"Range": "pages=" + "1-2," * 1000},
    ],
)
def test_odd_headers_on_files(client: TestClient, headers: dict[str, str]) -> None:
    data = spell("x")
    image_id = upload(client, ("a.png", data)).json()["items"][0]["id"]
    answer = client.get(f"/images/{image_id}/file", headers=headers)
    assert (answer.status_code, answer.content) in [(304, b""), (200, data)]


@pytest.fixture
def impatient() -> Iterator[Sandbox]:
    """A sandbox in which a picture may take two seconds."""
    with Sandbox(max_pixels=1_000_000, processes=1, timeout_seconds=2) as sandbox:
        yield sandbox


@pytest.fixture
def bad_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some pictures hang the decoder, or have it take all memory."""
    monkeypatch.setattr(images, "inspect", decoders.inspect)
    monkeypatch.setattr(images, "decode", decoders.decode)


def test_picture_that_hangs_the_decoder_costs_itself_alone_at_the_door(
    client: TestClient, settings: Settings, impatient: Sandbox, bad_decoder: None
) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    own, service.sandbox = service.sandbox, impatient
    kinds = ("good", "hang", "devour", "fine")
    items = upload(client, *[(f"{kind}.png", spell("x") + kind.encode()) for kind in kinds]).json()["items"]
    service.sandbox = own
    assert [item["status"] for item in items] == ["queued", "rejected", "rejected", "queued"]
    assert "more than 2 s" in items[1]["reason"]
    assert "memory" in items[2]["reason"]
    assert len(stored(settings)) == 2


def test_picture_that_hangs_the_decoder_costs_itself_alone_in_the_worker(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch, impatient: Sandbox
) -> None:
    kinds = ("hang", "good", "devour", "fine")
    files = [(f"{kind}.png", spell("word") + kind.encode()) for kind in kinds]
    ids = [item["id"] for item in upload(client, *files).json()["items"]]
    monkeypatch.setattr(images, "decode", decoders.decode)
    monkeypatch.setattr(worker, "Sandbox", lambda **_: impatient)
    monkeypatch.setattr(queue, "BACKOFF_SECONDS", (3600,) * 3)  # what failed is not tried again meanwhile
    stop = threading.Event()
    arguments = settings.database_url, RandomEncoder(), BlobStore(settings.photos_dir)
    thread = threading.Thread(target=worker.run, args=arguments, kwargs={"stop": stop})
    thread.start()
    try:
        wait(lambda: client.get(f"/images/{ids[0]}").json()["reason"])
        wait(lambda: client.get(f"/images/{ids[2]}").json()["reason"])
        wait(lambda: client.get(f"/images/{ids[3]}").json()["status"] == "indexed")
        found = [client.get(f"/images/{image_id}").json() for image_id in ids]
    finally:
        stop.set()
        thread.join()
    assert [image["status"] for image in found] == ["queued", "indexed", "queued", "indexed"]
    assert "more than 2 s" in found[0]["reason"]
    assert "memory" in found[2]["reason"]


METADATA = {
    "large": 10**400,
    "deep": json.loads("[" * 30 + "]" * 30),
    "text": "\u202eא😀\ufffe" * 100,
    "numbers": [1e15, -1e-30, -0.0, 2**63],
    "": None,
}


def test_extreme_metadata_come_back_everywhere(client: TestClient, working: None) -> None:
    item = upload(client, ("a.png", spell("coffee")), wait="true", metadata=json.dumps(METADATA)).json()[
        "items"
    ][0]
    answers = [
        client.get(f"/images/{item['id']}").json(),
        client.get("/images").json()["items"][0],
        client.get("/search?q=coffee").json()["hits"][0]["image"],
    ]
    assert all(answer["metadata"] == METADATA for answer in answers)


def test_deepest_page_of_many_queries(client: TestClient, working: None) -> None:
    upload(client, *[(f"{n}.png", spell(f"word{n}")) for n in range(5)], wait="true")
    body = {"queries": ["word"] * 100, "limit": 100, "offset": 10**9, "min_score": -1}
    results = client.post("/search", json=body).json()["results"]
    assert [(result["total"], result["hits"]) for result in results] == [(5, [])] * 100
    body["offset"] = 0
    results = client.post("/search", json=body).json()["results"]
    assert all(len(result["hits"]) == 5 for result in results)
    assert math.isclose(
        client.get("/search?q=word&min_score=-1").json()["hits"][0]["score"], results[0]["hits"][0]["score"]
    )


def test_smallest_and_longest_pictures_go_all_the_way(settings: Settings) -> None:
    encoder, stop = Encoder(device="cpu", threads=1), threading.Event()
    arguments = settings.database_url, encoder, BlobStore(settings.photos_dir)
    thread = threading.Thread(target=worker.run, args=arguments, kwargs={"stop": stop})
    thread.start()
    sizes = [(1, 1), (10_000, 30), (30, 10_000)]
    files = []
    for size in sizes:
        buffer = io.BytesIO()
        Image.new("RGB", size, "white").save(buffer, "PNG")
        files.append((f"{size}.png", buffer.getvalue()))
    with TestClient(create_app(settings, encoder), base_url="http://localhost") as client:
        wait(lambda: client.get("/readyz").status_code == 200)
        items = upload(client, *files, wait="true").json()["items"]
        assert [item["status"] for item in items] == ["indexed"] * 3
        hits = client.get("/search?q=coffee").json()["hits"]
        assert sorted((hit["image"]["width"], hit["image"]["height"]) for hit in hits) == sorted(sizes)
        for hit in hits:
            with Image.open(io.BytesIO(client.get(hit["image"]["thumbnail_url"]).content)) as thumbnail:
                assert min(thumbnail.size) >= 1
                assert max(thumbnail.size) <= 480
    stop.set()
    thread.join()


def test_same_photo_from_many_clients_at_once_is_one(service_url: str, settings: Settings) -> None:
    files = {"files": ("a.png", spell("coffee"))}

    def send(number: int) -> dict[str, object]:
        answer = httpx2.post(f"{service_url}/images", files=files, data={"collection": "new"}, timeout=60)
        assert answer.status_code == 202, answer.text
        item: dict[str, object] = answer.json()["items"][0]
        return item

    with ThreadPoolExecutor(16) as pool:
        items = list(pool.map(send, range(32)))
    assert len({item["id"] for item in items}) == 1
    assert [item["status"] for item in items].count("duplicate") == 31


def test_deleting_amid_uploads_downloads_and_indexing_breaks_nothing(
    service_url: str, settings: Settings
) -> None:
    deadline = time.monotonic() + 4
    seen: set[int] = set()

    def hammer(act: Callable[[httpx2.Client], httpx2.Response]) -> None:
        with httpx2.Client(base_url=service_url, timeout=60) as client:
            while time.monotonic() < deadline:
                seen.add(act(client).status_code)

    def newest(client: httpx2.Client) -> int:
        items = client.get("/images").json()["items"]
        return int(items[-1]["id"]) if items else 1

    def send(client: httpx2.Client) -> httpx2.Response:
        return client.post("/images", files={"files": ("a.png", spell("coffee"))})

    acts: list[Callable[[httpx2.Client], httpx2.Response]] = [
        send,
        send,
        lambda client: client.delete(f"/images/{newest(client)}"),
        lambda client: client.get(f"/images/{newest(client)}/file"),
        lambda client: client.get(f"/images/{newest(client)}/thumbnail"),
        lambda client: client.post(f"/images/{newest(client)}/retry"),
        lambda client: client.get("/search?q=coffee"),
    ]
    with ThreadPoolExecutor(len(acts)) as pool:
        list(pool.map(hammer, acts))
    assert seen <= {200, 202, 204, 404}
    httpx2.post(f"{service_url}/images?wait=true", files={"files": ("a.png", spell("coffee"))}, timeout=70)
    (image,) = httpx2.get(f"{service_url}/images", timeout=20).json()["items"]
    assert image["status"] == "indexed"
    assert httpx2.get(f"{service_url}/images/{image['id']}/file", timeout=20).content == spell("coffee")
    hits = httpx2.get(f"{service_url}/search?q=coffee", timeout=20).json()["hits"]
    assert [hit["image"]["id"] for hit in hits] == [image["id"]]


def test_photo_deleted_before_its_job_is_noted(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = queries.create_job

    def too_late(session: object, **options: object) -> int:
        engine = create_engine(str(settings.database_url))
        with session_scope(engine) as other:
            other.execute(text("DELETE FROM images"))
        engine.dispose()
        return create(session, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(queries, "create_job", too_late)
    answer = upload(client, ("a.png", spell("x")))
    assert answer.status_code == 202
    job = client.get(f"/jobs/{answer.json()['job']}").json()
    assert (job["total"], job["counts"], job["done"]) == (1, {}, True)


def test_reasons_and_details_name_no_path(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = upload(client, ("a.png", spell("x"))).json()["items"][0]["id"]
    for path in stored(settings):
        path.unlink()
    texts = [client.get(f"/images/{image_id}/{kind}").text for kind in ("file", "thumbnail")]
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(PermissionError(13, "no", "/secret")))
    answer = upload(client, ("b.png", spell("y")))
    assert answer.status_code == 500
    texts.append(answer.text)
    for shown in texts:
        assert json.loads(shown)["title"]
        assert not re.search(r"/(tmp|secret|home|work|usr)|Traceback|File ", shown)
