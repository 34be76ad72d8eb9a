import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.settings import Settings
from tests.app.conftest import MAX_REQUEST_BYTES, spell, stored


def post(client: TestClient, *files: bytes, words: str | None = None, name: str = "files") -> Response:
    parts = [(name, (f"{index}.png", data)) for index, data in enumerate(files)]
    return client.post("/annotate", files=parts, data={} if words is None else {"words": words})


def test_every_word_has_its_place(client: TestClient, settings: Settings) -> None:
    answer = post(client, spell("coffee shop"), words="Shop\n coffee  tea")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["width"], body["height"]) == (64, 8)
    assert {"decode", "network", "total"} <= body["took_ms"].keys()
    shop, coffee, tea = body["words"]
    assert (shop["word"], shop["text"], shop["box"]) == ("Shop", "shop", [10, 0, 18, 4])
    assert len(shop["quad"]) == 4
    assert shop["score"] == pytest.approx(1, abs=1e-3)
    assert coffee["box"] == [0, 0, 8, 4]
    assert tea == {"word": "tea", "box": None, "quad": None, "score": None, "text": None}
    assert stored(settings) == []
    assert client.get("/images").json()["items"] == []


def test_a_photo_without_text_has_no_places(client: TestClient) -> None:
    assert post(client, spell(""), words="tea").json()["words"][0]["box"] is None


@pytest.mark.parametrize(
    ("files", "options", "status", "part"),
    [
        ([spell("a")], {}, 422, "no words in the form field `words`"),
        ([spell("a")], {"words": " \n"}, 422, "no words"),
        ([], {"words": "a"}, 415, "multipart/form-data"),  # a form without files is of another kind
        ([spell("a")], {"words": "a", "name": "photo"}, 422, "form field `files`"),
        ([spell("a"), spell("b")], {"words": "a"}, 413, "more than 1 files"),
        ([spell("a")], {"words": "a " * 101}, 422, "there may be 100"),
        ([spell("a")], {"words": "a" * 201}, 422, "200 characters"),
        ([spell("a")], {"words": "!"}, 422, "words: a query needs a letter"),
        ([b"text"], {"words": "a"}, 422, "not a picture"),
        ([b""], {"words": "a"}, 422, "the file is empty"),
        ([b"\0" * (MAX_REQUEST_BYTES + 1)], {"words": "a"}, 413, "bytes"),
    ],
)
def test_what_cannot_be_annotated_is_said(
    client: TestClient, settings: Settings, files: list[bytes], options: Any, status: int, part: str
) -> None:
    answer = post(client, *files, **options)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert part in answer.json()["detail"]
    assert stored(settings) == []
    assert post(client, spell("a"), words="a").status_code == 200  # the next one has its turn


def test_photos_are_annotated_one_at_a_time(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    encode, begun, go_on = service.encoder.encode_images, threading.Event(), threading.Event()

    def slowly(pictures: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return encode(pictures)

    monkeypatch.setattr(service.encoder, "encode_images", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, client, spell("a"), words="a")
        assert begun.wait(20)
        busy = post(client, spell("b"), words="b")
        assert client.get("/search?q=a").status_code == 200  # all else goes on
        go_on.set()
        assert first.result().status_code == 200
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
    assert "another photo is being looked at" in busy.json()["detail"]
    assert post(client, spell("b"), words="b").status_code == 200


def test_too_many_uploads_keep_out(client: TestClient, settings: Settings) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    full, service.uploads = service.uploads, type(service.uploads)(0)
    answer = post(client, spell("a"), words="a")
    service.uploads = full
    assert (answer.status_code, "too many uploads" in answer.text) == (503, True)


def test_a_network_that_fails_is_no_secret(client: TestClient, settings: Settings) -> None:
    answer = post(client, spell("?"), words="a")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert stored(settings) == []
