"""Migrations and connections against a real server."""

import subprocess
import sys
import threading
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, func, make_url, select, text

from indexer import database, tables
from indexer.errors import DatabaseRefuses, DatabaseUnavailable, StorageFull
from indexer.folding import trigrams
from indexer.follower import Follower
from indexer.search import search
from indexer.tables import Collection
from indexer.vector_index import FaissIndex
from tests.integration.conftest import RandomEncoder

ROOT = Path(database.__file__).parent.parent
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
"""
INDEXES = (
    "SELECT indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
)


def _catalog(engine: Engine) -> set[tuple[str, ...]]:
    with engine.connect() as connection:
        return {tuple(row) for query in (CONSTRAINTS, INDEXES) for row in connection.execute(text(query))}


def test_migrations_make_the_tables_of_the_metadata(engine: Engine) -> None:
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.Table.metadata) == []


def test_migrations_make_the_constraints_and_indexes_of_the_metadata(
    engine: Engine, empty_database_url: str
) -> None:
    by_metadata = database.create_engine(empty_database_url)
    tables.Table.metadata.create_all(by_metadata)
    assert _catalog(engine) == _catalog(by_metadata)
    by_metadata.dispose()


def test_embeddings_are_stored_uncompressed(engine: Engine) -> None:
    query = (
        "SELECT attstorage FROM pg_attribute WHERE attrelid = 'proposals'::regclass AND attname = 'embedding'"
    )
    with engine.connect() as connection:
        assert connection.scalar(text(query)) in ("e", b"e")


def test_migrating_at_once_and_again_is_harmless(empty_database_url: str) -> None:
    engine = database.create_engine(empty_database_url)
    assert not database.migration_state(engine).up_to_date
    program = f"from indexer.database import migrate; migrate({empty_database_url!r})"
    others = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in range(2)]
    assert [other.wait() for other in others] == [0, 0]
    database.migrate(empty_database_url)
    state = database.migration_state(engine)
    assert state.up_to_date
    assert state.current is not None
    engine.dispose()


FIRST_GALLERY = """
    INSERT INTO collections (name) VALUES ('trip');
    INSERT INTO model_versions (version, dimension) VALUES (:version, :dimension);
    UPDATE index_state SET served_version = :version;
    INSERT INTO images (collection_id, sha256, name, media_type, size_bytes, width, height, status,
        model_version, proposal_count, indexed_at) SELECT id, repeat('a', 64), 'sign.jpg', 'image/jpeg', 9,
        64, 48, 'indexed', :version, 1, now() FROM collections;
    INSERT INTO proposals (image_id, model_version, ordinal, box, quad, score, transcript, confidence, folded,
        trigrams, embedding) SELECT id, :version, 0, '{1,2,9,4}', '{1,2,9,2,9,4,1,4}', 0.5, 'Coffee', 0.9,
        'coffee', :trigrams, :embedding FROM images;
    INSERT INTO index_changes (image_id, kind) SELECT id, 'put' FROM images
"""


def test_a_gallery_of_the_first_tables_is_found_after_migrating(
    empty_database_url: str, encoder: RandomEncoder
) -> None:
    engine = database.create_engine(empty_database_url)
    config = database._alembic_config()
    values = {
        "version": encoder.version,
        "dimension": encoder.dimension,
        "trigrams": trigrams("coffee"),
        "embedding": encoder.encode_texts(["coffee"])[0].astype("<f2").tobytes(),
    }
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in FIRST_GALLERY.split(";"):
            connection.execute(text(statement), values)
    database.migrate(empty_database_url)
    follower = Follower(engine, partial(FaissIndex, threads=1), poll_seconds=1)
    follower.catch_up()
    for word, kind in (("coffee", "exact"), ("toffee", "similar"), ("coff", "exact")):
        (found,) = search(engine, follower.served(), encoder, [word], limit=5).results
        (hit,) = found.hits
        assert (hit.image.name, hit.match, hit.boxes[0].text) == ("sign.jpg", kind, "Coffee")
    engine.dispose()


def test_every_database_has_an_id_of_its_own(engine: Engine, other_engine: Engine) -> None:
    ids = set()
    for each in (engine, other_engine):
        with each.connect() as connection:
            ids.add(connection.scalar(text("SELECT database_id FROM index_state")))
    assert len(ids) == 2


def test_session_commits_at_the_end_and_rolls_back_on_errors(engine: Engine) -> None:
    with database.session_scope(engine) as session:
        session.add(tables.Collection(name="kept"))
    with pytest.raises(RuntimeError), database.session_scope(engine) as session:  # noqa: PT012
        session.add(tables.Collection(name="lost"))
        session.flush()
        raise RuntimeError
    with database.session_scope(engine) as session:
        assert session.scalars(text("SELECT name FROM collections")).all() == ["kept"]


def test_a_session_for_reading_sees_each_moment_and_leaves_nothing_open(engine: Engine) -> None:
    with database.reading_scope(engine) as session:
        count = select(func.count()).select_from(Collection)
        before = session.scalar(count)
        with database.session_scope(engine) as other:
            other.add(Collection(name="meanwhile"))
        assert session.scalar(count) == before + 1
        assert not session.connection().connection.driver_connection.info.transaction_status
    with database.session_scope(engine) as session:  # the same connection begins transactions again
        session.execute(text("DELETE FROM collections WHERE name = 'meanwhile'"))
        session.rollback()
    with database.reading_scope(engine) as session:
        assert session.scalar(count) == before + 1


def test_unreachable_database_is_reported_as_such(tmp_path: Path) -> None:
    engine = database.create_engine(f"postgresql://someone@/nothing?host={tmp_path}")
    for use in (database.session_scope, database.reading_scope, database.snapshot_scope):
        with pytest.raises(DatabaseUnavailable), use(engine) as session:
            session.execute(text("SELECT 1"))
    with pytest.raises(DatabaseUnavailable):
        database.migration_state(engine)
    with pytest.raises(DatabaseUnavailable):
        database.migrate(engine.url)


def test_what_the_database_refuses_is_said_to_who_runs_it(engine: Engine) -> None:
    writing = text("SET TRANSACTION READ ONLY; DELETE FROM images")
    with pytest.raises(DatabaseRefuses) as refused, database.session_scope(engine) as session:
        session.execute(writing)
    assert "read-only" in refused.value.in_full
    assert "read-only" not in str(refused.value)


def test_tables_of_a_newer_version_are_left_alone(empty_database_url: str) -> None:
    database.migrate(empty_database_url)
    engine = database.create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseRefuses, match="another version of glyphseek"):
        database.migrate(empty_database_url)
    assert not database.migration_state(engine).up_to_date
    engine.dispose()


def _cut(engine: Engine, query: str) -> None:
    """Have the server end the connections whose last statement looks like this."""
    conninfo = make_url(engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE %s",
            [query],
        )


def test_connection_cut_in_the_middle_is_reported_and_replaced(engine: Engine) -> None:
    with pytest.raises(DatabaseUnavailable), database.session_scope(engine) as session:  # noqa: PT012
        session.execute(text("SELECT 'to be cut'"))
        _cut(engine, "SELECT 'to be cut'")
        session.execute(text("SELECT 1"))
    with database.session_scope(engine) as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_server_that_says_nothing_is_given_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "ANSWER_TIMEOUT_SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable), database.session_scope(engine) as session:
        session.execute(text("SELECT pg_sleep(20)"))
    assert time.monotonic() - started < 10
    with database.session_scope(engine) as session:
        assert session.scalar(text("SELECT 1")) == 1  # and not what the other one asked for


def _fail(engine: Engine, sqlstate: str) -> None:
    with database.session_scope(engine) as session:
        session.execute(text(f"DO 'BEGIN RAISE EXCEPTION ''no'' USING ERRCODE = ''{sqlstate}''; END'"))


def test_a_full_disk_of_the_database_is_said(engine: Engine) -> None:
    with pytest.raises(StorageFull, match="the disk of the database is full"):
        _fail(engine, "53100")
    with pytest.raises(DatabaseUnavailable):
        _fail(engine, "53200")  # out of memory
    with database.session_scope(engine) as session:
        assert session.scalar(text("SELECT 1")) == 1


def _seconds_to_hear(engine: Engine, wakes: Generator[None, None, None]) -> float:
    def notify() -> None:
        with database.session_scope(engine) as session:
            database.notify(session, "some_channel")

    timer = threading.Timer(0.05, notify)
    timer.start()
    started = time.monotonic()
    next(wakes)
    timer.join()
    return time.monotonic() - started


def test_listener_wakes_at_a_notification_and_reconnects(engine: Engine, database_url: str) -> None:
    wakes = database.listen(database_url, "some_channel", threading.Event(), poll_seconds=1)
    next(wakes)  # at once
    assert _seconds_to_hear(engine, wakes) < 0.8
    _cut(engine, "LISTEN%")
    next(wakes)  # the loss is itself a reason to look
    next(wakes)  # and so is being connected again
    assert _seconds_to_hear(engine, wakes) < 0.8
    wakes.close()


def test_listener_ends_soon_after_stop(database_url: str) -> None:
    stop = threading.Event()
    wakes = database.listen(database_url, "some_channel", stop, poll_seconds=0.05)
    for _ in range(3):
        next(wakes)  # nothing is notified, and yet there is something to look at every 50 ms
    stop.set()
    assert list(wakes) == []
