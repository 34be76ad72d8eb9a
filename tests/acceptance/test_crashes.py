"""Ends at any moment, by force or in order: what was acknowledged is there afterwards, once, and is found.

Three or twenty kills of one gallery, each in the middle of uploads:

| killed, with signal 9 | when |
|---|---|
| the worker | while it has photos in hand |
| the API | 0 to 1.5 s after the uploads began; one upload is half written then |
| Postgres, all of its processes | likewise |
| everything at once, then started again | likewise |

Then the kill of everything at four moments of the very first start, and SIGTERM while photos come in, are
searched for and indexed, which must end everything within 20 s with status 0.

After each of them: nothing waits for longer than the lease of a worker that is gone; every photo of which a
client had an answer has one row, and every row is indexed, with the proposals it says it has and no more;
its file and thumbnail are there, and no others once a worker has tidied; search finds all photos, with the
scores that an index built afresh gives them.
"""

import io
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from PIL import Image, ImageDraw, ImageFont
from sqlalchemy import Engine, func, select

from app.client import Client, Photo, ServiceError
from app.settings import Settings
from indexer import tables
from indexer.blobs import BlobStore
from indexer.database import create_engine, session_scope
from indexer.embedded import EmbeddedPostgres
from indexer.errors import GlyphseekError
from indexer.follower import Follower
from indexer.vector_index import FaissIndex
from indexer.worker import LEASE_SECONDS, ORPHAN_SECONDS
from model.encoder import Encoder
from model.reranking import RERANKED
from tests.acceptance.service import STOP_SECONDS, Service

WORDS = ("coffee", "hotel", "museum", "garage", "dentist", "bakery")
PARTS = ("worker", "api", "postgres", "everything")
PHOTOS = 4  # a round
HALF_BYTES = 2_000_000  # more than fits into the buffers on the way
GONE_SECONDS = 20  # a child that Postgres forked at the moment of the kill sees by itself that it is alone
LATE_SECONDS = 15  # after a lease, until a worker that starts has noticed
MEND_SECONDS = LEASE_SECONDS + 90  # the lease of the killed worker, and the photos on a busy machine


def picture(number: int) -> Photo:
    """Return a small photo that shows a word; no two are the same."""
    image = Image.new("RGB", (320, 160), (200, 210, 220))
    pen = ImageDraw.Draw(image)
    pen.text((40, 40), WORDS[number % len(WORDS)], fill=(30, 20, 60), font=ImageFont.load_default(48))
    image.putpixel((0, 0), (number % 256, number // 256, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return Photo(f"{number}.png", buffer.getvalue())


class Sender(threading.Thread):
    """Uploads photos one by one, and notes which ones the service has acknowledged."""

    def __init__(self, url: str, photos: list[Photo], *, retries: int = 3) -> None:
        super().__init__()
        self._url, self._photos, self._retries = url, photos, retries
        self.acknowledged: list[str] = []

    def run(self) -> None:
        with Client(self._url, timeout_seconds=20, retries=self._retries) as client:
            for photo in self._photos:
                try:
                    (item,) = client.upload([photo]).items
                except GlyphseekError:
                    continue  # nobody answered: nothing was promised
                assert item.sha256 is not None
                assert item.status in ("queued", "duplicate"), item  # the answer to a first try may be lost
                self.acknowledged.append(item.sha256)


class Searcher(threading.Thread):
    """Searches until the service is gone; `answers` counts."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.answers = 0

    def run(self) -> None:
        with Client(self._url, timeout_seconds=20, retries=0) as client:
            while True:
                try:
                    client.search(WORDS[self.answers % len(WORDS)])
                    self.answers += 1
                except ServiceError as exc:
                    if exc.status in (0, 503):  # nobody answers any more, or soon
                        return
                    raise


def kill(service: Service, part: str) -> None:
    """Kill all processes of a part, or those of all parts at once."""
    if part == "everything":
        service.kill()
        return
    for process in service.part(part):
        with suppress(psutil.NoSuchProcess):  # Postgres ends its helpers itself
            process.kill()


def half_an_upload(service: Service, folder: Path) -> socket.socket:
    """Send half of a photo, and wait until the service has begun to write it down."""
    before = set((folder / "tmp").iterdir())
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="half.png"\r\n\r\n'
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    connection.sendall(
        b"POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        + f"Content-Length: {len(head) + 2 * HALF_BYTES}\r\n\r\n".encode()
        + head
        + b"\0" * HALF_BYTES
    )
    deadline = time.monotonic() + 20
    while set((folder / "tmp").iterdir()) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return connection


def wait_until_processing(service: Service) -> None:
    """Wait until the worker has photos in hand."""
    deadline = time.monotonic() + 60
    with Client(service.url, timeout_seconds=10) as client:
        while not client.health().images.get("processing"):
            assert time.monotonic() < deadline
            time.sleep(0.005)


def wait_until_settled(service: Service, engine: Engine, count: int) -> None:
    """Wait until photos are neither waiting nor being worked on, and the index holds them.

    None of them may be held by a worker that is gone for longer than its lease.
    """
    deadline = time.monotonic() + MEND_SECONDS
    state: object = None
    while time.monotonic() < deadline:
        try:
            with Client(service.url, timeout_seconds=10) as client:
                state = health = client.health()
                at_rest = set(health.images) <= {"indexed", "failed"} and sum(health.images.values()) >= count
                settled = health.status == "ok" and at_rest
                if settled and client.search(WORDS[0]).total == sum(health.images.values()):
                    return
            if health.status == "ok":
                with session_scope(engine) as session:
                    late = func.now() - tables.Image.lease_until > timedelta(seconds=LATE_SECONDS)
                    assert session.scalar(select(func.count()).where(late)) == 0
        except GlyphseekError as exc:
            state = exc
        assert service.running, service.log.read_text()
        time.sleep(0.2)
    pytest.fail(f"not settled: {state}\n{service.log.read_text()[-3000:]}")


def check(service: Service, engine: Engine, photos: Path, acknowledged: list[str]) -> None:
    """Compare what the service answers with database, disk, and an index built afresh."""
    with session_scope(engine) as session:
        images = list(session.scalars(select(tables.Image)))
        rows = select(tables.Proposal.image_id, func.count()).group_by(tables.Proposal.image_id)
        counts = dict(session.execute(rows).all())
    digests = {image.sha256 for image in images}
    assert set(acknowledged) <= digests
    assert len(images) == len(digests)
    assert {image.status for image in images} == {"indexed"}
    assert counts == {image.id: image.proposal_count for image in images}  # each shows a word, none twice
    blobs = BlobStore(photos)
    wanted = {path for sha256 in digests for path in (blobs.path(sha256), blobs.thumbnail_path(sha256))}
    wait_until_tidied(service, photos, wanted)
    follower = Follower(engine, FaissIndex)
    follower.catch_up()
    encoder = Encoder(device="cpu", threads=1)
    with Client(service.url) as client:
        for word in WORDS:
            (fresh,) = follower.served().index.search(encoder.encode_texts([word]), 1000)
            answer = client.search(word, limit=1000)
            hits, likely = answer.hits, answer.suggested_min_score
            assert len(hits) == len(images)
            # By photo: sums in another order change the seventh digit, and with it the order of twins.
            scores = {match.image_id: match.score for match in fresh}
            assert {hit.image.id: hit.score for hit in hits} == pytest.approx(scores, abs=1e-5)
            assert_ordered([hit.score for hit in hits], likely)


def assert_ordered(scores: list[float], likely: float) -> None:
    """Scores fall, but for those of doubtful photos among the first."""
    ranked = sorted(scores, reverse=True)
    doubtful = slice(sum(score >= likely for score in ranked), RERANKED)
    scores[doubtful] = sorted(scores[doubtful], reverse=True)
    assert scores == ranked


def wait_until_tidied(service: Service, photos: Path, wanted: set[Path]) -> None:
    """Wait until files that no photo needs are gone; a worker looks for old ones when it starts."""
    assert wanted <= stored(photos)
    for path in stored(photos) - wanted:
        long_ago = time.time() - 2 * ORPHAN_SECONDS
        os.utime(path, (long_ago, long_ago))
    kill(service, "worker")
    deadline = time.monotonic() + 60
    while stored(photos) != wanted:
        assert time.monotonic() < deadline, stored(photos) ^ wanted
        time.sleep(0.1)


def stored(folder: Path) -> set[Path]:
    """Return the files of photos, whole or not, and of thumbnails."""
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    yield folder
    deadline = time.monotonic() + GONE_SECONDS
    while left := [
        process for process in psutil.process_iter(["cmdline"]) if str(folder) in str(process.info)
    ]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.parametrize(
    "parts",
    [
        ("worker", "api", "everything"),
        pytest.param([*PARTS * 5], marks=pytest.mark.slow),
    ],
    ids=["3", "20"],
)
def test_kills_at_random_moments_lose_nothing(folder: Path, parts: list[str]) -> None:
    chance = random.Random(len(parts))
    acknowledged: list[str] = []
    settings = Settings(data_dir=folder / "var")
    service = Service(folder)
    try:
        service.wait_until_ready()
        engine = create_engine(EmbeddedPostgres(settings.data_dir).url)
        for number, part in enumerate(parts):
            half = half_an_upload(service, settings.photos_dir)
            sender = Sender(service.url, [picture(number * PHOTOS + index) for index in range(PHOTOS)])
            sender.start()
            if part == "worker":
                wait_until_processing(service)
            else:
                time.sleep(chance.uniform(0, 1.5))
            kill(service, part)
            if part in ("api", "everything"):
                with suppress(ConnectionError):
                    assert half.recv(1) == b""  # nothing was promised
            half.close()
            sender.join()
            acknowledged += sender.acknowledged
            if part == "everything":
                service = Service(folder)
                service.wait_until_ready()
            wait_until_settled(service, engine, len(acknowledged))
            check(service, engine, settings.photos_dir, acknowledged)
        assert acknowledged
        engine.dispose()
    finally:
        service.kill()


def test_a_stop_under_load_is_in_order_and_loses_nothing(folder: Path) -> None:
    acknowledged: list[str] = []
    settings = Settings(data_dir=folder / "var")
    engine = create_engine(EmbeddedPostgres(settings.data_dir).url)
    for number, busy in enumerate((wait_until_processing, lambda _: time.sleep(1))):
        with Service(folder) as service:
            service.wait_until_ready()
            photos = [picture(number * 1000 + index) for index in range(200)]
            senders = [Sender(service.url, photos[start::2], retries=0) for start in range(2)]
            searcher = Searcher(service.url)
            for thread in (*senders, searcher):
                thread.start()
            busy(service)
            service.send(signal.SIGTERM)
            assert service.wait(STOP_SECONDS) == 0
            for thread in (*senders, searcher):
                thread.join()
            new = [digest for sender in senders for digest in sender.acknowledged]
            assert 0 < len(new) < len(photos)  # it came in the middle
            assert searcher.answers
            acknowledged += new
    assert "Traceback" not in service.log.read_text()
    with Service(folder) as service:
        service.wait_until_ready()
        wait_until_settled(service, engine, len(acknowledged))
        check(service, engine, settings.photos_dir, acknowledged)
    engine.dispose()


def test_a_kill_during_the_very_first_start_needs_no_hand(folder: Path) -> None:
    moments = {
        "the cluster is made": lambda service: service.runs("initdb"),
        "the database starts": lambda service: service.runs("postgres") and not service.runs("initdb"),
        "tables are there": lambda service: service.runs("api"),
        "photos could be taken": lambda service: service.runs("worker"),
    }
    for reached in moments.values():
        with Service(folder) as service:
            while not reached(service):
                assert service.running, service.log.read_text()
                time.sleep(0.01)
            service.kill()
    settings = Settings(data_dir=folder / "var")
    with Service(folder) as service:
        service.wait_until_ready()
        engine = create_engine(EmbeddedPostgres(settings.data_dir).url)
        with Client(service.url) as client:
            sha256 = client.upload([picture(0)]).items[0].sha256
        wait_until_settled(service, engine, 1)
        check(service, engine, settings.photos_dir, [str(sha256)])
        engine.dispose()
