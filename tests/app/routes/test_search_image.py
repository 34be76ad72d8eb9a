"""Search by a photo, which is not kept."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.settings import Settings
from tests.app.conftest import MAX_REQUEST_BYTES, spell, stored, upload


def ask(client: TestClient, *files: bytes, name: str = "files", **params: Any) -> Response:
    parts = [(name, (f"{index}.png", data)) for index, data in enumerate(files)]
    return client.post("/search/image", files=parts, params=params)


def test_photos_with_the_words_of_a_photo_come_first(client: TestClient, working: None) -> None:
    texts = ["coffee shop", "coffee", "zebra"]
    upload(client, *[(f"{n}.png", spell(text)) for n, text in enumerate(texts)], wait="true")
    answer = ask(client, spell("shop coffee tea")).json()
    assert [hit["image"]["name"] for hit in answer["hits"]][:2] == ["0.png", "1.png"]
    assert answer["words"] == [region["word"] for region in answer["regions"]] == ["shop", "coffee", "tea"]
    assert answer["regions"][1]["box"] == [10, 0, 18, 4]
    assert {box["word"] for box in answer["hits"][0]["boxes"]} >= {"shop", "coffee"}
    assert {"encode", "index", "database", "total"} <= answer["took_ms"].keys()
    assert client.get("/images").json()["items"][-1]["name"] == "2.png"
    few = ask(client, spell("coffee"), match="exact", limit=1, offset=1).json()
    assert (few["total"], len(few["hits"])) == (2, 1)


@pytest.mark.parametrize(
    ("files", "options", "status", "part"),
    [
        ([spell("")], {}, 422, "no text was found"),
        ([], {}, 415, "multipart/form-data"),
        ([spell("a")], {"name": "photo"}, 422, "form field `files`"),
        ([spell("a"), spell("b")], {}, 413, "more than 1 files"),
        ([spell("a")], {"limit": 0}, 422, "limit"),
        ([spell("a")], {"where": "x"}, 422, "where"),
        ([spell("a")], {"collection": "nowhere"}, 404, "collection"),
        ([b"text"], {}, 422, "not a picture"),
        ([b"\0" * (MAX_REQUEST_BYTES + 1)], {}, 413, "bytes"),
    ],
)
def test_what_cannot_be_searched_with_is_said(
    client: TestClient, settings: Settings, files: list[bytes], options: Any, status: int, part: str
) -> None:
    answer = ask(client, *files, **options)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert part in answer.json()["detail"]
    assert stored(settings) == []


def test_one_photo_at_a_time(client: TestClient, working: None, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(client, ("a.png", spell("a")), wait="true")  # so that there is an index to search
    service = client.app.state.service  # type: ignore[attr-defined]
    encode, begun, go_on = service.encoder.encode_images, threading.Event(), threading.Event()

    def slowly(pictures: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return encode(pictures)

    monkeypatch.setattr(service.encoder, "encode_images", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, client, spell("a"))
        assert begun.wait(20)
        busy = ask(client, spell("b"))
        assert client.get("/search?q=a").status_code == 200  # all else goes on
        go_on.set()
        assert first.result().status_code == 200
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
    assert ask(client, spell("b")).status_code == 200
