"""The worker as a whole: in a thread where it lives, in a process of its own where it is killed."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from sqlalchemy import text

from indexer import changes, queries, queue, worker
from indexer.database import session_scope
from indexer.search import search
from tests.integration.conftest import Gallery, RandomEncoder

ROOT = Path(worker.__file__).parent.parent


@contextmanager
def _running(gallery: Gallery, **options: float) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(
        target=worker.run,
        args=(gallery.engine.url, gallery.encoder, gallery.blobs),
        kwargs={"stop": stop, "poll_seconds": 0.1, **options},
    )
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def _wait(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _all(gallery: Gallery, status: str, count: int) -> Callable[[], bool]:
    return lambda: list(gallery.statuses().values()) == [status] * count


def test_photos_are_found_by_their_words_soon_after_they_were_sent(gallery: Gallery) -> None:
    early = [gallery.add(f"word{number} coffee") for number in range(9)]
    with _running(gallery, batch_size=4):
        _wait(_all(gallery, "indexed", 9))
        late = gallery.add("hotel")
        started = time.monotonic()
        _wait(_all(gallery, "indexed", 10))
        assert time.monotonic() - started < 5
    follower = gallery.follower()
    (result,) = search(gallery.engine, follower.served(), gallery.encoder, ["hotel"], limit=20).results
    assert result.hits[0].image.id == late
    assert sorted(hit.image.id for hit in result.hits) == [*early, late]
    assert max(gallery.encoder.batches) <= 4
    with session_scope(gallery.engine) as session:
        lines = changes.read_since(session, watermark=0)
        assert sorted(line.image_id for line in lines) == [*early, late]  # each exactly once
        assert changes.read_state(session).served_version == gallery.encoder.version


def test_stop_finishes_the_batch_and_releases_the_rest(gallery: Gallery) -> None:
    ids = [gallery.add(f"word{number}") for number in range(8)]
    began = threading.Event()

    class Slow(RandomEncoder):
        def encode_images(self, pictures):  # type: ignore[no-untyped-def]
            began.set()
            time.sleep(0.3)
            return super().encode_images(pictures)

    gallery.encoder = Slow()
    with _running(gallery, batch_size=2) as stop:
        assert began.wait(10)
        stop.set()
    statuses = gallery.statuses()
    assert [statuses[image_id] for image_id in ids] == ["indexed"] * 2 + ["queued"] * 6
    assert {gallery.image(image_id).attempts for image_id in ids} == {0}


def test_leases_are_kept_while_a_photo_takes_long(gallery: Gallery) -> None:
    gallery.add("word")
    stolen = []

    class Slow(RandomEncoder):
        def encode_images(self, pictures):  # type: ignore[no-untyped-def]
            for _ in range(30):
                time.sleep(0.1)
                stolen.extend(gallery.claim("thief"))
            return super().encode_images(pictures)

    gallery.encoder = Slow()
    with _running(gallery, lease_seconds=2):
        _wait(_all(gallery, "indexed", 1))
    assert stolen == []


def test_out_of_memory_makes_later_batches_smaller(gallery: Gallery) -> None:
    gallery.encoder.too_many = 1
    for number in range(9):
        gallery.add(f"word{number}")
    with _running(gallery, batch_size=4):
        _wait(_all(gallery, "indexed", 9))
    # The first batch was halved and halved again; the others do without that.
    assert gallery.encoder.batches[-5:] == [1] * 5


def test_worker_survives_the_loss_of_its_connections(
    gallery: Gallery, caplog: pytest.LogCaptureFixture
) -> None:
    with _running(gallery):
        gallery.add("before")
        _wait(_all(gallery, "indexed", 1))
        with session_scope(gallery.engine) as session:
            session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        gallery.engine.dispose()
        gallery.add("after")
        _wait(_all(gallery, "indexed", 2))


def test_claims_are_freed_after_an_interruption(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    from indexer.errors import DatabaseUnavailable

    original, failures = queries.finish_image, [DatabaseUnavailable()]

    def away_once(*arguments, **options):  # type: ignore[no-untyped-def]
        if failures:
            raise failures.pop()
        return original(*arguments, **options)

    monkeypatch.setattr(queries, "finish_image", away_once)
    gallery.add("word")
    with _running(gallery):
        _wait(_all(gallery, "indexed", 1))  # long before the lease of 30 s ends
    assert gallery.image(1).attempts == 0


def test_new_model_version_beside_an_old_one_is_reported(
    gallery: Gallery, caplog: pytest.LogCaptureFixture
) -> None:
    gallery.add("old")
    gallery.index_all()
    gallery.add("new")
    gallery.encoder = RandomEncoder(version="2" * 64)
    with caplog.at_level(logging.WARNING), _running(gallery):
        _wait(_all(gallery, "indexed", 2))
    assert "run `glyphseek reindex`" in caplog.text
    assert [gallery.image(image_id).model_version for image_id in (1, 2)] == ["1" * 64, "2" * 64]
    with session_scope(gallery.engine) as session:
        assert changes.read_state(session).served_version == "1" * 64


def test_orphans_and_old_lines_go_when_there_is_nothing_else_to_do(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ORPHAN_SECONDS", 0)
    temporary = gallery.blobs.temporary()
    temporary.write_bytes(b"orphan")
    gallery.blobs.put(temporary, "a" * 64)
    gallery.add("word")
    with _running(gallery):
        _wait(lambda: not gallery.blobs.exists("a" * 64))
        _wait(_all(gallery, "indexed", 1))


# Keeps a worker running in a child process and writes its pid. When it sees a certain text, the worker ends
# without a word, or hangs. It is forked, because importing everything anew takes seconds.
PROGRAM = """
import os, re, sys, threading, time
from pathlib import Path
from typing import IO
from indexer import worker
from indexer.blobs import BlobStore
from tests.integration.conftest import RandomEncoder

class Mortal(RandomEncoder):
    def _read(self, picture):
        found = super()._read(picture)
        if sys.argv[3] in found.transcripts:
            {"end": end, "sleep": sleep, "hold": hold}[sys.argv[5]]()
        return found

def end():
    os._exit(9)

def sleep():
    time.sleep(1000)

def hold():  # Python's lock: no other thread goes on
    re.match("(a+)+$", "a" * 40 + "b")

while True:
    pid = os.fork()
    if pid == 0:
        worker.run(sys.argv[1], Mortal(), BlobStore(Path(sys.argv[2])), stop=threading.Event(),
                   lease_seconds=float(sys.argv[4]), poll_seconds=0.05,
                   hang_seconds=None if sys.argv[5] == "end" else 2)
    print(pid, flush=True)
    os.waitpid(pid, 0)
"""


@contextmanager
def _supervised(
    gallery: Gallery, deadly: str = "?", lease_seconds: float = 0.3, way: str = "end"
) -> Iterator[IO[str]]:
    """Keep a worker alive; yield a file of the pids that it had, one after the other."""
    url = gallery.engine.url.render_as_string(hide_password=False)
    root = gallery.blobs.path("a" * 64).parents[3]
    command = [sys.executable, "-c", PROGRAM, url, str(root), deadly, str(lease_seconds), way]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("way", "lease_seconds"),
    # The next one on the machine need not wait for the lease.
    [("end", 0.3), ("end", 1000), ("sleep", 1000), ("hold", 1000)],
)
def test_photo_that_ends_or_stops_its_worker_is_given_up_and_no_other(
    gallery: Gallery, way: str, lease_seconds: float
) -> None:
    ids = [gallery.add(f"word{number}") for number in range(3)]
    deadly = gallery.add("deadly")
    with _supervised(gallery, "deadly", lease_seconds, way) as pids:
        _wait(lambda: gallery.statuses() == {**dict.fromkeys(ids, "indexed"), deadly: "failed"}, 60)
        # One ended with a batch, and three with the photo alone; the last one is idle.
        assert len({pids.readline() for _ in range(2 + queue.MAX_CRASHES)}) == 2 + queue.MAX_CRASHES
    assert gallery.image(deadly).reason == queue.CRASH_REASON
    assert {gallery.image(image_id).crashes for image_id in ids} == {0}


def test_leases_of_workers_that_may_live_are_left_alone(gallery: Gallery) -> None:
    host, gone = socket.gethostname(), subprocess.Popen("true")
    gone.wait()
    owners = [f"elsewhere:{gone.pid}:a", f"{host}:{os.getppid()}:a", "someone", f"{host}:{gone.pid}:a"]
    for number, owner in enumerate(owners):
        gallery.add(f"word{number}")
        gallery.claim(owner)
    with _running(gallery):
        _wait(lambda: gallery.statuses()[4] == "indexed")
    assert list(gallery.statuses().values()) == ["processing"] * 3 + ["indexed"]


def test_killed_worker_loses_nothing(gallery: Gallery) -> None:
    ids = [gallery.add(f"word{number}") for number in range(30)]
    with _supervised(gallery) as pids:
        for _ in range(3):
            pid = int(pids.readline())
            indexed = list(gallery.statuses().values()).count("indexed")
            _wait(lambda: list(gallery.statuses().values()).count("indexed") > indexed, 30)  # noqa: B023
            os.kill(pid, signal.SIGKILL)
        _wait(_all(gallery, "indexed", 30), 30)
    with session_scope(gallery.engine) as session:
        lines = changes.read_since(session, watermark=0)
    assert sorted(line.image_id for line in lines) == ids  # each indexed exactly once
