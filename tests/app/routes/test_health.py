from pathlib import Path

from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.conftest import spell, upload
from tests.integration.conftest import RandomEncoder


def test_ready_when_everything_is(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert all(answer.json()["checks"].values())


def test_without_a_database_it_lives_but_is_not_ready(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=f"postgresql:///x?host={tmp_path}")
    with TestClient(create_app(settings, RandomEncoder()), base_url="http://localhost") as client:
        assert client.get("/livez").status_code == 200
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["database"] is False
        for path in ("/images", "/search?q=a", "/metrics", "/jobs/1"):
            refused = client.get(path)
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["retry-after"]


def test_metrics_count(client: TestClient, working: None) -> None:
    upload(client, ("a.png", spell("a")), ("b.png", b"?"), wait="true")
    client.get("/search?q=a")
    page = client.get("/metrics").text
    assert 'glyphseek_images{status="indexed"} 1.0' in page
    assert 'glyphseek_uploaded_files_total{status="rejected"} 1.0' in page
    assert "glyphseek_searches_total 1.0" in page
    assert "glyphseek_index_images 1.0" in page
