"""The change table: nothing is missed, nothing is seen that is not committed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import Engine, text

from indexer import changes, queries
from indexer.database import session_scope, snapshot_scope
from tests.integration.conftest import DIMENSION, Gallery, RandomEncoder

WRITERS = 8
LINES_EACH = 60


def test_a_follower_misses_nothing_while_many_write(engine: Engine) -> None:
    writing = threading.Event()
    writing.set()

    def write(writer: int) -> None:
        for number in range(LINES_EACH):
            with session_scope(engine) as session:
                session.execute(text("SELECT pg_sleep(random() / 1000)"))  # as work before the line would
                changes.record(session, put=[writer * LINES_EACH + number])

    def follow() -> list[int]:
        seen: list[int] = []
        watermark, last_look = 0, False
        while True:
            with session_scope(engine) as session:
                lines = changes.read_since(session, watermark=watermark, limit=7)
                seen += [line.image_id for line in lines]
                watermark = lines[-1].seq if lines else watermark
            if last_look and not lines:
                return seen
            last_look = not writing.is_set()

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        following = pool.submit(follow)
        for each in [pool.submit(write, writer) for writer in range(WRITERS)]:
            each.result()
        writing.clear()
        seen = following.result()
    assert sorted(seen) == list(range(WRITERS * LINES_EACH))  # each once, none missing


def test_rolled_back_change_leaves_no_line(engine: Engine) -> None:
    with pytest.raises(RuntimeError), session_scope(engine) as session:  # noqa: PT012
        changes.record(session, put=[1])
        raise RuntimeError
    with session_scope(engine) as session:
        assert changes.record(session) == 0  # nothing to note
        assert changes.read_since(session, watermark=0) == []


def test_record_returns_the_last_number_and_keeps_the_kind(engine: Engine) -> None:
    with session_scope(engine) as session:
        last = changes.record(session, put=[5, 6], delete=[7])
    with session_scope(engine) as session:
        lines = changes.read_since(session, watermark=0)
        assert [(line.image_id, line.kind) for line in lines] == [(5, "put"), (6, "put"), (7, "delete")]
        assert lines[-1].seq == last == changes.read_state(session).last_seq
        assert changes.read_since(session, watermark=last) == []


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (100, 10),  # more than there are
        (10, 10),  # all of them
        (3, 3),
        (0, 0),  # the newest number is still known
    ],
)
def test_prune_keeps_the_newest_lines(engine: Engine, keep: int, left: int) -> None:
    with session_scope(engine) as session:
        last = changes.record(session, put=range(10))
    with session_scope(engine) as session:
        assert changes.prune(session, keep=keep) == 10 - left
    with session_scope(engine) as session:
        state = changes.read_state(session)
        lines = changes.read_since(session, watermark=state.pruned_through)
        assert len(lines) == left
        assert (state.pruned_through, state.last_seq) == (last - left, last)
        assert changes.prune(session, keep=keep) == 0


def test_vectors_come_back_as_they_were_stored(gallery: Gallery, encoder: RandomEncoder) -> None:
    two, none = gallery.add("coffee shop"), gallery.add("")
    waiting = gallery.add("later")
    gallery.index([claimed for claimed in gallery.claim() if claimed.id != waiting])
    with snapshot_scope(gallery.engine) as session:
        everything = list(
            changes.read_all_vectors(session, model_version=encoder.version, dimension=DIMENSION)
        )
        some = changes.read_vectors(
            session, image_ids=[none, waiting, 999], model_version=encoder.version, dimension=DIMENSION
        )
        proposals = queries.list_proposals(session, image_id=two)
    first, second = everything
    assert (first.image_id, second.image_id) == (two, none)
    assert first.proposal_ids == [proposal.id for proposal in proposals]
    assert np.array_equal(first.vectors, encoder.encode_texts(["coffee", "shop"]).astype(np.float16))
    assert second.proposal_ids == []
    assert second.vectors.shape == (0, DIMENSION)
    assert [image.image_id for image in some] == [none]


def test_long_gallery_is_read_in_pieces(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "READ_ROWS", 3)
    ids = [gallery.add(f"word{number} two three") for number in range(5)]
    gallery.index_all()
    with snapshot_scope(gallery.engine) as session:
        images = list(changes.read_all_vectors(session, model_version="1" * 64, dimension=DIMENSION))
    assert [image.image_id for image in images] == ids
    assert all(image.vectors.shape == (3, DIMENSION) for image in images)
