"""Kill -9 of any part at any moment: what was acknowledged is there afterwards, once, and is found."""

import io
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from PIL import Image, ImageDraw, ImageFont
from sqlalchemy import select

from app.client import Client, Photo
from app.settings import Settings
from indexer import pipeline, tables
from indexer.blobs import BlobStore
from indexer.database import create_engine, session_scope
from indexer.embedded import EmbeddedPostgres
from indexer.errors import GlyphseekError
from indexer.follower import Follower
from indexer.vector_index import FaissIndex
from indexer.worker import LEASE_SECONDS
from model.encoder import Encoder
from tests.acceptance.service import Service

WORDS = ("coffee", "hotel", "museum", "garage", "dentist", "bakery")
PARTS = ("worker", "api", "postgres", "everything")
PHOTOS = 4  # a round
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

    def __init__(self, url: str, photos: list[Photo]) -> None:
        super().__init__()
        self._url, self._photos = url, photos
        self.acknowledged: list[str] = []

    def run(self) -> None:
        with Client(self._url, timeout_seconds=20) as client:
            for photo in self._photos:
                try:
                    (item,) = client.upload([photo]).items
                except GlyphseekError:
                    continue  # nobody answered: nothing was promised
                assert item.sha256 is not None
                assert item.status == "queued", item
                self.acknowledged.append(item.sha256)


def kill(service: Service, part: str) -> None:
    """Kill all processes of a part, or those of all parts at once."""
    if part == "everything":
        service.kill()
        return
    for process in service.part(part):
        with suppress(psutil.NoSuchProcess):  # Postgres ends its helpers itself
            process.kill()


def wait_until_settled(service: Service, count: int) -> None:
    """Wait until photos are neither waiting nor being worked on, and the index holds them."""
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
        except GlyphseekError as exc:
            state = exc
        assert service.running, service.log.read_text()
        time.sleep(0.2)
    pytest.fail(f"not settled: {state}\n{service.log.read_text()[-3000:]}")


def check(service: Service, folder: Path, acknowledged: list[str]) -> None:
    """Compare what the service answers with database, disk, and an index built afresh."""
    settings = Settings(data_dir=folder / "var")
    engine = create_engine(EmbeddedPostgres(settings.data_dir).url)
    try:
        with session_scope(engine) as session:
            images = list(session.scalars(select(tables.Image)))
            owners = set(session.scalars(select(tables.Proposal.image_id)))
        digests = [image.sha256 for image in images]
        assert set(acknowledged) <= set(digests)
        assert len(digests) == len(set(digests))
        assert {image.status for image in images} == {"indexed"}
        assert {image.id for image in images} == owners  # each shows a word
        blobs = BlobStore(settings.photos_dir)
        pipeline.sweep(engine, blobs, older_than_seconds=0)
        assert stored(settings.photos_dir) == set(digests)
        follower = Follower(engine, FaissIndex)
        follower.catch_up()
        encoder = Encoder(device="cpu", threads=1)
        with Client(service.url) as client:
            for word in WORDS:
                (fresh,) = follower.served().index.search(encoder.encode_texts([word]), 1000)
                hits = client.search(word, limit=1000).hits
                assert len(hits) == len(images)
                # By photo: sums in another order change the seventh digit, and with it the order of twins.
                scores = {match.image_id: match.score for match in fresh}
                assert {hit.image.id: hit.score for hit in hits} == pytest.approx(scores, abs=1e-5)
                assert hits == sorted(hits, key=lambda hit: -hit.score)
    finally:
        engine.dispose()


def stored(folder: Path) -> set[str]:
    """Return the names of the stored photos, whole or not, by their digests."""
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".jpg"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    yield folder
    for process in psutil.process_iter(["cmdline"]):
        assert str(folder) not in " ".join(process.info["cmdline"] or [])


@pytest.mark.parametrize(
    "parts",
    [
        ("worker", "postgres", "everything"),
        pytest.param([*PARTS * 5], marks=pytest.mark.slow),
    ],
    ids=["3", "20"],
)
def test_kills_at_random_moments_lose_nothing(folder: Path, parts: list[str]) -> None:
    chance = random.Random(len(parts))
    acknowledged: list[str] = []
    service = Service(folder)
    try:
        service.wait_until_ready()
        for number, part in enumerate(parts):
            sender = Sender(service.url, [picture(number * PHOTOS + index) for index in range(PHOTOS)])
            sender.start()
            time.sleep(chance.uniform(0, 1.5))
            kill(service, part)
            sender.join()
            acknowledged += sender.acknowledged
            if part == "everything":
                service = Service(folder)
                service.wait_until_ready()
            wait_until_settled(service, len(acknowledged))
            check(service, folder, acknowledged)
        assert acknowledged
    finally:
        service.kill()


def test_a_kill_during_the_very_first_start_needs_no_hand(folder: Path) -> None:
    for moment in ("initdb", "postgres"):
        with Service(folder) as service:
            while not service.runs(moment):
                assert service.running, service.log.read_text()
                time.sleep(0.01)
            service.kill()
    with Service(folder) as service:
        service.wait_until_ready()
        with Client(service.url) as client:
            client.upload([picture(0)])
        wait_until_settled(service, 1)
