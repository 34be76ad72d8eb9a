"""Collections: what they hold, their quotas, and how they are renamed and dropped.

As in `queries`, the caller owns the transaction.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from indexer import changes, queries
from indexer.errors import Conflict, ImageRejected, NotFound
from indexer.tables import Collection, Image


@dataclass
class Overview:
    """A collection and what it holds.

    Attributes:
        quota_bytes: most bytes that its photos may have together; `None`: any number.
        images: photos by status; a status without photos is left out.
        bytes_used: length of all its photos together.
    """

    name: str
    quota_bytes: int | None
    created_at: datetime
    images: dict[str, int]
    bytes_used: int


def list_overviews(session: Session, *, name: str | None = None) -> list[Overview]:
    """Return all collections by name, or the one of this name."""
    statement = _by_status() if name is None else _by_status().where(Collection.name == name)
    found: dict[int, Overview] = {}
    for row, status, count, size_bytes in session.execute(statement):
        fresh = Overview(row.name, row.quota_bytes, row.created_at, images={}, bytes_used=0)
        entry = found.setdefault(row.id, fresh)
        if status is not None:
            entry.images[status] = count
            entry.bytes_used += int(size_bytes or 0)
    return list(found.values())


def _by_status() -> Select[Collection, str | None, int, int | None]:
    return (
        select(Collection, Image.status, func.count(), func.sum(Image.size_bytes))
        .outerjoin(Image, Image.collection_id == Collection.id)
        .group_by(Collection.id, Image.status)
        .order_by(Collection.name, Image.status)
    )


def overview(session: Session, *, name: str) -> Overview:
    """Return a collection and what it holds.

    Raises:
        NotFound: there is no such collection.
    """
    found = list_overviews(session, name=name)
    if not found:
        raise NotFound("there is no such collection")
    return found[0]


def create(session: Session, *, name: str, quota_bytes: int | None = None) -> None:
    """Make an empty collection.

    Raises:
        Conflict: there is one of this name.
    """
    fresh = postgres_insert(Collection).values(name=name, quota_bytes=quota_bytes)
    if session.scalar(fresh.on_conflict_do_nothing().returning(Collection.id)) is None:
        raise Conflict("there is a collection of this name already")


def rename(session: Session, *, name: str, new_name: str) -> None:
    """Give a collection another name.

    Raises:
        NotFound: there is no such collection.
        Conflict: another one has the new name.
    """
    collection_id = queries.get_collection(session, name=name).id
    try:
        with session.begin_nested():
            session.execute(update(Collection).where(Collection.id == collection_id).values(name=new_name))
    except IntegrityError as exc:
        raise Conflict("there is a collection of the new name already") from exc


def set_quota(session: Session, *, name: str, quota_bytes: int | None) -> None:
    """Set how many bytes the photos of a collection may have together (`None`: any number).

    Those that are there stay, even beyond it.

    Raises:
        NotFound: there is no such collection.
    """
    changed = update(Collection).where(Collection.name == name).values(quota_bytes=quota_bytes)
    if session.scalar(changed.returning(Collection.id)) is None:
        raise NotFound("there is no such collection")


def check_quota(session: Session, *, collection_id: int) -> None:
    """Make sure that the photos of a collection, new ones of this transaction too, are within its quota.

    Others who add to a collection with a quota wait until the transaction ends.

    Raises:
        ImageRejected: they are not; the transaction should be rolled back.
    """
    limited = select(Collection.quota_bytes).where(
        Collection.id == collection_id, Collection.quota_bytes.is_not(None)
    )
    quota_bytes = session.scalar(limited.with_for_update(key_share=True))
    if quota_bytes is None:
        return
    used = select(func.sum(Image.size_bytes)).where(Image.collection_id == collection_id)
    if (session.scalar(used) or 0) > quota_bytes:
        raise ImageRejected(f"the collection has no room for it: its quota is {quota_bytes:,} bytes")


def delete_photos(session: Session, *, name: str, limit: int) -> list[str]:
    """Delete up to `limit` photos of a collection and tell the indexes; return their sha256.

    Passes over photos that a worker is writing to at this moment. Writes the change lines: must be the last
    thing before the commit. The files go afterwards, as after `queries.delete_image`.

    Raises:
        NotFound: there is no such collection.
    """
    collection = queries.get_collection(session, name=name)
    chosen = select(Image.id).where(Image.collection_id == collection.id).order_by(Image.id).limit(limit)
    chosen = chosen.with_for_update(of=Image, skip_locked=True)
    ids = list(session.scalars(chosen))
    sha256s = session.scalars(delete(Image).where(Image.id.in_(ids)).returning(Image.sha256)).all()
    changes.record(session, delete=ids)
    return list(sha256s)


def drop(session: Session, *, name: str) -> None:
    """Drop an empty collection.

    Raises:
        NotFound: there is no such collection.
        Conflict: it holds photos.
    """
    # Uploads under way hold their collection until they are through.
    held = select(Collection.id).where(Collection.name == name).with_for_update()
    collection_id = session.scalar(held)
    if collection_id is None:
        raise NotFound("there is no such collection")
    photos = session.scalar(select(func.count()).where(Image.collection_id == collection_id))
    if photos:
        raise Conflict(f"the collection is not empty (photos in it: {photos})")
    session.execute(delete(Collection).where(Collection.id == collection_id))
