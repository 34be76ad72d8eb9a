"""From claimed photos to stored proposals, and from a deleted photo to a deleted file."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from indexer import changes, collections, images, queries, queue
from indexer.blobs import BlobStore
from indexer.database import session_scope
from indexer.errors import Conflict, DatabaseUnavailable, ImageRejected, StorageFull
from indexer.queue import Claimed
from indexer.sandbox import Sandbox

if TYPE_CHECKING:  # importing torch takes seconds
    from model.encoder import Encoder, Proposals

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]

DROPPED_PHOTOS = 200  # of a collection in one transaction: others may write in between
DROP_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Prepared:
    """A claimed photo with its picture, uint8 RGB (H, W, 3) upright, or with the error that decoding gave."""

    claimed: Claimed
    picture: Picture | Exception


@dataclass
class BatchResult:
    """What became of the photos of a batch, by id.

    Attributes:
        indexed: their proposals are stored.
        failed: they had an error; the queue tries them again or gives up.
        lost: deleted, or taken over by another worker, meanwhile; nothing was stored.
        out_of_memory: the next batch should be smaller.
    """

    indexed: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    out_of_memory: bool = False


def prepare(blobs: BlobStore, sandbox: Sandbox, claimed: Claimed, *, max_pixels: int) -> Prepared:
    """Decode a photo, and write its thumbnail if it has none; an error is returned, not raised."""
    try:
        path = blobs.path(claimed.sha256)
        picture = sandbox.call(images.decode, path, max_pixels)
        if not blobs.thumbnail_path(claimed.sha256).exists():
            blobs.write_thumbnail(claimed.sha256, sandbox.call(images.thumbnail, path, max_pixels))
    except StorageFull:  # a thumbnail can be made later; the photo can be found without
        log.warning("no space for a thumbnail", extra={"action": "thumbnail", "image_id": claimed.id})
    except Exception as exc:  # whatever it is, it must cost this photo alone
        return Prepared(claimed, exc)
    return Prepared(claimed, picture)


def index_batch(engine: Engine, encoder: "Encoder", batch: Sequence[Prepared], *, owner: str) -> BatchResult:
    """Encode photos that `owner` holds and store what was found, each photo in a transaction of its own.

    An error in one photo costs that photo alone; too little memory, or an error in the network, has the
    batch tried again in halves.

    Raises:
        DatabaseUnavailable: Postgres went away; photos not yet stored are still claimed.
        StorageFull: the disk of the database is full; likewise.
    """
    result = BatchResult()
    outcomes: list[Proposals | Exception] = []
    pictures = [photo.picture for photo in batch if not isinstance(photo.picture, Exception)]
    encoded = iter(_encode(encoder, pictures, result))
    for photo in batch:
        outcomes.append(photo.picture if isinstance(photo.picture, Exception) else next(encoded))
    for photo, outcome in zip(batch, outcomes, strict=True):
        error = outcome if isinstance(outcome, Exception) else None
        if not isinstance(outcome, Exception):
            error = _store(engine, encoder, photo.claimed.id, outcome, owner, result)
        if error is not None:
            _store_error(engine, photo.claimed.id, error, owner, result)
    return result


def _encode(
    encoder: "Encoder", pictures: Sequence[Picture], result: BatchResult
) -> "list[Proposals | Exception]":
    if not pictures:
        return []
    try:
        return list(encoder.encode_images(pictures))
    except Exception as exc:
        # Torch has a class of its own for a full GPU; by its name, because importing torch takes seconds.
        if isinstance(exc, MemoryError) or type(exc).__name__ == "OutOfMemoryError":
            result.out_of_memory = True
        if len(pictures) == 1:
            return [exc]
    half = len(pictures) // 2
    return _encode(encoder, pictures[:half], result) + _encode(encoder, pictures[half:], result)


def _store(
    engine: Engine, encoder: "Encoder", image_id: int, proposals: "Proposals", owner: str, result: BatchResult
) -> Exception | None:
    try:
        if not np.isfinite(proposals.embeddings).all():
            raise ValueError("an embedding is not finite")  # no index could take it
        with session_scope(engine) as session:
            seq = queries.finish_image(
                session, image_id=image_id, owner=owner, model_version=encoder.version, proposals=proposals
            )
    except (DatabaseUnavailable, StorageFull):
        raise
    except Exception as exc:  # numbers or texts that Postgres refuses
        return exc
    (result.lost if seq is None else result.indexed).append(image_id)
    log.info(
        "lost" if seq is None else "indexed",
        extra={"action": "index_image", "image_id": image_id, "proposals": len(proposals.scores)},
    )
    return None


def _store_error(engine: Engine, image_id: int, error: Exception, owner: str, result: BatchResult) -> None:
    # Only texts written for people go to people: others may hold paths.
    reason = str(error) if isinstance(error, ImageRejected) else "an error occurred while it was indexed"
    log.warning(
        "not indexed", exc_info=error, extra={"action": "index_image", "image_id": image_id, "reason": reason}
    )
    with session_scope(engine) as session:
        status = queue.record_error(session, image_id=image_id, owner=owner, reason=reason)
    (result.lost if status is None else result.failed).append(image_id)


def delete_photo(engine: Engine, blobs: BlobStore, *, image_id: int) -> bool:
    """Delete a photo from database, indexes and, if no other collection has the same bytes, from disk.

    Returns:
        Whether there was such a photo.
    """
    with session_scope(engine) as session:
        sha256 = queries.delete_image(session, image_id=image_id)
    if sha256 is None:
        return False
    _remove_unused(engine, blobs, [sha256])
    return True


def drop_collection(engine: Engine, blobs: BlobStore, *, name: str, with_photos: bool) -> None:
    """Drop a collection and, if that is asked for, its photos, as `delete_photo` does.

    A large one goes in several steps; if it is interrupted, it can be dropped again.

    Raises:
        NotFound: there is no such collection.
        Conflict: it holds photos, and they are not to be deleted.
    """
    while with_photos:
        with session_scope(engine) as session:
            sha256s = collections.delete_photos(session, name=name, limit=DROPPED_PHOTOS)
        _remove_unused(engine, blobs, sha256s)
        if sha256s:
            continue
        try:
            with session_scope(engine) as session:
                collections.drop(session, name=name)
            return
        except Conflict:  # some are being written to, or new ones have come
            time.sleep(DROP_PAUSE_SECONDS)
    with session_scope(engine) as session:
        collections.drop(session, name=name)


def _remove_unused(engine: Engine, blobs: BlobStore, sha256s: Sequence[str]) -> None:
    """Remove the files of deleted photos that no other collection needs.

    After the commit: a rolled back deletion must not cost the file. If this never runs, `sweep` finds it.
    """
    with session_scope(engine) as session:
        for sha256 in sorted(sha256s):  # see `queries.lock_bytes`
            if not queries.bytes_in_use(session, sha256=sha256):
                blobs.delete(sha256)


def sweep(engine: Engine, blobs: BlobStore, *, older_than_seconds: float) -> int:
    """Remove files older than this that no photo needs, as crashes leave behind; return how many.

    One by one: each keeps an upload of the same bytes waiting, and Postgres has room for so many locks only.
    """

    @contextmanager
    def unneeded(sha256: str) -> Iterator[bool]:
        with session_scope(engine) as session:
            yield not queries.bytes_in_use(session, sha256=sha256)

    with session_scope(engine) as session:
        database_id, needed = changes.read_state(session).database_id, queries.all_sha256(session)
    return blobs.sweep(database_id, needed, unneeded, older_than_seconds)
