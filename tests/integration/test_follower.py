"""A follower holds at every moment what an index built afresh would hold."""

import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from indexer import changes, pipeline, queries, versions
from indexer.database import CHANGE_CHANNEL, notify, session_scope
from indexer.errors import DatabaseUnavailable, NotReady
from indexer.follower import Follower
from tests.integration.conftest import Gallery, RandomEncoder

WORDS = ["coffee", "coffees", "toffee", "exit", "exits", "google", "goggle", "hotel"]


def _ranking(gallery: Gallery, follower: Follower) -> list[list[tuple[int, float, tuple[int, ...]]]]:
    rankings = follower.served().index.search(gallery.encoder.encode_texts(WORDS), 1000)
    return [
        [(match.image_id, match.score, tuple(id_ for id_, _ in match.proposals)) for match in ranking]
        for ranking in rankings
    ]


def _change_anything(gallery: Gallery, dice: random.Random) -> None:
    kind = dice.choice(["add", "add", "index", "index again", "delete"])
    ids = sorted(gallery.statuses())
    if kind == "add":
        gallery.add(" ".join(dice.sample(WORDS, dice.randrange(4))), collection=dice.choice("abc"))
    elif kind == "index":
        gallery.index(gallery.claim(limit=2))
    elif kind == "index again" and ids:
        with session_scope(gallery.engine) as session:
            image = queries.get_image(session, image_id=dice.choice(ids))
            image.status = "queued"
    elif kind == "delete" and ids:
        pipeline.delete_photo(gallery.engine, gallery.blobs, image_id=dice.choice(ids))


@pytest.mark.parametrize("seed", range(3))
def test_follower_equals_a_fresh_index_after_any_changes(gallery: Gallery, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    gallery.add("coffee hotel")
    gallery.index_all()
    follower = gallery.follower(tmp_path / "index")
    for _ in range(12):
        for _ in range(dice.randrange(6)):
            _change_anything(gallery, dice)
        if dice.random() < 0.3:  # a restart from the snapshot
            follower.stop()
            follower = gallery.follower(tmp_path / "index")
        follower.catch_up()
        assert _ranking(gallery, follower) == _ranking(gallery, gallery.follower())


def test_nothing_to_serve_before_a_model_version_is_known(gallery: Gallery, tmp_path: Path) -> None:
    gallery.add("coffee")
    follower = gallery.follower(tmp_path / "index")
    assert not follower.ready
    with pytest.raises(NotReady):
        follower.served()
    assert not follower.wait_until(0, timeout_seconds=0.01)
    follower.stop()  # with nothing to save
    assert not (tmp_path / "index").exists()


def test_empty_gallery_is_ready(gallery: Gallery) -> None:
    gallery.index([])
    follower = gallery.follower()
    assert follower.ready
    assert follower.served().index.count() == 0
    assert follower.watermark == 0


def test_thread_follows_at_once_and_saves_at_stop(gallery: Gallery, tmp_path: Path) -> None:
    gallery.index([])
    follower = Follower(gallery.engine, _faiss, snapshot=tmp_path / "new" / "index", poll_seconds=60)
    follower.start()
    gallery.add("coffee")
    gallery.index_all()
    with session_scope(gallery.engine) as session:
        seq = changes.read_state(session).last_seq
    assert follower.wait_until(seq, timeout_seconds=30)  # by the notification: polling would take a minute
    assert not follower.wait_until(seq + 1, timeout_seconds=0.01)
    assert follower.served().index.count() == 1
    stopping = threading.Thread(target=follower.stop)
    stopping.start()
    while stopping.is_alive():  # its thread looks whether it should stop when it is woken
        with session_scope(gallery.engine) as session:
            notify(session, CHANGE_CHANNEL)
        stopping.join(0.1)
    assert (tmp_path / "new" / "index").exists()


def _faiss(dimension: int):  # type: ignore[no-untyped-def]
    from indexer.vector_index import FaissIndex

    return FaissIndex(dimension, threads=1)


@pytest.fixture
def no_cold_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count cold reads."""
    reads: list[str] = []
    original = changes.read_all_vectors

    def counting(*args, **options):  # type: ignore[no-untyped-def]
        reads.append("read")
        return original(*args, **options)

    monkeypatch.setattr(changes, "read_all_vectors", counting)
    return reads


def _with_snapshot(gallery: Gallery, path: Path) -> None:
    gallery.add("coffee exit")
    gallery.add("")
    gallery.index_all()
    gallery.follower(path).stop()


def test_snapshot_saves_the_cold_read(gallery: Gallery, tmp_path: Path, no_cold_read: list[str]) -> None:
    path = tmp_path / "index"
    _with_snapshot(gallery, path)
    assert no_cold_read == ["read"]
    gallery.add("hotel")
    gallery.index_all()  # after the snapshot
    follower = gallery.follower(path)
    assert no_cold_read == ["read"]
    assert _ranking(gallery, follower) == _ranking(gallery, gallery.follower())


def _lose(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_lose, _truncate, _flip_a_bit, _empty])
def test_spoilt_snapshot_is_rebuilt(
    gallery: Gallery,
    tmp_path: Path,
    no_cold_read: list[str],
    spoil,  # type: ignore[no-untyped-def]
) -> None:
    path = tmp_path / "index"
    _with_snapshot(gallery, path)
    no_cold_read.clear()
    spoil(path)
    follower = gallery.follower(path)
    assert no_cold_read == ["read"]
    assert follower.served().index.count() == 2


def test_snapshot_of_another_database_is_not_used(
    gallery: Gallery, other_engine: Engine, tmp_path: Path, no_cold_read: list[str]
) -> None:
    _with_snapshot(gallery, tmp_path / "index")
    other = Gallery(other_engine, gallery.blobs, gallery.encoder, gallery.sandbox)
    other.add("hotel")
    other.index_all()
    no_cold_read.clear()
    assert other.follower(tmp_path / "index").served().index.count() == 1
    assert no_cold_read == ["read"]


def test_follower_rebuilds_when_lines_it_needs_are_pruned(gallery: Gallery, no_cold_read: list[str]) -> None:
    gallery.index([])
    follower = gallery.follower()
    for number in range(4):
        gallery.add(f"word{number}")
    gallery.index_all()
    with session_scope(gallery.engine) as session:
        changes.prune(session, keep=1)
    no_cold_read.clear()
    follower.catch_up()
    assert no_cold_read == ["read"]
    assert follower.served().index.count() == 4


def test_follower_rebuilds_when_the_database_is_older_than_it(
    gallery: Gallery, no_cold_read: list[str]
) -> None:
    gallery.add("coffee")
    gallery.index_all()
    follower = gallery.follower()
    with session_scope(gallery.engine) as session:  # as a restored backup would be
        session.execute(text("DELETE FROM images"))
        session.execute(text("DELETE FROM index_changes"))
    no_cold_read.clear()
    follower.catch_up()
    assert no_cold_read == ["read"]
    assert follower.served().index.count() == 0


def test_follower_rebuilds_when_the_database_is_another(gallery: Gallery) -> None:
    gallery.add("coffee")
    gallery.index_all()
    follower = gallery.follower()
    before = follower.served()
    with session_scope(gallery.engine) as session:
        session.execute(text("UPDATE index_state SET database_id = gen_random_uuid()"))
    follower.catch_up()
    assert follower.served().database_id != before.database_id


def test_only_the_served_model_version_is_searched(gallery: Gallery) -> None:
    image_id = gallery.add("coffee exit")
    gallery.index_all()
    follower = gallery.follower()
    newer = Gallery(gallery.engine, gallery.blobs, RandomEncoder(version="2" * 64), gallery.sandbox)
    with session_scope(gallery.engine) as session:
        queries.get_image(session, image_id=image_id).status = "queued"
    newer.index_all()
    before = follower.served()
    follower.catch_up()  # the photo was changed, but not for this version
    assert follower.served() is before
    assert _best(gallery, follower) == pytest.approx(1, abs=1e-3)
    with session_scope(gallery.engine) as session:
        versions.serve(session, version="2" * 64)
    follower.catch_up()
    assert follower.served().model_version == "2" * 64
    assert _best(newer, follower) == pytest.approx(1, abs=1e-3)
    assert _best(gallery, follower) < 0.9


def _best(gallery: Gallery, follower: Follower) -> float:
    ((match,),) = follower.served().index.search(gallery.encoder.encode_texts(["coffee"]), 1)
    return match.score


def test_index_answers_while_the_database_is_away(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.add("coffee")
    gallery.index_all()
    follower = gallery.follower()

    def away(*_: object) -> None:
        raise DatabaseUnavailable

    follower.start()
    with monkeypatch.context() as patch:
        patch.setattr(changes, "read_state", away)
        gallery.add("exit")
        gallery.index_all()
        time.sleep(0.2)
        assert follower.served().index.count() == 1
    with session_scope(gallery.engine) as session:
        seq = changes.read_state(session).last_seq
    assert follower.wait_until(seq, timeout_seconds=5)
    assert follower.served().index.count() == 2
    follower.stop()


def test_snapshot_that_cannot_be_written_is_no_error(gallery: Gallery, tmp_path: Path) -> None:
    gallery.add("coffee")
    gallery.index_all()
    (tmp_path / "file").write_text("in the way")
    gallery.follower(tmp_path / "file" / "index").stop()


def test_snapshot_is_saved_now_and_then(gallery: Gallery, tmp_path: Path) -> None:
    gallery.add("coffee")
    gallery.index_all()
    follower = gallery.follower(tmp_path / "index", save_seconds=0.01)
    follower.start()
    deadline = time.monotonic() + 5
    while not (tmp_path / "index").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "index").exists()
    follower.stop()
    assert np.isfinite(follower.served().index.search(gallery.encoder.encode_texts(WORDS), 9)[0][0].score)
