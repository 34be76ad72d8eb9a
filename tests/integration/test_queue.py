"""The queue: who gets which photo, and what a dead worker leaves behind."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text, update

from indexer import queue
from indexer.database import session_scope
from indexer.errors import NotFound
from indexer.tables import Image
from tests.integration.conftest import Gallery


def _expire_leases(engine: Engine) -> None:
    with session_scope(engine) as session:
        expired = text("now() - interval '1 second'")
        session.execute(update(Image).where(Image.status == "processing").values(lease_until=expired))


def _make_due(engine: Engine) -> None:
    with session_scope(engine) as session:
        session.execute(update(Image).values(not_before=text("now()")))


def _seconds_to_wait(gallery: Gallery, image_id: int) -> float:
    return (gallery.image(image_id).not_before - datetime.now(UTC)).total_seconds()


def test_claim_takes_the_oldest_and_no_more_than_asked(gallery: Gallery) -> None:
    ids = [gallery.add(f"word{number}") for number in range(5)]
    claimed = gallery.claim(limit=3)
    assert [photo.id for photo in claimed] == ids[:3]
    assert not any(photo.alone for photo in claimed)
    assert [gallery.statuses()[image_id] for image_id in ids] == ["processing"] * 3 + ["queued"] * 2
    assert [photo.id for photo in gallery.claim("other")] == ids[3:]
    assert gallery.claim() == []


@pytest.mark.parametrize(
    ("max_pixels", "count"),
    [
        (1, 1),  # a photo above the limit must still get its turn
        (8 * 64 * 2, 2),
        (8 * 64 * 3 - 1, 2),
    ],
)
def test_claim_is_bounded_by_pixels(gallery: Gallery, max_pixels: int, count: int) -> None:
    for number in range(4):
        gallery.add(f"word{number}")
    assert len(gallery.claim(max_pixels=max_pixels)) == count


def test_many_workers_never_share_a_photo(gallery: Gallery) -> None:
    ids = [gallery.add(f"word{number}") for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda number: gallery.claim(f"worker{number}", limit=5), range(8)))
    batches.append(gallery.claim())  # what was locked for a moment just then
    assert sorted(photo.id for batch in batches for photo in batch) == ids


def test_expired_photos_are_claimed_one_by_one_before_others(gallery: Gallery) -> None:
    left = [gallery.add("first"), gallery.add("second")]
    gallery.claim("dead")
    fresh = gallery.add("third")
    assert [photo.id for photo in gallery.claim("me")] == [fresh]  # the leases still run
    with session_scope(gallery.engine) as session:
        queue.release(session, owner="me")
    _expire_leases(gallery.engine)
    for image_id in left:
        assert gallery.claim("me", busy=True) == []  # nothing may be worked on beside it
        claimed = gallery.claim("me")
        assert [(photo.id, photo.alone) for photo in claimed] == [(image_id, True)]
    assert [(photo.id, photo.alone) for photo in gallery.claim("me")] == [(fresh, False)]


def test_kills_in_a_batch_never_count(gallery: Gallery) -> None:
    image_id = gallery.add("innocent")
    for number in range(5):
        gallery.claim(f"dead{number}")
        _expire_leases(gallery.engine)
        claimed = gallery.claim(f"alone{number}")
        assert claimed[0].alone
        with session_scope(gallery.engine) as session:
            queue.release(session, owner=f"alone{number}")
    assert gallery.image(image_id).crashes == 0


def test_photo_that_ends_three_workers_alone_fails_and_its_mate_does_not(gallery: Gallery) -> None:
    deadly, mate = gallery.add("deadly"), gallery.add("mate")
    gallery.claim("dead")
    for number in range(6):
        _expire_leases(gallery.engine)
        claimed = gallery.claim(f"worker{number}")
        if [photo.id for photo in claimed] == [mate]:
            gallery.index(claimed, owner=f"worker{number}")
    assert gallery.statuses() == {deadly: "failed", mate: "indexed"}
    assert gallery.image(deadly).crashes == queue.MAX_CRASHES
    assert gallery.image(deadly).reason == queue.CRASH_REASON
    assert gallery.image(mate).crashes == 0


def test_end_of_a_worker_counts_once_however_often_others_look(gallery: Gallery) -> None:
    image_id = gallery.add("word")
    for owner in ("dead", "dead too"):
        gallery.claim(owner)
        _expire_leases(gallery.engine)
    for _ in range(5):
        assert gallery.claim("me", busy=True) == []
    assert gallery.claim("me")[0].alone
    assert gallery.image(image_id).crashes == 1


def test_worker_that_lost_the_database_for_long_keeps_its_photos(gallery: Gallery) -> None:
    gallery.add("slow")
    gallery.claim("me")
    _expire_leases(gallery.engine)
    assert gallery.claim("me") == []  # not dead: it is the one that asks
    with session_scope(gallery.engine) as session:
        assert queue.renew(session, owner="me", lease_seconds=30) == 1
    assert gallery.claim("other") == []


def test_release_gives_back_all_or_some(gallery: Gallery) -> None:
    first, second, third = (gallery.add(word) for word in ("first", "second", "third"))
    gallery.claim("me", limit=2)
    gallery.claim("other")
    with session_scope(gallery.engine) as session:
        assert queue.release(session, owner="me", image_ids=[first, third]) == 1
    assert gallery.statuses() == {first: "queued", second: "processing", third: "processing"}
    with session_scope(gallery.engine) as session:
        assert queue.release(session, owner="me") == 1
    assert gallery.statuses()[second] == "queued"
    assert gallery.image(second).attempts == 0


def test_errors_are_tried_again_later_and_later_then_failed(gallery: Gallery) -> None:
    image_id = gallery.add("odd")
    for wait_seconds in queue.BACKOFF_SECONDS:
        (claimed,) = gallery.claim()
        with session_scope(gallery.engine) as session:
            assert queue.record_error(session, image_id=claimed.id, owner="me", reason="too odd") == "queued"
        assert wait_seconds - 1.5 < _seconds_to_wait(gallery, image_id) <= wait_seconds
        assert gallery.claim() == []  # its time has not come
        _make_due(gallery.engine)
    gallery.claim()
    with session_scope(gallery.engine) as session:
        assert queue.record_error(session, image_id=image_id, owner="me", reason="too odd") == "failed"
    image = gallery.image(image_id)
    assert (image.status, image.reason, image.attempts) == ("failed", "too odd", 4)


def test_only_the_owner_can_report_an_error(gallery: Gallery) -> None:
    image_id = gallery.add("mine")
    gallery.claim("me")
    with session_scope(gallery.engine) as session:
        assert queue.record_error(session, image_id=image_id, owner="other", reason="no") is None
        assert queue.record_error(session, image_id=999, owner="me", reason="no") is None
    assert gallery.image(image_id).status == "processing"


def test_retry_gives_a_failed_photo_a_clean_record(gallery: Gallery) -> None:
    image_id = gallery.add("again")
    with session_scope(gallery.engine) as session:
        session.execute(
            update(Image).values(
                status="failed",
                attempts=4,
                crashes=3,
                reason="bad",
                not_before=text("now() + interval '1 day'"),
            )
        )
    with session_scope(gallery.engine) as session:
        assert queue.retry(session, image_id=image_id) == "queued"
    image = gallery.image(image_id)
    assert (image.attempts, image.crashes, image.reason) == (0, 0, None)
    (claimed,) = gallery.claim()
    with session_scope(gallery.engine) as session:
        assert queue.retry(session, image_id=image_id) == "processing"  # somebody is at it
    gallery.index([claimed])
    with session_scope(gallery.engine) as session:
        assert queue.retry(session, image_id=image_id) == "indexed"
        with pytest.raises(NotFound):
            queue.retry(session, image_id=999)
