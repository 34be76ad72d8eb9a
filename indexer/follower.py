"""Keeps a vector index in step with the database, by the change table."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from indexer import changes
from indexer.changes import ChangeState
from indexer.database import CHANGE_CHANNEL, listen, snapshot_scope
from indexer.errors import DatabaseUnavailable, NotReady, SnapshotInvalid
from indexer.vector_index import VectorIndex

log = logging.getLogger(__name__)

SAVE_SECONDS = 300.0


@dataclass(frozen=True)
class Served:
    """An index that holds all of a database's photos as one model version sees them."""

    index: VectorIndex
    model_version: str
    database_id: str


class Follower:
    """Fills an index from its snapshot or the database, then follows every change.

    One thread changes the index. While a new one is built, because the model version was switched or too
    many changes were missed, the old one goes on answering.
    """

    def __init__(
        self,
        engine: Engine,
        make_index: Callable[[int], VectorIndex],
        *,
        snapshot: Path | None = None,
        poll_seconds: float = 1.0,
        save_seconds: float = SAVE_SECONDS,
    ) -> None:
        """Prepare; nothing is read before `start` or `catch_up`.

        Args:
            engine: the database to follow.
            make_index: returns an empty index for embeddings of this length.
            snapshot: file to keep a copy of the index in, for a quick start; `None` for none.
            poll_seconds: how often to look without a notification.
            save_seconds: how often to save the snapshot, if anything changed.
        """
        self._engine = engine
        self._make_index = make_index
        self._snapshot = snapshot
        self._poll_seconds = poll_seconds
        self._save_seconds = save_seconds
        self._served: Served | None = None
        self._watermark = 0
        self._saved: tuple[str, str, int] | None = None
        self._moved = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether there is an index to search in."""
        return self._served is not None

    @property
    def watermark(self) -> int:
        """Number of the last line of the change table that the index contains."""
        return self._watermark

    def served(self) -> Served:
        """Return the index to search in; ask anew for each search.

        Raises:
            NotReady: it is still being built, or no model version is known yet.
        """
        if self._served is None:
            raise NotReady
        return self._served

    def start(self) -> None:
        """Begin to follow, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and save the snapshot."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.save()

    def wait_until(self, seq: int, timeout_seconds: float) -> bool:
        """Wait until the index contains line `seq` of the change table; return whether it does."""
        with self._moved:
            return self._moved.wait_for(lambda: self.ready and self._watermark >= seq, timeout_seconds)

    def _run(self) -> None:
        save_at = time.monotonic() + self._save_seconds
        for _ in listen(self._engine.url, CHANGE_CHANNEL, self._stop, poll_seconds=self._poll_seconds):
            try:
                self.catch_up()
            except DatabaseUnavailable:
                log.debug("database away", extra={"action": "follow"})  # `listen` warns
            except Exception:  # the thread must live on: the next look may succeed
                log.exception("cannot follow the database", extra={"action": "follow"})
            if time.monotonic() > save_at:
                self.save()
                save_at = time.monotonic() + self._save_seconds

    def catch_up(self) -> None:
        """Bring the index to the present state of the database. Only for one thread at a time.

        Raises:
            DatabaseUnavailable: Postgres cannot be reached; the index stays as it is.
        """
        with snapshot_scope(self._engine) as session:
            state = changes.read_state(session)
            if state.served_version is None:  # a database that no model has worked in yet
                self._served = None
                return
            if not self._fits(state):
                self._replace(session, state, state.served_version)
            self._apply_lines(session, state, self.served())

    def _fits(self, state: ChangeState) -> bool:
        served = self._served
        return (
            served is not None
            and (served.database_id, served.model_version) == (state.database_id, state.served_version)
            and _reachable(self._watermark, state)
        )

    def _replace(self, session: Session, state: ChangeState, version: str) -> None:
        """Build a new index, from the snapshot if it is of use, and then put it in place of the old."""
        if self._served and self._served.database_id != state.database_id:
            self._served = None  # its ids mean other photos
        started = time.perf_counter()
        index = self._make_index(state.dimension)
        watermark = self._load(index, state, version)
        origin = "snapshot"
        if watermark is None:
            index, watermark, origin = self._make_index(state.dimension), state.last_seq, "database"
            for image in changes.read_all_vectors(session, model_version=version, dimension=state.dimension):
                index.put(*image)
        with self._moved:
            self._served = Served(index, version, state.database_id)
            self._watermark = watermark
            self._moved.notify_all()
        duration_ms = round((time.perf_counter() - started) * 1000)
        log.info(
            "index filled",
            extra={
                "action": "fill_index",
                "origin": origin,
                "proposals": len(index),
                "duration_ms": duration_ms,
            },
        )

    def _load(self, index: VectorIndex, state: ChangeState, version: str) -> int | None:
        """Return the watermark of the snapshot now in `index`, or `None` if there is none to build on."""
        if self._snapshot is None or not self._snapshot.exists():
            return None
        try:
            watermark = index.load(self._snapshot, version, state.database_id)
        except SnapshotInvalid as exc:
            log.warning("snapshot not used: %s", exc, extra={"action": "load_snapshot"})
            return None
        return watermark if _reachable(watermark, state) else None

    def _apply_lines(self, session: Session, state: ChangeState, served: Served) -> None:
        while lines := changes.read_since(session, watermark=self._watermark):
            image_ids = {line.image_id for line in lines}
            # What the lines say does not matter, only what is now: several may concern one image.
            present = changes.read_vectors(
                session,
                image_ids=list(image_ids),
                model_version=served.model_version,
                dimension=state.dimension,
            )
            for image in present:
                served.index.put(*image)
            for image_id in image_ids - {image.image_id for image in present}:
                served.index.delete(image_id)
            with self._moved:
                self._watermark = lines[-1].seq
                self._moved.notify_all()

    def save(self) -> None:
        """Save the snapshot if anything changed; failing is no error, as the index can be built afresh."""
        served = self._served
        if served is None or self._snapshot is None:
            return
        content = (served.database_id, served.model_version, self._watermark)
        if content == self._saved:
            return
        try:
            self._snapshot.parent.mkdir(parents=True, exist_ok=True)
            served.index.save(self._snapshot, self._watermark, served.model_version, served.database_id)
            self._saved = content
        except OSError as exc:
            log.warning("snapshot not saved: %s", exc, extra={"action": "save_snapshot"})


def _reachable(watermark: int, state: ChangeState) -> bool:
    """Whether the change table leads from `watermark` to the present."""
    return state.pruned_through <= watermark <= state.last_seq
