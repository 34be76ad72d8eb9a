import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.settings import Settings
from tests.app.conftest import spell, upload


def photo_files(settings: Settings) -> list[Path]:
    return [path for path in settings.photos_dir.rglob("*") if path.is_file()]


def listed(client: TestClient) -> dict[str, dict[str, object]]:
    return {item.pop("name"): item for item in client.get("/collections").json()["items"]}


def test_collections_are_listed_by_name_with_what_they_hold(client: TestClient, working: None) -> None:
    assert client.get("/collections").json() == {"items": []}
    upload(client, ("a.png", spell("a")), ("b.png", spell("b")), collection="trip", wait="true")
    upload(client, ("c.png", spell("c")), collection="home", wait="true")
    items = client.get("/collections").json()["items"]
    assert [(item["name"], item["images"]) for item in items] == [
        ("home", {"indexed": 1}),
        ("trip", {"indexed": 2}),
    ]
    assert [item["bytes_used"] for item in items] == [len(spell("c")), len(spell("a")) + len(spell("b"))]
    assert [item["quota_bytes"] for item in items] == [None, None]
    assert items[0]["created_at"] > items[1]["created_at"]


def test_waiting_photos_are_counted_too(client: TestClient) -> None:
    upload(client, ("a.png", spell("a")))
    assert listed(client)["default"]["images"] == {"queued": 1}


def test_a_collection_is_made_once(client: TestClient) -> None:
    answer = client.post("/collections", json={"name": "trip", "quota_bytes": 1000})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["images"], made["bytes_used"], made["quota_bytes"]) == ("trip", {}, 0, 1000)
    again = client.post("/collections", json={"name": "trip"})
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
    assert "already" in again.json()["detail"]
    assert listed(client)["trip"]["quota_bytes"] == 1000


def test_photos_go_with_a_collection_that_is_renamed(client: TestClient, working: None) -> None:
    image_id = upload(client, ("a.png", spell("a")), collection="a/b ü?", wait="true").json()["items"][0][
        "id"
    ]
    answer = client.patch("/collections/a%2Fb%20%C3%BC%3F", json={"name": "home"})
    assert answer.status_code == 200
    assert answer.json()["images"] == {"indexed": 1}
    assert client.get(f"/images/{image_id}").json()["collection"] == "home"
    assert client.get("/search?q=a&collection=home").json()["total"] == 1
    assert list(listed(client)) == ["home"]
    assert client.patch("/collections/home", json={"name": "home"}).status_code == 200  # to what it is called


def test_no_collection_takes_the_name_of_another(client: TestClient) -> None:
    for name in ("one", "two"):
        client.post("/collections", json={"name": name})
    answer = client.patch("/collections/one", json={"name": "two", "quota_bytes": 5})
    assert answer.status_code == 409
    assert listed(client)["one"]["quota_bytes"] is None  # all or nothing


def test_quota_is_set_changed_and_lifted(client: TestClient) -> None:
    client.post("/collections", json={"name": "small"})
    for quota in (100, 0, None):
        assert client.patch("/collections/small", json={"quota_bytes": quota}).json()["quota_bytes"] == quota
    client.patch("/collections/small", json={"quota_bytes": 7})
    assert client.patch("/collections/small", json={}).json()["quota_bytes"] == 7  # nothing to change


def test_a_full_collection_takes_no_more(client: TestClient, settings: Settings) -> None:
    first, second = spell("first"), spell("second")
    room = len(first) + len(second) - 1
    client.post("/collections", json={"name": "small", "quota_bytes": room})
    answer = upload(client, ("a.png", first), ("b.png", second), ("c.png", first), collection="small")
    items = answer.json()["items"]
    assert [item["status"] for item in items] == ["queued", "rejected", "duplicate"]
    assert f"{room:,} bytes" in items[1]["reason"]
    assert len(photo_files(settings)) == 1  # nothing is left of the refused one
    assert listed(client)["small"]["bytes_used"] == len(first)
    refused = upload(client, ("b.png", second), collection="small")
    assert refused.status_code == 422
    client.patch("/collections/small", json={"quota_bytes": room + 1})
    assert upload(client, ("b.png", second), collection="small").status_code == 202


def test_dropping_photos_must_be_asked_for(client: TestClient, settings: Settings, working: None) -> None:
    upload(client, ("a.png", spell("one")), ("b.png", spell("two")), collection="trip", wait="true")
    upload(client, ("a.png", spell("one")), collection="home", wait="true")
    refused = client.delete("/collections/trip")
    assert refused.status_code == 409
    assert "photos in it: 2" in refused.json()["detail"]
    assert "?photos=delete" in refused.json()["detail"]
    assert listed(client)["trip"]["images"] == {"indexed": 2}

    assert client.delete("/collections/trip?photos=delete").status_code == 204
    assert list(listed(client)) == ["home"]
    service = client.app.state.service  # type: ignore[attr-defined]
    assert service.follower.wait_until(5, timeout_seconds=10)
    assert [hit["image"]["collection"] for hit in client.get("/search?q=one").json()["hits"]] == ["home"]
    assert client.get("/images/3/file").content == spell("one")  # the bytes are shared
    assert len(photo_files(settings)) == 2  # a photo and its thumbnail
    assert client.delete("/collections/trip").status_code == 404


def test_an_empty_collection_is_dropped_without_more_ado(client: TestClient) -> None:
    client.post("/collections", json={"name": "empty"})
    assert client.delete("/collections/empty").status_code == 204
    assert listed(client) == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "", {}, 422),  # no name
        ("POST", "", {"name": ""}, 422),
        ("POST", "", {"name": "x" * 101}, 422),
        ("POST", "", {"name": "a\nb"}, 422),
        ("POST", "", {"name": " "}, 422),
        ("DELETE", "/%20", None, 422),
        ("POST", "", {"name": "\ud800"}, 422),  # half a character
        ("POST", "", {"name": "a", "quota_bytes": -1}, 422),
        ("POST", "", {"name": "a", "quota_bytes": 2**63}, 422),  # more than Postgres can count
        ("POST", "", {"name": "a", "quota_bytes": "big"}, 422),
        ("POST", "", {"name": "a", "quota_bytes": True}, 422),
        ("POST", "", [], 422),
        ("PATCH", "/nowhere", {"name": "b"}, 404),
        ("PATCH", "/nowhere", {"quota_bytes": 1}, 404),
        ("PATCH", "/nowhere", {}, 404),
        ("PATCH", "/", {"name": "b"}, 422),  # the empty name
        ("PATCH", "/a%00b", {"name": "b"}, 422),
        ("DELETE", "/nowhere", None, 404),
        ("DELETE", "/nowhere?photos=delete", None, 404),
        ("DELETE", "/nowhere?photos=maybe", None, 422),
        ("DELETE", "/" + "x" * 101, None, 422),
    ],
)
def test_mistakes_are_problems(client: TestClient, method: str, path: str, body: object, status: int) -> None:
    content = None if body is None else json.dumps(body)
    headers = {"Content-Type": "application/json"}
    answer = client.request(method, f"/collections{path}", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
