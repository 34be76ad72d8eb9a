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
