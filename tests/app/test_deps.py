import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.deps import make_service
from app.main import create_app
from app.settings import Settings
from indexer.database import migrate
from tests.integration.conftest import RandomEncoder


def test_a_service_needs_a_database(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="GLYPHSEEK_DATABASE_URL"):
        make_service(Settings(data_dir=tmp_path), RandomEncoder())


def test_it_waits_for_the_tables(tmp_path: Path, empty_database_url: str) -> None:
    settings = Settings(data_dir=tmp_path, database_url=empty_database_url)
    with TestClient(create_app(settings, RandomEncoder()), base_url="http://localhost") as client:
        checks = client.get("/readyz").json()["checks"]
        assert (checks["database"], checks["migrations"], checks["index"]) == (True, False, False)
        migrate(empty_database_url)
        deadline = time.monotonic() + 10
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert client.get("/search?q=a").json()["total"] == 0


def test_the_index_is_saved_at_the_end(settings: Settings) -> None:
    with TestClient(create_app(settings, RandomEncoder()), base_url="http://localhost") as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.05)
        assert not settings.snapshot.exists()
    assert settings.snapshot.stat().st_size > 0
