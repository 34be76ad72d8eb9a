"""Photos, proposals, jobs and model versions in a real database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, func, select, text

from indexer import changes, pipeline, queries, queue, versions
from indexer.database import session_scope
from indexer.errors import NotFound
from indexer.tables import Image, Proposal
from tests.integration.conftest import Gallery

FACTS = {"media_type": "image/png", "size_bytes": 10, "width": 4, "height": 3}


def test_collection_is_made_once(engine: Engine) -> None:
    def make(_: int) -> int:
        with session_scope(engine) as session:
            return queries.get_or_create_collection(session, name="holiday").id

    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(make, range(12)))
    with session_scope(engine) as session:
        found = queries.get_collection(session, name="holiday")
        assert (ids, found.quota_bytes) == ({found.id}, None)
        with pytest.raises(NotFound):
            queries.get_collection(session, name="work")


def test_same_bytes_from_many_threads_make_exactly_one_row(engine: Engine) -> None:
    def upload(number: int) -> queries.NewImage:
        with session_scope(engine) as session:
            collection = queries.get_or_create_collection(session, name="default")
            return queries.insert_image(
                session, collection_id=collection.id, sha256="a" * 64, name=f"{number}.png", **FACTS
            )

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(upload, range(24)))
    assert sum(result.created for result in results) == 1
    assert len({result.id for result in results}) == 1
    with session_scope(engine) as session:
        assert session.scalar(select(func.count()).select_from(Image)) == 1


def test_photo_is_kept_as_given(engine: Engine) -> None:
    taken_at = datetime(2024, 2, 29, 12, tzinfo=UTC)
    metadata = {"camera": "old", "tags": ["a", 1, None]}
    with session_scope(engine) as session:
        collection = queries.get_or_create_collection(session, name="Überall")
        new = queries.insert_image(
            session,
            collection_id=collection.id,
            sha256="b" * 64,
            name="../été 写真.png",
            metadata=metadata,
            taken_at=taken_at,
            **FACTS,
        )
    with session_scope(engine) as session:
        image = queries.get_image(session, image_id=new.id)
        with pytest.raises(NotFound):
            queries.get_image(session, image_id=new.id + 1)
    assert (image.name, image.extra, image.taken_at) == ("../été 写真.png", metadata, taken_at)
    assert (image.collection.name, image.status, image.proposal_count) == ("Überall", "queued", 0)


def test_list_is_paged_and_filtered(gallery: Gallery) -> None:
    ids = [gallery.add(f"word{number}", collection="odd" if number % 2 else "even") for number in range(6)]
    gallery.index(gallery.claim(limit=2))
    with session_scope(gallery.engine) as session:
        pages: list[list[int]] = []
        while not pages or pages[-1]:
            after_id = pages[-1][-1] if pages else 0
            pages.append([image.id for image in queries.list_images(session, limit=4, after_id=after_id)])
        odd = queries.list_images(session, limit=10, collection="odd")
        indexed = queries.list_images(session, limit=10, status="indexed")
        odd_and_indexed = queries.list_images(session, limit=10, status="indexed", collection="odd")
        assert queries.list_images(session, limit=10, collection="unknown") == []
        assert queries.count_images(session) == {"indexed": 2, "queued": 4}
        assert queries.count_images(session, collection="odd") == {"indexed": 1, "queued": 2}
        assert queries.count_images(session, collection="unknown") == {}
    assert pages == [ids[:4], ids[4:], []]
    assert [image.id for image in odd] == ids[1::2]
    assert [image.id for image in indexed] == ids[:2]
    assert [image.id for image in odd_and_indexed] == [ids[1]]


def test_proposals_are_stored_as_found(gallery: Gallery) -> None:
    image_id = gallery.add("Café Exit24")
    gallery.index_all()
    with session_scope(gallery.engine) as session:
        first, second = queries.list_proposals(session, image_id=image_id)
        assert first.trigrams == ["^ca", "afe", "caf", "fe$"]
    assert (first.transcript, first.folded) == ("Café", "cafe")
    assert (second.transcript, second.folded) == ("Exit24", "exit24")
    assert second.box == [10, 0, 18, 4]
    assert second.quad == [10, 0, 18, 0, 18, 4, 10, 4]
    assert [first.score, second.score] == pytest.approx([0.9, 0.5])
    assert gallery.image(image_id).proposal_count == 2


def test_deleting_is_idempotent_and_tells_the_indexes(gallery: Gallery) -> None:
    image_id = gallery.add("gone")
    gallery.index_all()
    with session_scope(gallery.engine) as session:
        sha256 = queries.delete_image(session, image_id=image_id)
    with session_scope(gallery.engine) as session:
        assert queries.delete_image(session, image_id=image_id) is None
        assert not queries.bytes_in_use(session, sha256=str(sha256))
        kinds = [line.kind for line in changes.read_since(session, watermark=0)]
        assert session.scalar(select(func.count()).select_from(Proposal)) == 0
    assert kinds == ["put", "delete"]


def test_known_bytes_reuse_what_was_found_in_another_collection(gallery: Gallery) -> None:
    gallery.encoder.seen = {"coffee": b"seen"}
    first = gallery.add("coffee shop", collection="one")
    gallery.index_all()
    second = gallery.add("coffee shop", collection="two")
    stranger = gallery.add("tea", collection="two")
    with session_scope(gallery.engine) as session:
        assert queries.reuse_proposals(session, image_id=second)
    with session_scope(gallery.engine) as session:
        assert not queries.reuse_proposals(session, image_id=stranger)
        assert not queries.reuse_proposals(session, image_id=second)  # done already
        one, two = (queries.list_proposals(session, image_id=image_id) for image_id in (first, second))
        assert [each.posteriors for each in one] == [b"seen", b""]
        columns = ("transcript", "box", "quad", "score", "embedding", "model_version", "ordinal", "trigrams")
        for column in (*columns, "posteriors"):
            assert [getattr(each, column) for each in one] == [getattr(each, column) for each in two]
    assert gallery.image(second).status == "indexed"
    assert gallery.image(second).proposal_count == 2
    assert [photo.id for photo in gallery.claim()] == [stranger]
    assert gallery.follower().served().index.count() == 2


def test_proposals_of_a_version_out_of_service_are_not_reused(gallery: Gallery) -> None:
    gallery.add("coffee", collection="one")
    gallery.index_all()
    second = gallery.add("coffee", collection="two")
    with session_scope(gallery.engine) as session:
        versions.add(session, version="2" * 64, dimension=3)
        versions.serve(session, version="2" * 64)
    with session_scope(gallery.engine) as session:
        assert not queries.reuse_proposals(session, image_id=second)


def test_job_counts_its_photos_by_state(gallery: Gallery) -> None:
    first, second, third = (gallery.add(word) for word in ("one", "two", "three"))
    with session_scope(gallery.engine) as session:
        job_id = queries.create_job(session, kind="upload", image_ids=[first, second, second], rejected=2)
        other_id = queries.create_job(session, kind="upload", image_ids=[third, first])
        empty_id = queries.create_job(session, kind="upload", image_ids=[], rejected=1)
    gallery.index(gallery.claim(limit=1))
    with session_scope(gallery.engine) as session:
        job = queries.get_job(session, job_id=job_id)
        assert (job.total, job.rejected, job.counts, job.done) == (5, 2, {"indexed": 1, "queued": 1}, False)
        assert queries.get_job(session, job_id=empty_id).done
        with pytest.raises(NotFound):
            queries.get_job(session, job_id=999)
    gallery.index_all()
    pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=second)
    with session_scope(gallery.engine) as session:
        job, other = (queries.get_job(session, job_id=each) for each in (job_id, other_id))
        assert (job.total, job.counts, job.done) == (5, {"indexed": 1}, True)
        assert (other.counts, other.done) == ({"indexed": 2}, True)


def test_lock_on_bytes_keeps_others_out(engine: Engine) -> None:
    with session_scope(engine) as holder:
        queries.lock_bytes(holder, sha256="f" * 64)
        with session_scope(engine) as other:
            free = "SELECT pg_try_advisory_xact_lock(:lock, :key)"
            keys = {"lock": queries.BYTES_LOCK}
            assert not other.scalar(text(free), keys | {"key": -1})  # 0xffffffff, signed
            assert other.scalar(text(free), keys | {"key": 0})
    with session_scope(engine) as session:
        assert not queries.bytes_in_use(session, sha256="f" * 64)


def test_new_photo_wakes_workers_and_a_change_wakes_followers(gallery: Gallery) -> None:
    import psycopg
    from sqlalchemy import make_url

    conninfo = make_url(gallery.engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as listener:
        listener.execute(f"LISTEN {queue.QUEUE_CHANNEL}")
        listener.execute(f"LISTEN {changes.CHANGE_CHANNEL}")
        gallery.add("word")
        gallery.index_all()
        heard = {notice.channel for notice in listener.notifies(timeout=5, stop_after=2)}
    assert {queue.QUEUE_CHANNEL, changes.CHANGE_CHANNEL} <= heard
