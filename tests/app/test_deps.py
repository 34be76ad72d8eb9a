import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import deps
from app.deps import make_service
from app.main import create_app
from app.settings import Settings
from indexer.database import Engine, MigrationState, migrate
from indexer.errors import DatabaseRefuses
from tests.app.conftest import spell, upload
from tests.integration.conftest import RandomEncoder


def test_a_service_needs_a_database(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="GLYPHSEEK_DATABASE_URL"):
        make_service(Settings(data_dir=tmp_path), RandomEncoder())


def test_it_waits_for_the_tables(tmp_path: Path, empty_database_url: str) -> None:
    settings = Settings(data_dir=tmp_path, database_url=empty_database_url)
    with TestClient(create_app(settings, RandomEncoder()), base_url="http://localhost") as client:
        checks = client.get("/readyz").json()["checks"]
        assert (checks["database"], checks["migrations"], checks["index"]) == (True, False, False)
        for method, path in (("POST", "/reindex"), ("GET", "/images"), ("GET", "/jobs/1")):
            refused = client.request(method, path)
            assert refused.status_code == 503
            assert "glyphseek migrate" in refused.json()["detail"]
        migrate(empty_database_url)
        deadline = time.monotonic() + 10
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert client.get("/search?q=a").json()["total"] == 0


def test_it_goes_on_looking_whatever_the_database_says(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [RuntimeError("a surprise"), DatabaseRefuses(reason="permission denied")]
    look = deps.migration_state

    def refuse(engine: Engine) -> MigrationState:
        if errors:
            raise errors.pop(0)
        return look(engine)

    monkeypatch.setattr(deps, "migration_state", refuse)
    monkeypatch.setattr(deps, "RETRY_SECONDS", 0.05)
    with TestClient(create_app(settings, RandomEncoder()), base_url="http://localhost") as client:
        deadline = time.monotonic() + 10
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not errors


def test_the_index_is_saved_at_the_end(settings: Settings) -> None:
    with TestClient(create_app(settings, RandomEncoder()), base_url="http://localhost") as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.05)
        assert not settings.snapshot.exists()
    assert settings.snapshot.stat().st_size > 0


def test_the_network_that_indexed_the_photos_answers_until_the_new_one_has_done_so(
    settings: Settings, client: TestClient, working: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(client, ("a.png", spell("coffee")), wait="true")
    newer = RandomEncoder(version="2" * 64)
    with TestClient(create_app(settings, newer), base_url="http://localhost") as updated:
        while not updated.get("/readyz").json()["checks"]["index"]:
            time.sleep(0.05)
        # Without the old checkpoint it says what to do.
        health = updated.get("/readyz").json()
        assert (health["checks"]["model"], health["served_version"]) == (False, "1" * 64)
        refused = updated.get("/search?q=coffee")
        assert refused.status_code == 503
        assert "glyphseek reindex" in refused.json()["detail"]
        # With it, search goes on.
        asked = []

        def load(path: Path, **_: object) -> RandomEncoder:
            asked.append(path)
            return RandomEncoder()

        monkeypatch.setattr(deps, "Encoder", load)
        for _ in range(2):
            assert updated.get("/search?q=coffee").json()["hits"][0]["score"] > 0.99
        assert asked == [settings.checkpoint_of("1" * 64)]
        assert updated.get("/readyz").status_code == 200


def test_the_checkpoint_is_kept_with_the_photos(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    encoder = RandomEncoder()
    for _ in range(2):
        deps.keep_checkpoint(settings, encoder)  # type: ignore[arg-type]
        kept = settings.checkpoint_of(encoder.version)
        assert kept.read_bytes() == deps.DEFAULT_CHECKPOINT.read_bytes()
    assert [path.name for path in kept.parent.iterdir()] == [f"{encoder.version}.safetensors"]


def test_a_checkpoint_that_cannot_be_kept_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    deps.keep_checkpoint(Settings(data_dir=tmp_path), RandomEncoder())  # type: ignore[arg-type]
