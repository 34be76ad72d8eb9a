import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import fetch
from app.settings import Settings
from tests.app.webserver import WebServer


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"fetch_urls": True})


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setattr(fetch, "is_public", lambda address: str(address) == "127.0.0.1")
    with WebServer() as web:
        yield web


def temporaries(settings: Settings) -> list[Path]:
    return list((settings.photos_dir / "tmp").iterdir())


def test_photos_are_fetched_and_found(
    client: TestClient, working: None, web: WebServer, settings: Settings
) -> None:
    names = ["coffee.png", "nowhere.jpg", "page", "hotel.png", "coffee.png"]
    body = {"urls": [f"{web.url}/{name}" for name in names], "collection": "web", "metadata": {"from": "web"}}
    answer = client.post("/images/urls?wait=true", json=body)
    assert answer.status_code == 202
    items = answer.json()["items"]
    assert [item["name"] for item in items] == names
    assert sorted(item["status"] for item in items) == [
        "duplicate",
        "indexed",
        "indexed",
        "rejected",
        "rejected",
    ]
    assert items[3]["status"] == "indexed"
    assert "answered 404" in items[1]["reason"]
    assert "not a picture" in items[2]["reason"]
    hit = client.get("/search?q=hotel&collection=web").json()["hits"][0]
    assert (hit["image"]["name"], hit["image"]["metadata"]) == ("hotel.png", {"from": "web"})
    assert client.get(f"/jobs/{answer.json()['job']}").json()["rejected"] == 2
    assert temporaries(settings) == []


def test_if_none_can_be_fetched_it_is_a_problem_with_the_same_list(
    client: TestClient, web: WebServer, settings: Settings
) -> None:
    answer = client.post("/images/urls", json={"urls": [f"{web.url}/nowhere", f"{web.url}/endless"]})
    assert answer.status_code == 422
    assert [item["status"] for item in answer.json()["items"]] == ["rejected"] * 2
    assert "2,000,000 bytes" in answer.json()["items"][1]["reason"]
    assert temporaries(settings) == []


def test_private_networks_are_out_of_reach(client: TestClient) -> None:
    with WebServer() as web:
        urls = [f"{web.url}/a.png", f"http://localhost:{web.port}/a.png", "http://169.254.169.254/a.png"]
        answer = client.post("/images/urls", json={"urls": urls})
        assert answer.status_code == 422
        assert ["private network" in item["reason"] for item in answer.json()["items"]] == [True] * 3
        assert web.asked == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"urls": []},
        {"urls": "http://example.org"},
        {"urls": [""]},
        {"urls": ["http://example.org/"] * 101},
        {"urls": ["http://example.org/"], "collection": ""},
        {"urls": ["http://example.org/"], "metadata": []},
        {"urls": ["http://example.org/"], "metadata": {"a": 1e300}},  # more than can be kept
        {"urls": ["http://example.org/"], "metadata": {"a": "\0"}},
    ],
)
def test_malformed_requests(client: TestClient, body: object) -> None:
    answer = client.post("/images/urls", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_the_path_is_no_photo(client: TestClient, method: str) -> None:
    answer = client.request(method, "/images/urls")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["allow"] == "POST"


def test_a_full_disk_is_said_and_what_was_taken_before(
    client: TestClient, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = os.replace, count()

    def on_full_disk(*paths: Path) -> None:
        if next(calls):
            raise OSError(28, "No space left on device")
        put(*paths)

    monkeypatch.setattr(os, "replace", on_full_disk)
    urls = [f"{web.url}/{name}.png" for name in ("a", "b", "c")]
    answer = client.post("/images/urls", json={"urls": urls})
    assert answer.status_code == 507
    assert "taken before that, and kept: 1" in answer.json()["detail"]
    (image,) = client.get("/images").json()["items"]
    assert [item["id"] for item in answer.json()["taken"]] == [image["id"]]


class TestSwitchedOff:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"fetch_urls": False})

    def test_nothing_is_fetched(self, client: TestClient, web: WebServer) -> None:
        answer = client.post("/images/urls", json={"urls": [f"{web.url}/a.png"]})
        assert answer.status_code == 403
        assert "GLYPHSEEK_FETCH_URLS=true" in answer.json()["detail"]
        assert web.asked == []
