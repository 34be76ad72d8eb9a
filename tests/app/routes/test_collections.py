from fastapi.testclient import TestClient

from tests.app.conftest import spell, upload


def test_collections_are_listed_by_name_with_their_photos(client: TestClient, working: None) -> None:
    assert client.get("/collections").json() == {"items": []}
    upload(client, ("a.png", spell("a")), ("b.png", spell("b")), collection="trip", wait="true")
    upload(client, ("c.png", spell("c")), collection="home", wait="true")
    assert client.get("/collections").json()["items"] == [
        {"name": "home", "images": {"indexed": 1}},
        {"name": "trip", "images": {"indexed": 2}},
    ]


def test_waiting_photos_are_counted_too(client: TestClient) -> None:
    upload(client, ("a.png", spell("a")))
    assert client.get("/collections").json()["items"] == [{"name": "default", "images": {"queued": 1}}]
