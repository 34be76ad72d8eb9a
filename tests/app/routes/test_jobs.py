import time

from fastapi.testclient import TestClient

from tests.app.conftest import spell, upload


def test_job_counts_its_photos(client: TestClient, working: None) -> None:
    job = upload(client, ("a.png", spell("a")), ("b.png", spell("b")), ("c.png", b"?"), wait="true").json()[
        "job"
    ]
    state = client.get(f"/jobs/{job}").json()
    assert (state["total"], state["rejected"], state["counts"], state["done"]) == (3, 1, {"indexed": 2}, True)
    assert state["failures"] == []


def test_a_waiting_job_is_not_done(client: TestClient) -> None:
    job = upload(client, ("a.png", spell("a"))).json()["job"]
    assert client.get(f"/jobs/{job}").json()["done"] is False


def test_unknown_job(client: TestClient) -> None:
    assert client.get("/jobs/12345").status_code == 404
    assert client.get("/jobs/x").status_code == 422


def test_everything_can_be_indexed_again(client: TestClient, working: None) -> None:
    upload(client, ("a.png", spell("a")), ("b.png", spell("b")), wait="true")
    answer = client.post("/reindex")
    assert answer.status_code == 202
    assert answer.json()["photos"] == 2
    deadline = time.monotonic() + 10
    while not (state := client.get(f"/jobs/{answer.json()['job']}").json())["done"]:
        assert time.monotonic() < deadline
        assert client.get("/search?q=a").json()["hits"][0]["image"]["name"] == "a.png"
        time.sleep(0.02)
    assert (state["kind"], state["total"], state["counts"]) == ("reindex", 2, {"indexed": 2})
