"""The worker: claims queued photos, indexes them, and keeps its claims alive, until it is told to stop."""

import faulthandler
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import psutil
from sqlalchemy import URL, Engine

from indexer import changes, pipeline, queue, versions
from indexer.blobs import BlobStore
from indexer.database import QUEUE_CHANNEL, create_engine, listen, session_scope
from indexer.errors import DatabaseUnavailable, GlyphseekError, StorageFull
from indexer.pipeline import Prepared
from indexer.queue import Claimed
from indexer.sandbox import Sandbox

if TYPE_CHECKING:  # importing torch takes seconds
    from model.encoder import Encoder

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
# Keeps a batch well below 10 s, so that stopping does not take longer.
TARGET_BATCH_SECONDS = 5.0
# Of one batch; two are in memory at a time, 3 bytes a pixel.
BATCH_PIXELS = 64_000_000
# Far longer than any step: a photo that is decoded, a batch in the network, a database that does not answer.
HANG_SECONDS = 300.0
TIDY_SECONDS = 24 * 3600.0
ORPHAN_SECONDS = 3600.0
# Longer than an API takes to read millions of proposals into a new index.
SETTLED_SECONDS = 3600.0

Decoding = Future[Prepared]


def run(
    database_url: str | URL,
    encoder: "Encoder",
    blobs: BlobStore,
    *,
    stop: threading.Event,
    batch_size: int = 16,
    max_pixels: int = 64_000_000,
    decoders: int = 2,
    lease_seconds: float = LEASE_SECONDS,
    poll_seconds: float = 1.0,
    hang_seconds: float | None = None,
) -> None:
    """Index photos until `stop` is set; then finish the batch, release the rest, and return.

    Lives through an absent database. Several workers may run at once, each in a process of its own.

    Args:
        database_url: a migrated database.
        encoder: the network.
        blobs: where the photos are.
        stop: set it, from a signal handler for example, to end; takes less than 10 s.
        batch_size: most photos in a batch.
        max_pixels: largest width x height of a photo.
        decoders: processes that decode the next batch while the network works on this one.
        lease_seconds: how long after a crash its photos wait, at most; renewed at a third of it.
        poll_seconds: how often to look without a notification.
        hang_seconds: end this process, with a traceback, when no step is done for so long: another one takes
            over what it holds. Its claims are kept alive meanwhile, so nobody else would see it.
    """
    engine = create_engine(database_url, pool_size=3)
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    ended = threading.Event()
    heartbeat = threading.Thread(target=_keep_leases, args=(engine, owner, lease_seconds, ended), daemon=True)
    heartbeat.start()
    try:
        with (
            Sandbox(max_pixels=max_pixels, processes=decoders) as sandbox,
            ThreadPoolExecutor(decoders, "decode") as pool,
        ):
            decode = partial(pipeline.prepare, blobs, sandbox, max_pixels=max_pixels)
            limits = batch_size, lease_seconds, hang_seconds
            worker = _Worker(engine, encoder, blobs, pool, decode, stop, owner, *limits)
            worker.loop(poll_seconds)
    finally:
        faulthandler.cancel_dump_traceback_later()
        ended.set()
        heartbeat.join()
        with suppress(DatabaseUnavailable), session_scope(engine) as session:
            queue.release(session, owner=owner)
        engine.dispose()


def _ended(owner: str) -> bool:
    """Tell whether another worker was on this machine and is gone; of those elsewhere nothing is known."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    # A container that is started again gives its process the same number.
    return host == socket.gethostname() and (int(rest) == os.getpid() or not psutil.pid_exists(int(rest)))


def _keep_leases(engine: Engine, owner: str, lease_seconds: float, ended: threading.Event) -> None:
    while not ended.wait(lease_seconds / 3):
        try:
            with session_scope(engine) as session:
                queue.renew(session, owner=owner, lease_seconds=lease_seconds)
        except GlyphseekError as exc:
            log.warning("leases not renewed: %s", exc.in_full, extra={"action": "renew"})


@dataclass
class _Worker:
    engine: Engine
    encoder: "Encoder"
    blobs: BlobStore
    pool: ThreadPoolExecutor
    decode: Callable[[Claimed], Prepared]
    stop: threading.Event
    owner: str
    batch_size: int
    lease_seconds: float
    hang_seconds: float | None
    seconds_per_photo: float = TARGET_BATCH_SECONDS / 2  # cautious until measured
    registered: bool = False
    superseded: bool = False
    tidy_at: float = 0.0  # of the monotonic clock

    def step(self) -> None:
        """Note that something was done; runs without Python's lock, which what hangs may hold."""
        if self.hang_seconds is not None:
            faulthandler.dump_traceback_later(self.hang_seconds, exit=True)

    def loop(self, poll_seconds: float) -> None:
        for _ in listen(self.engine.url, QUEUE_CHANNEL, self.stop, poll_seconds=poll_seconds):
            self.step()
            try:
                self.prepare_database()
                self.index_all()
                self.take_over()
                self.tidy()
            except (DatabaseUnavailable, StorageFull) as exc:
                log.warning("cannot work: %s", exc.in_full, extra={"action": "work"})
                self.registered = False  # also releases what is still claimed
                self.stop.wait(poll_seconds)

    def prepare_database(self) -> None:
        """Once, and again after every interruption: free claims of old, make the model version known."""
        if self.registered:
            return
        with session_scope(self.engine) as session:
            queue.release(session, owner=self.owner)
            queue.expire(session, ended=lambda owner: owner != self.owner and _ended(owner))
            served = versions.add(session, version=self.encoder.version, dimension=self.encoder.dimension)
            upcoming = versions.read(session).upcoming
        if self.encoder.version not in (served, upcoming):
            log.warning(
                "search answers from another model version than this one; run `glyphseek reindex`",
                extra={"action": "model_version", "served": served, "own": self.encoder.version},
            )
        self.registered = True

    def index_all(self) -> None:
        """Index until the queue is empty, decoding one batch while the network works on another."""
        batch = self.claim(busy=False)
        while batch and not self.stop.is_set():
            claimed, decoding = batch
            following = None if claimed[0].alone else self.claim(busy=True)
            self.index(decoding)
            batch = following or self.claim(busy=False)
        if batch:
            with session_scope(self.engine) as session:
                queue.release(session, owner=self.owner)

    def claim(self, *, busy: bool) -> tuple[list[Claimed], list[Decoding]] | None:
        """Claim a batch and begin to decode it; `None` if there is nothing to do or to begin any more."""
        if self.stop.is_set():
            return None
        limit = int(TARGET_BATCH_SECONDS / self.seconds_per_photo)
        with session_scope(self.engine) as session:
            if self.note_superseded(versions.is_superseded(session, version=self.encoder.version)):
                return None
            claimed = queue.claim(
                session,
                owner=self.owner,
                limit=max(1, min(self.batch_size, limit)),
                max_pixels=BATCH_PIXELS,
                lease_seconds=self.lease_seconds,
                busy=busy,
            )
        if not claimed:
            return None
        return claimed, [self.pool.submit(self.decode, photo) for photo in claimed]

    def note_superseded(self, superseded: bool) -> bool:
        """Say once that photos are left to workers with the network that search answers from."""
        if superseded and not self.superseded:
            log.warning(
                "search answers from a newer network, so this worker indexes nothing: update it, or run "
                "`glyphseek reindex` to go back to its network",
                extra={"action": "model_version", "own": self.encoder.version},
            )
        self.superseded = superseded
        return superseded

    def index(self, decoding: Sequence[Decoding]) -> None:
        started = time.perf_counter()
        batch = []
        for future in decoding:
            self.step()
            batch.append(future.result())
        self.step()
        result = pipeline.index_batch(self.engine, self.encoder, batch, owner=self.owner)
        if result.out_of_memory:
            self.batch_size = max(1, self.batch_size // 2)
            log.warning("out of memory", extra={"action": "work", "batch_size": self.batch_size})
        seconds = max((time.perf_counter() - started) / len(batch), 1e-3)
        # Half of the old estimate stays: the first batch also prepares the network.
        self.seconds_per_photo = (self.seconds_per_photo + seconds) / 2

    def take_over(self) -> None:
        """After a re-index, have search answer from this model version as soon as it covers the gallery."""
        if self.stop.is_set():
            return
        with session_scope(self.engine) as session:
            switched = versions.take_over(session, version=self.encoder.version)
        if switched:
            log.info("search answers from this model version now", extra={"action": "take_over"})
            self.tidy_at = time.monotonic() + SETTLED_SECONDS  # then the old proposals can go

    def tidy(self) -> None:
        """Now and then, when there is nothing else to do: drop old lines, proposals and orphaned files."""
        if self.stop.is_set() or time.monotonic() < self.tidy_at:
            return
        with session_scope(self.engine) as session:
            changes.prune(session)
        dropped = True
        while dropped and not self.stop.is_set():
            self.step()
            with session_scope(self.engine) as session:
                dropped = versions.drop_superseded(session, settled_seconds=SETTLED_SECONDS) > 0
        faulthandler.cancel_dump_traceback_later()  # takes as long as there are files
        pipeline.sweep(self.engine, self.blobs, older_than_seconds=ORPHAN_SECONDS)
        self.tidy_at = time.monotonic() + TIDY_SECONDS
