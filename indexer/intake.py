"""Takes photos in: checks them, stores their bytes and queues them."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Engine

from indexer import collections, images, queries
from indexer.archives import Arrival, Refusal
from indexer.blobs import BlobStore
from indexer.database import session_scope
from indexer.errors import ImageRejected, StorageFull
from indexer.sandbox import Sandbox

MAX_NAME_CHARACTERS = 255
# Control characters, half characters, and what turns the direction of the text around it: with that,
# "photo\u202egpj.exe" looks like "photoexe.jpg". Letters written from right to left need none of it.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Receipt:
    """What became of one file: `queued`, `indexed` (bytes known elsewhere), `duplicate` or `rejected`."""

    id: int | None
    name: str
    sha256: str | None
    status: str
    reason: str | None = None


def clean_name(name: str) -> str:
    """Return a file name without folders and without what Postgres or a screen cannot take."""
    base = PurePosixPath(name.replace("\\", "/")).name
    base = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", base)
    return base[:MAX_NAME_CHARACTERS] or "unnamed"


def take_in(
    engine: Engine,
    blobs: BlobStore,
    sandbox: Sandbox,
    arrival: Arrival | Refusal,
    *,
    collection: str,
    metadata: dict[str, Any],
    max_pixels: int,
) -> Receipt:
    """Store one file and queue it; when this returns, it survives a power cut.

    The temporary file is gone afterwards in any case.

    Raises:
        StorageFull: No space left.
        DatabaseUnavailable: Postgres cannot be reached.
        NotReady: The service is stopping.
    """
    name = clean_name(arrival.name)
    if isinstance(arrival, Refusal):
        return Receipt(None, name, None, "rejected", arrival.reason)
    try:
        info = sandbox.call(images.inspect, arrival.path, max_pixels)
        with session_scope(engine) as session:
            queries.lock_bytes(session, sha256=arrival.sha256)
            collection_id = queries.get_or_create_collection(session, name=collection).id
            image = queries.insert_image(
                session,
                collection_id=collection_id,
                sha256=arrival.sha256,
                name=name,
                media_type=info.media_type,
                size_bytes=arrival.size_bytes,
                width=info.width,
                height=info.height,
                metadata=metadata,
                taken_at=info.taken_at,
            )
            if image.created:
                collections.check_quota(session, collection_id=collection_id)
            blobs.put(arrival.path, arrival.sha256)
            reused = image.created and queries.reuse_proposals(session, image_id=image.id)
    except ImageRejected as exc:
        return Receipt(None, name, arrival.sha256, "rejected", str(exc))
    except StorageFull:
        _remove_unused(engine, blobs, arrival.sha256)  # there may be a file by now, without a row
        raise
    finally:
        arrival.path.unlink(missing_ok=True)
    if not image.created:
        return Receipt(image.id, name, arrival.sha256, "duplicate")
    return Receipt(image.id, name, arrival.sha256, "indexed" if reused else "queued")


def _remove_unused(engine: Engine, blobs: BlobStore, sha256: str) -> None:
    """Remove a file that no row needs."""
    with session_scope(engine) as session:
        if not queries.bytes_in_use(session, sha256=sha256):
            blobs.delete(sha256)
