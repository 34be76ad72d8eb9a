"""A newer network takes the place of an older one, photo by photo, while search goes on."""

import threading
import time

import pytest
from sqlalchemy import func, select

from indexer import queries, queue, versions, worker
from indexer.database import session_scope
from indexer.follower import Follower
from indexer.tables import Proposal
from tests.integration.conftest import DIMENSION, Gallery, RandomEncoder

OLD, NEW = "1" * 64, "2" * 64


@pytest.fixture
def newer(gallery: Gallery) -> Gallery:
    """The same gallery with a newer network."""
    with session_scope(gallery.engine) as session:
        versions.add(session, version=OLD, dimension=DIMENSION)
        versions.add(session, version=NEW, dimension=DIMENSION)
        versions.serve(session, version=OLD)
    return Gallery(gallery.engine, gallery.blobs, RandomEncoder(version=NEW), gallery.sandbox)


def start(gallery: Gallery) -> tuple[int, int]:
    """Start a re-index; return its job and how many photos it has to do."""
    with session_scope(gallery.engine) as session:
        job = versions.start_reindex(session, version=gallery.encoder.version)
        return job.id, job.total


def take_over(gallery: Gallery) -> bool:
    with session_scope(gallery.engine) as session:
        return versions.take_over(session, version=gallery.encoder.version)


def drop(gallery: Gallery, settled_seconds: float = 0.0) -> int:
    with session_scope(gallery.engine) as session:
        return versions.drop_superseded(session, settled_seconds=settled_seconds)


def counts(gallery: Gallery) -> dict[str, int]:
    """Return the number of proposals of each version."""
    by_version = select(Proposal.model_version, func.count()).group_by(Proposal.model_version)
    with session_scope(gallery.engine) as session:
        return dict(session.execute(by_version).all())


def found(gallery: Gallery, follower: Follower, word: str) -> list[int]:
    """Return the photos that match a word exactly, as the served network sees them."""
    follower.catch_up()
    served = follower.served()
    assert served.model_version == gallery.encoder.version
    (ranking,) = served.index.search(gallery.encoder.encode_texts([word]), 1000)
    return [match.image_id for match in ranking if match.score > 0.99]


def test_first_model_version_serves_until_switched(gallery: Gallery) -> None:
    def add(version: str) -> str:
        with session_scope(gallery.engine) as session:
            return versions.add(session, version=version, dimension=DIMENSION)

    assert add("0") == "0"
    assert add("0") == "0"
    assert add(OLD) == OLD  # nothing was indexed with the other one
    gallery.add("word")
    gallery.index_all()
    assert add(NEW) == OLD
    with session_scope(gallery.engine) as session:
        versions.serve(session, version=NEW)
    assert add(OLD) == NEW


def test_search_stays_with_the_old_version_until_the_new_one_covers_the_gallery(
    gallery: Gallery, newer: Gallery
) -> None:
    first, second = gallery.add("coffee exit"), gallery.add("coffee")
    gallery.index_all()
    follower = gallery.follower()
    assert start(newer)[1] == 2
    assert not take_over(newer)
    newer.index(newer.claim(limit=1))
    assert not take_over(newer)
    assert found(gallery, follower, "coffee") == [first, second]
    assert drop(newer) == 0  # both are needed
    newer.index_all()
    assert found(gallery, follower, "coffee") == [first, second]
    assert counts(gallery) == {OLD: 3, NEW: 3}
    assert take_over(newer)
    assert not take_over(newer)  # once
    assert drop(newer, settled_seconds=60) == 0  # an API may not have noticed yet
    assert found(newer, follower, "coffee") == [first, second]
    assert drop(newer) == 3
    assert counts(gallery) == {NEW: 3}
    assert found(newer, follower, "exit") == [first]


def test_new_photos_come_before_those_to_be_indexed_again(gallery: Gallery, newer: Gallery) -> None:
    gallery.add("old")
    gallery.index_all()
    start(newer)
    fresh = newer.add("fresh")
    assert [photo.id for photo in newer.claim(limit=1)] == [fresh]


def test_photos_that_an_old_worker_still_indexes_are_done_again(gallery: Gallery, newer: Gallery) -> None:
    gallery.add("coffee")
    gallery.index_all()
    start(newer)
    late = gallery.add("exit")
    gallery.index_all()
    assert gallery.image(late).model_version == OLD
    assert not take_over(newer)
    assert set(gallery.statuses().values()) == {"queued"}
    newer.index_all()
    assert take_over(newer)


def test_an_old_network_indexes_no_more_when_search_answers_from_a_newer_one(gallery: Gallery) -> None:
    def superseded() -> list[bool]:
        with session_scope(gallery.engine) as session:
            return [versions.is_superseded(session, version=version) for version in (OLD, NEW)]

    with session_scope(gallery.engine) as session:
        versions.add(session, version=OLD, dimension=DIMENSION)
    gallery.add("coffee")
    gallery.index_all()
    with session_scope(gallery.engine) as session:
        versions.add(session, version=NEW, dimension=DIMENSION)
    assert superseded() == [False, False]  # the new one works ahead
    with session_scope(gallery.engine) as session:
        versions.serve(session, version=NEW)
    assert superseded() == [True, False]
    with session_scope(gallery.engine) as session:
        versions.start_reindex(session, version=OLD)
    assert superseded() == [False, False]  # it is wanted back


def test_a_photo_that_cannot_be_indexed_again_holds_nothing_up(gallery: Gallery, newer: Gallery) -> None:
    good, bad = gallery.add("coffee"), gallery.add("coffee broken")
    gallery.index_all()
    newer.encoder.broken = "broken"
    start(newer)
    with session_scope(gallery.engine) as session:
        queries.get_image(session, image_id=bad).attempts = len(queue.BACKOFF_SECONDS)
    newer.index_all()
    assert gallery.statuses() == {good: "indexed", bad: "failed"}
    assert take_over(newer)
    assert found(newer, newer.follower(), "coffee") == [good]
    newer.encoder.broken = "?"
    assert start(newer)[1] == 1  # the one that is behind, and not everything
    newer.index_all()
    assert found(newer, newer.follower(), "coffee") == [good, bad]


def test_a_photo_that_was_never_indexed_does_not_come_into_the_index_by_waiting(
    gallery: Gallery, newer: Gallery
) -> None:
    gallery.add("coffee")
    gallery.index_all()
    start(newer)
    newer.index_all()
    newer.add("waiting")
    assert take_over(newer)
    follower = newer.follower()
    assert follower.served().index.count() == 1


def test_without_a_newer_version_everything_is_indexed_again(gallery: Gallery) -> None:
    image_id = gallery.add("coffee")
    gallery.index_all()
    follower = gallery.follower()
    job, total = start(gallery)
    assert total == 1
    assert gallery.image(image_id).status == "queued"
    assert found(gallery, follower, "coffee") == [image_id]  # all the while
    gallery.index_all()
    assert not take_over(gallery)
    assert found(gallery, follower, "coffee") == [image_id]
    assert counts(gallery) == {OLD: 1}
    with session_scope(gallery.engine) as session:
        state = queries.get_job(session, job_id=job)
    assert (state.kind, state.total, state.counts, state.done) == ("reindex", 1, {"indexed": 1}, True)


def test_an_empty_gallery_needs_no_reindex(gallery: Gallery, newer: Gallery) -> None:
    assert start(newer)[1] == 0
    assert take_over(newer)


def test_a_worker_brings_a_reindex_to_its_end(
    gallery: Gallery, newer: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SETTLED_SECONDS", 0.5)
    ids = [gallery.add(f"word{number}") for number in range(5)]
    gallery.index_all()
    start(newer)
    newer.index(newer.claim(limit=2))  # and this worker is gone
    stop = threading.Event()
    thread = threading.Thread(
        target=worker.run,
        args=(gallery.engine.url, newer.encoder, gallery.blobs),
        kwargs={"stop": stop, "poll_seconds": 0.05},
    )
    thread.start()
    deadline = time.monotonic() + 20
    while counts(gallery) != {NEW: 5} and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join()
    assert counts(gallery) == {NEW: 5}
    with session_scope(gallery.engine) as session:
        assert versions.read(session) == versions.Versions(served=NEW, upcoming=None)
    assert found(newer, newer.follower(), "word3") == [ids[3]]
