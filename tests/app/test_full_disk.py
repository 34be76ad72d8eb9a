"""Disks that are full, that of the photos and that of the database, at any step of an upload."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient

from app.settings import Settings
from indexer import queries
from indexer.blobs import BlobStore
from indexer.errors import StorageFull
from tests.app.conftest import spell, stored, upload, wait


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def no_row(*_: object, **__: object) -> None:
    raise StorageFull


@pytest.fixture(params=["write", "fsync", "rename", "database"])
def full_disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full at some step of an upload."""
    if request.param == "write":
        place, calls = BlobStore.temporary, count()

        def on_full_disk(blobs: BlobStore) -> Path:
            path = place(blobs)
            if next(calls):  # the first one is only asked for its disk
                path.symlink_to("/dev/full")
            return path

        monkeypatch.setattr(BlobStore, "temporary", on_full_disk)
    elif request.param == "database":
        monkeypatch.setattr(queries, "insert_image", no_row)
    else:
        monkeypatch.setattr(os, {"fsync": "fsync", "rename": "replace"}[request.param], full)


@pytest.mark.parametrize("length", [1, 50_000])  # within the buffer of the file, and beyond
def test_full_disk_at_any_step_leaves_nothing(
    client: TestClient, settings: Settings, full_disk: None, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    data = spell("x") + b"x" * length
    answer = upload(client, ("a.png", data))
    assert (answer.status_code, answer.json()["status"]) == (507, 507)
    monkeypatch.undo()
    assert [path for path in settings.photos_dir.rglob("*") if not path.is_dir()] == []
    assert client.get("/images").json()["items"] == []
    assert upload(client, ("a.png", data)).status_code == 202


def test_disk_that_is_full_while_files_arrive_takes_none(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, calls = BlobStore.temporary, count()

    def on_full_disk(blobs: BlobStore) -> Path:
        path = place(blobs)
        if next(calls) > 1:  # the first file has a place
            path.symlink_to("/dev/full")
        return path

    monkeypatch.setattr(BlobStore, "temporary", on_full_disk)
    answer = upload(client, *[(f"{n}.png", spell(str(n)) + bytes(50_000)) for n in range(3)])
    assert answer.status_code == 507
    assert "taken" not in answer.json()
    assert stored(settings) == []
    assert client.get("/images").json()["items"] == []


def test_disk_that_is_full_in_the_middle_keeps_what_was_taken(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = os.replace, count()
    monkeypatch.setattr(os, "replace", lambda *paths: put(*paths) if next(calls) < 2 else full())
    files = [(f"{n}.png", spell(str(n))) for n in range(4)]
    answer = upload(client, ("bad.png", b"text"), *files)
    assert answer.status_code == 507
    assert "free some space" in answer.json()["detail"]
    assert "taken before that, and kept: 2" in answer.json()["detail"]
    taken = answer.json()["taken"]
    assert [(item["name"], item["status"]) for item in taken] == [("0.png", "queued"), ("1.png", "queued")]
    assert [image["id"] for image in client.get("/images").json()["items"]] == [item["id"] for item in taken]
    assert len(stored(settings)) == 2
    monkeypatch.undo()
    again = upload(client, *files).json()["items"]
    assert [item["status"] for item in again] == ["duplicate", "duplicate", "queued", "queued"]
    assert [item["id"] for item in again[:2]] == [item["id"] for item in taken]


@contextmanager
def full_database(settings: Settings, table: str) -> Iterator[None]:
    """Have Postgres refuse every new row of a table as it does when its disk is full."""
    url = str(settings.database_url).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        connection.execute(f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION refuse()")
        yield
        connection.execute("DROP FUNCTION refuse CASCADE")


@pytest.mark.parametrize(("table", "taken"), [("collections", 0), ("images", 0), ("jobs", 1)])
def test_full_disk_of_the_database(client: TestClient, settings: Settings, table: str, taken: int) -> None:
    with full_database(settings, table):
        answer = upload(client, ("a.png", spell("a")))
        assert answer.status_code == 507
        assert "the disk of the database is full" in answer.json()["detail"]
        assert len(answer.json()["taken"]) == len(stored(settings)) == taken
        assert len(client.get("/images").json()["items"]) == taken
    answer = upload(client, ("a.png", spell("a")))
    assert [item["status"] for item in answer.json()["items"]] == ["duplicate" if taken else "queued"]


def test_worker_waits_until_the_database_has_space(
    client: TestClient, settings: Settings, working: None, caplog: pytest.LogCaptureFixture
) -> None:
    with full_database(settings, "proposals"):
        (item,) = upload(client, ("a.png", spell("a"))).json()["items"]
        wait(lambda: "the disk of the database is full" in caplog.text)
        assert client.get(f"/images/{item['id']}").json()["status"] in ("queued", "processing")
    wait(lambda: client.get(f"/images/{item['id']}").json()["status"] == "indexed")
