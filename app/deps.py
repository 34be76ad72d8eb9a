"""What routes ask for, and how it is made and ended with the application."""

import asyncio
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from app.metrics import Metrics
from app.settings import Settings
from indexer import versions
from indexer.blobs import BlobStore, move_into_place
from indexer.database import Engine, Session, create_engine, migration_state, session_scope
from indexer.errors import GlyphseekError, NotReady, StorageFull
from indexer.follower import Follower
from indexer.sandbox import Sandbox
from indexer.vector_index import FaissIndex
from model.encoder import DEFAULT_CHECKPOINT, Encoder

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
# That take uploads in at the same time; the other threads of the server are left to everybody else.
UPLOAD_THREADS = 8
FETCH_THREADS = 8
TEXT_THREADS = 2  # of a network that encodes words: one for each direction of the text branch


@dataclass
class Service:
    """Everything that the routes share."""

    settings: Settings
    engine: Engine
    blobs: BlobStore
    encoder: Encoder
    follower: Follower
    metrics: Metrics
    sandbox: Sandbox
    uploads: asyncio.Semaphore
    upload_threads: CapacityLimiter
    fetch_threads: CapacityLimiter
    looking: asyncio.Semaphore
    stopping: threading.Event = field(default_factory=threading.Event)
    _earlier: Encoder | None = None
    _loading: threading.Lock = field(default_factory=threading.Lock)

    def encoder_of(self, version: str) -> Encoder:
        """Return the network of a model version: ours, or, until a re-index is through, an earlier one.

        Raises:
            NotReady: Its checkpoint is not in the data folder.
        """
        if version == self.encoder.version:
            return self.encoder
        with self._loading:
            if self._earlier is None or self._earlier.version != version:
                try:
                    self._earlier = Encoder(
                        self.settings.checkpoint_of(version), device="cpu", threads=TEXT_THREADS
                    )
                except ValueError as exc:
                    raise NotReady(
                        "the photos were indexed by another network, whose checkpoint is not in the data "
                        "folder; run `glyphseek reindex`, and search works again when it is through"
                    ) from exc
            return self._earlier

    def begin(self) -> None:
        """Follow the database as soon as its tables are there; until then nothing is ready."""
        while not self.stopping.is_set():
            try:
                if migration_state(self.engine).up_to_date:
                    with session_scope(self.engine) as session:
                        version, dimension = self.encoder.version, self.encoder.dimension
                        versions.add(session, version=version, dimension=dimension)
                    self.follower.start()
                    return
                log.warning("the tables are not those of this version: run `glyphseek migrate`")
            except GlyphseekError as exc:
                log.warning("waiting for the database: %s", exc.in_full, extra={"action": "start"})
            except Exception:  # nobody else would start it: the next look may succeed
                log.exception("cannot start on this database", extra={"action": "start"})
            self.stopping.wait(RETRY_SECONDS)

    def end(self) -> None:
        """Save the index and let go of the database."""
        self.stopping.set()
        self.follower.stop()
        self.sandbox.close()
        self.engine.dispose()


def make_service(settings: Settings, encoder: Encoder) -> Service:
    """Make what the routes share; nothing is connected yet.

    Args:
        settings: With the URL of a database.
        encoder: The network.

    Raises:
        ValueError: The settings name no database.
    """
    engine = create_engine(settings.required_database_url())
    # An earlier network's queries may lie outside the basis: they are answered more slowly, not otherwise.
    make_index = partial(FaissIndex, basis=encoder.query_basis)
    return Service(
        settings=settings,
        engine=engine,
        blobs=BlobStore(settings.photos_dir),
        encoder=encoder,
        follower=Follower(engine, make_index, snapshot=settings.snapshot),
        metrics=Metrics(),
        sandbox=Sandbox(max_pixels=settings.max_pixels),
        uploads=asyncio.Semaphore(settings.max_uploads),
        upload_threads=CapacityLimiter(UPLOAD_THREADS),
        fetch_threads=CapacityLimiter(FETCH_THREADS),
        looking=asyncio.Semaphore(1),  # photos run through the network one at a time
    )


def make_encoder(settings: Settings, *, device: str | None = None, threads: int | None = None) -> Encoder:
    """Load the network as the settings say; `device` and `threads` overrule them."""
    return Encoder(
        settings.checkpoint or DEFAULT_CHECKPOINT,
        device=device or settings.device,
        threads=threads or settings.threads,
        longer_sides=settings.longer_sides,
        min_score=settings.detector_score,
        cache_dir=settings.networks_dir,
    )


def keep_checkpoint(settings: Settings, encoder: Encoder) -> None:
    """Copy the checkpoint into the data folder: search needs it as long as there are photos it indexed."""
    path = settings.checkpoint_of(encoder.version)
    # Not by process number: API and worker in containers of their own have the same.
    part = path.with_suffix(f".{uuid.uuid4().hex}")
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes((settings.checkpoint or DEFAULT_CHECKPOINT).read_bytes())
            move_into_place(part, path)
    except (OSError, StorageFull) as exc:
        with suppress(OSError):
            part.unlink()
        log.warning("the checkpoint could not be kept: %s", exc, extra={"action": "keep_checkpoint"})


async def get_service(request: Request) -> Service:
    """Return what the routes of this application share."""
    service: Service = request.app.state.service
    return service


def get_session(service: Annotated[Service, Depends(get_service)]) -> Iterator[Session]:
    """Yield a database session that commits when the route has returned."""
    with session_scope(service.engine) as session:
        yield session


ServiceDep = Annotated[Service, Depends(get_service)]
SessionDep = Annotated[Session, Depends(get_session, scope="function")]
