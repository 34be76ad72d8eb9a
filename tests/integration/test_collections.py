"""Collections in a real database, with others writing at the same moment."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import func, select, text

from indexer import changes, collections, pipeline, queries
from indexer.database import session_scope
from indexer.errors import Conflict, NotFound
from indexer.tables import Collection, Image, IndexChange, Proposal
from tests.integration.conftest import Gallery


def test_overviews_count_photos_and_bytes(gallery: Gallery) -> None:
    with session_scope(gallery.engine) as session:
        collections.create(session, name="empty", quota_bytes=5)
    ids = [gallery.add(word, collection="trip") for word in ("one", "two", "three")]
    gallery.index(gallery.claim(limit=2))
    with session_scope(gallery.engine) as session:
        empty, trip = collections.list_overviews(session)
        one = collections.overview(session, name="trip")
    assert (empty.name, empty.quota_bytes, empty.images, empty.bytes_used) == ("empty", 5, {}, 0)
    assert trip == one
    assert trip.images == {"indexed": 2, "queued": 1}
    assert trip.bytes_used == sum(gallery.image(image_id).size_bytes for image_id in ids)


def test_of_many_that_make_or_drop_one_wins(gallery: Gallery) -> None:
    def attempt(action: str) -> bool:
        try:
            with session_scope(gallery.engine) as session:
                if action == "create":
                    collections.create(session, name="one")
                else:
                    collections.drop(session, name="one")
        except (Conflict, NotFound):
            return False
        return True

    for action in ("create", "drop"):
        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(attempt, [action] * 6)) == 1


def test_quota_holds_when_many_add_at_once(gallery: Gallery) -> None:
    size_bytes, fitting = 100, 5
    with session_scope(gallery.engine) as session:
        collections.create(session, name="small", quota_bytes=fitting * size_bytes)

    def add(number: int) -> bool:
        facts = {"media_type": "image/png", "size_bytes": size_bytes, "width": 4, "height": 3}
        try:
            with session_scope(gallery.engine) as session:
                collection_id = queries.get_or_create_collection(session, name="small").id
                queries.insert_image(
                    session, collection_id=collection_id, sha256=f"{number:064x}", name="a", **facts
                )
                collections.check_quota(session, collection_id=collection_id)
        except Exception:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(16))) == fitting
    with session_scope(gallery.engine) as session:
        assert collections.overview(session, name="small").bytes_used == fitting * size_bytes


def test_without_a_quota_nobody_waits(gallery: Gallery) -> None:
    with session_scope(gallery.engine) as session:
        collections.create(session, name="default")
    with session_scope(gallery.engine) as first, session_scope(gallery.engine) as second:
        second.execute(text("SET LOCAL lock_timeout = '1s'"))
        for session in (first, second):
            collection_id = queries.get_or_create_collection(session, name="default").id
            collections.check_quota(session, collection_id=collection_id)
        assert collections.overview(second, name="default").quota_bytes is None


def test_a_quota_for_what_is_dropped_at_that_moment(gallery: Gallery) -> None:
    with session_scope(gallery.engine) as session:
        collections.create(session, name="old")

    def set_quota() -> None:
        with session_scope(gallery.engine) as session:
            collections.set_quota(session, name="old", quota_bytes=1)

    with ThreadPoolExecutor(1) as pool:
        with session_scope(gallery.engine) as session:
            collections.drop(session, name="old")
            waiting = pool.submit(set_quota)
            time.sleep(0.3)
        with pytest.raises(NotFound):
            waiting.result()
    with session_scope(gallery.engine) as session, pytest.raises(NotFound):
        collections.overview(session, name="old")


def test_dropping_writes_change_lines_and_removes_files(gallery: Gallery) -> None:
    doomed = [gallery.add(word, collection="trip") for word in ("one", "two", "three")]
    shared = gallery.add("one", collection="home")
    gallery.index_all()
    files = {gallery.image(image_id).sha256 for image_id in doomed}
    kept = gallery.image(shared).sha256
    pipeline.drop_collection(gallery.engine, gallery.blobs, name="trip", with_photos=True)
    with session_scope(gallery.engine) as session:
        lines = session.scalars(select(IndexChange.image_id).where(IndexChange.kind == "delete"))
        assert sorted(lines) == doomed
        assert session.scalars(select(Image.id)).all() == [shared]
        assert session.scalars(select(Proposal.image_id).distinct()).all() == [shared]
        assert session.scalars(select(Collection.name)).all() == ["home"]
    assert {sha256 for sha256 in files if gallery.blobs.exists(sha256)} == {kept}
    assert gallery.follower().served().index.count(None) == 1


def test_large_collections_go_in_steps(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "DROPPED_PHOTOS", 2)
    for number in range(5):
        gallery.add(f"word{number}", collection="trip")
    pipeline.drop_collection(gallery.engine, gallery.blobs, name="trip", with_photos=True)
    assert gallery.statuses() == {}
    with session_scope(gallery.engine) as session:
        assert changes.read_state(session).last_seq == 5


def test_without_leave_nothing_is_deleted(gallery: Gallery) -> None:
    gallery.add("one", collection="trip")
    with pytest.raises(Conflict, match="photos in it: 1"):
        pipeline.drop_collection(gallery.engine, gallery.blobs, name="trip", with_photos=False)
    assert len(gallery.statuses()) == 1


def test_a_photo_that_a_worker_writes_to_is_waited_for(gallery: Gallery) -> None:
    image_id = gallery.add("one", collection="trip")
    with ThreadPoolExecutor(1) as pool:
        with session_scope(gallery.engine) as session:
            session.get(Image, image_id, with_for_update={"of": Image})
            dropping = pool.submit(
                pipeline.drop_collection, gallery.engine, gallery.blobs, name="trip", with_photos=True
            )
            with pytest.raises(TimeoutError):
                dropping.result(timeout=0.3)
        dropping.result(timeout=10)
    assert gallery.statuses() == {}


def test_uploads_and_drops_at_once_end_in_order(gallery: Gallery) -> None:
    """An upload finds its collection gone at no moment, and no file is left without its row."""
    stop = threading.Event()

    def drop_again_and_again() -> None:
        while not stop.is_set():
            with suppress(NotFound):
                pipeline.drop_collection(gallery.engine, gallery.blobs, name="trip", with_photos=True)

    with ThreadPoolExecutor(4) as pool:
        dropping = pool.submit(drop_again_and_again)
        adding = [pool.submit(gallery.add, f"word{number}", "trip") for number in range(40)]
        for each in adding:
            each.result(timeout=60)
        stop.set()
        dropping.result(timeout=60)
    with session_scope(gallery.engine) as session:
        rows = set(session.scalars(select(Image.sha256)))
        assert session.scalar(select(func.count(Collection.id))) in (0, 1)
    files = {path.name for path in gallery.blobs.path("0" * 64).parents[2].glob("*/*/*")}
    assert files == rows
