"""Indexing a batch, and what an error or a deletion in the middle of it costs."""

import os
import threading
import time

import numpy as np
import pytest
from sqlalchemy import Engine, func, select

from indexer import pipeline, queries, queue
from indexer.blobs import BlobStore
from indexer.database import session_scope
from indexer.errors import DatabaseUnavailable, StorageFull
from indexer.tables import Proposal
from tests.integration.conftest import Gallery


def _count_proposals(gallery: Gallery) -> int:
    with session_scope(gallery.engine) as session:
        return session.scalar(select(func.count()).select_from(Proposal)) or 0


def test_batch_is_indexed_with_thumbnails(gallery: Gallery) -> None:
    ids = [gallery.add("coffee shop"), gallery.add(""), gallery.add("tea")]
    result = gallery.index_all()
    assert result == pipeline.BatchResult(indexed=ids)
    assert set(gallery.statuses().values()) == {"indexed"}
    for image_id in ids:
        image = gallery.image(image_id)
        assert gallery.blobs.thumbnail_path(image.sha256).read_bytes()[:2] == b"\xff\xd8"
        assert (image.lease_owner, image.reason, image.model_version) == (None, None, gallery.encoder.version)
        assert image.indexed_at is not None


def test_indexing_again_replaces_the_proposals(gallery: Gallery) -> None:
    image_id = gallery.add("coffee shop")
    for _ in range(2):
        gallery.index_all()
        with session_scope(gallery.engine) as session:
            queries.get_image(session, image_id=image_id).status = "queued"
    assert _count_proposals(gallery) == 2


def test_error_in_one_photo_costs_that_photo_alone(gallery: Gallery) -> None:
    gallery.encoder.broken = "broken"
    ids = [gallery.add(word) for word in ("one", "two", "broken", "four", "five")]
    result = gallery.index_all()
    assert result.indexed == [ids[0], ids[1], ids[3], ids[4]]
    assert result.failed == [ids[2]]
    image = gallery.image(ids[2])
    assert (image.status, image.attempts) == ("queued", 1)
    assert "secret" not in str(image.reason)


def test_damaged_or_missing_file_costs_that_photo_alone(gallery: Gallery) -> None:
    damaged, missing, fine = (gallery.add(word) for word in ("damaged", "missing", "fine"))
    gallery.blobs.path(gallery.image(damaged).sha256).write_bytes(b"no picture")
    gallery.blobs.path(gallery.image(missing).sha256).unlink()
    result = gallery.index_all()
    assert (result.indexed, result.failed) == ([fine], [damaged, missing])
    assert "not a picture" in str(gallery.image(damaged).reason)
    assert "/" not in str(gallery.image(missing).reason)


def test_too_little_memory_halves_the_batch(gallery: Gallery) -> None:
    gallery.encoder.too_many = 2
    ids = [gallery.add(f"word{number}") for number in range(5)]
    result = gallery.index_all()
    assert result.indexed == ids
    assert result.out_of_memory
    assert max(size for size in gallery.encoder.batches if size <= 2) == 2


def test_too_little_memory_for_one_photo_is_an_error_of_that_photo(gallery: Gallery) -> None:
    gallery.encoder.too_many = 0
    image_id = gallery.add("huge")
    assert gallery.index_all().failed == [image_id]


def test_embedding_that_no_index_could_take_is_an_error(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(gallery.encoder), "_embed", lambda *_: np.full(24, np.nan, np.float32))
    image_id = gallery.add("word")
    assert gallery.index_all().failed == [image_id]
    assert _count_proposals(gallery) == 0


def test_photo_that_another_worker_took_over_is_left_alone(gallery: Gallery) -> None:
    image_id = gallery.add("mine")
    claimed = gallery.claim("me", lease_seconds=0)
    taken = gallery.claim("other")
    assert gallery.index(claimed, owner="me") == pipeline.BatchResult(lost=[image_id])
    assert (gallery.image(image_id).status, _count_proposals(gallery)) == ("processing", 0)
    assert gallery.index(taken, owner="other").indexed == [image_id]


def test_photo_deleted_while_it_is_processed_stays_deleted(gallery: Gallery) -> None:
    kept, deleted = gallery.add("kept"), gallery.add("deleted")
    claimed = gallery.claim()
    assert pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=deleted)
    result = gallery.index(claimed)
    # Its file went before it was read: neither that nor the missing row is anybody's error.
    assert (result.indexed, result.lost, result.failed) == ([kept], [deleted], [])
    assert gallery.statuses() == {kept: "indexed"}
    assert gallery.follower().served().index.image_ids().tolist() == [kept]


def test_database_that_goes_away_is_not_the_photos_fault(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = gallery.add("word")
    claimed = gallery.claim()

    def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(queries, "finish_image", away)
        with pytest.raises(DatabaseUnavailable):
            gallery.index(claimed)
    assert gallery.image(image_id).attempts == 0
    assert gallery.index(claimed).indexed == [image_id]


def test_no_space_for_a_thumbnail_costs_no_photo(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageFull

    monkeypatch.setattr(BlobStore, "write_thumbnail", full)
    image_id = gallery.add("word")
    assert gallery.index_all().indexed == [image_id]


def test_file_goes_with_the_last_photo_that_needs_it(gallery: Gallery) -> None:
    first, second = (gallery.add("same", collection=name) for name in ("one", "two"))
    gallery.index_all()
    sha256 = gallery.image(first).sha256
    assert pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=first)
    assert gallery.blobs.exists(sha256)
    assert pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=second)
    assert not gallery.blobs.exists(sha256)
    assert not gallery.blobs.thumbnail_path(sha256).exists()
    assert not pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=second)


def test_deleting_and_sending_again_at_once_never_loses_the_file(gallery: Gallery) -> None:
    stop = threading.Event()

    def delete() -> None:
        while not stop.is_set():
            for image_id in gallery.statuses():
                pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=image_id)

    deleting = threading.Thread(target=delete)
    deleting.start()
    for _ in range(40):
        gallery.add("same")
    stop.set()
    deleting.join()
    image_id = gallery.add("same")
    assert gallery.blobs.exists(gallery.image(image_id).sha256)


def test_deleting_while_indexing_does_not_deadlock(gallery: Gallery) -> None:
    ids = [gallery.add(f"word{number} two three") for number in range(20)]
    claimed = gallery.claim()

    def delete() -> None:
        for image_id in ids[::2]:
            pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=image_id)

    deleting = threading.Thread(target=delete)
    deleting.start()
    gallery.index(claimed)
    deleting.join()
    assert gallery.statuses() == dict.fromkeys(ids[1::2], "indexed")
    assert gallery.follower().served().index.image_ids().tolist() == ids[1::2]


def test_sweep_removes_old_orphans_only(gallery: Gallery) -> None:
    needed = gallery.image(gallery.add("needed")).sha256
    orphans = {"old": "a" * 64, "young": "b" * 64}
    for digest in orphans.values():
        temporary = gallery.blobs.temporary()
        temporary.write_bytes(b"orphan")
        gallery.blobs.put(temporary, digest)
    two_hours_ago = time.time() - 7200
    for digest in (needed, orphans["old"]):
        os.utime(gallery.blobs.path(digest), (two_hours_ago, two_hours_ago))
    assert pipeline.sweep(gallery.engine, gallery.blobs, older_than_seconds=3600) == 1
    assert not gallery.blobs.exists(orphans["old"])
    assert gallery.blobs.exists(orphans["young"])
    assert gallery.blobs.exists(needed)


def test_sweep_for_a_database_in_the_place_of_another_costs_no_photo(
    gallery: Gallery, other_engine: Engine
) -> None:
    needed = gallery.image(gallery.add("needed")).sha256
    two_hours_ago = time.time() - 7200
    os.utime(gallery.blobs.path(needed), (two_hours_ago, two_hours_ago))
    assert pipeline.sweep(other_engine, gallery.blobs, older_than_seconds=3600) == 0  # nobody noted whose
    assert pipeline.sweep(gallery.engine, gallery.blobs, older_than_seconds=3600) == 0
    assert pipeline.sweep(other_engine, gallery.blobs, older_than_seconds=3600) == 0
    assert gallery.blobs.exists(needed)


def test_failed_photo_can_be_indexed_after_a_retry(gallery: Gallery) -> None:
    image_id = gallery.add("word")
    gallery.encoder.broken = "word"
    gallery.index_all()
    gallery.encoder.broken = "?"
    with session_scope(gallery.engine) as session:
        queue.retry(session, image_id=image_id)
    assert gallery.index_all().indexed == [image_id]
    assert (gallery.image(image_id).attempts, gallery.image(image_id).reason) == (0, None)
