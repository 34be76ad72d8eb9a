"""The queue of photos that wait to be indexed: rows of `images`, claimed by workers under a lease.

    queued ──claim──► processing ──queries.finish_image──► indexed
      ▲  ▲                │  │
      │  └──release───────┤  └──record_error, for good──► failed
      └──record_error, wait┘                                 │
      └──────────────────────retry───────────────────────────┘

By `requeue`, indexed and failed photos are queued again for a re-index.
A row whose lease ran out is claimed alone next. Only if the process ends again while the photo is alone in
it does that count against the photo, so neither its neighbours nor a kill by hand cost an innocent one.
Times are the database's: clocks of workers may differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from indexer.database import QUEUE_CHANNEL, notify
from indexer.errors import NotFound
from indexer.tables import Image

BACKOFF_SECONDS = (2, 15, 60)
MAX_CRASHES = 3
CRASH_REASON = "the program that reads photos ended three times while it read this one"


@dataclass(frozen=True)
class Claimed:
    """A photo that a worker holds.

    Attributes:
        alone: nothing else may be worked on beside it; it may be what ended a worker.
    """

    id: int
    sha256: str
    alone: bool


def _from_now(seconds: float) -> ColumnElement[datetime]:
    return func.now() + timedelta(seconds=seconds)


def claim(
    session: Session,
    *,
    owner: str,
    limit: int,
    max_pixels: int,
    lease_seconds: float,
    busy: bool = False,
) -> list[Claimed]:
    """Take up to `limit` due photos for `owner`; commit at once to make it hold.

    New ones come first, then those that are to be indexed again; of each the oldest first.

    Args:
        session: the caller's transaction.
        owner: name of this worker, different for every process.
        limit: most photos to take, at least 1.
        max_pixels: take no more than this many pixels together, but always one photo.
        lease_seconds: how long they are kept from other workers without `renew`.
        busy: the worker has other photos in hand. It gets none then while there is one to claim alone.
    """
    if suspect := _lock_suspect(session, owner):
        if busy:
            return []
        if suspect := _without_deadly(session, owner, suspect):
            return _lease(session, [suspect], owner, lease_seconds, alone=True)
    due = (
        select(Image)
        .where(Image.status == "queued", Image.not_before <= func.now())
        .order_by(Image.model_version.is_not(None), Image.not_before, Image.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Image)
    )
    chosen: list[Image] = []
    for image in session.scalars(due):
        max_pixels -= image.width * image.height
        if chosen and max_pixels < 0:
            break
        chosen.append(image)
    return _lease(session, chosen, owner, lease_seconds, alone=False)


def _lock_suspect(session: Session, owner: str) -> Image | None:
    """Return a photo that another worker left behind."""
    left_behind = (
        select(Image)
        .where(Image.status == "processing", Image.lease_until < func.now(), Image.lease_owner != owner)
        .order_by(Image.lease_until, Image.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=Image)
    )
    return session.scalar(left_behind)


def _without_deadly(session: Session, owner: str, suspect: Image | None) -> Image | None:
    """Count the end of its worker against a suspect that was alone; return the first one not yet given up."""
    while suspect:
        suspect.crashes += suspect.claimed_alone
        if suspect.crashes < MAX_CRASHES:
            return suspect
        _let_go(suspect, "failed", CRASH_REASON)
        session.flush()
        suspect = _lock_suspect(session, owner)
    return None


def _lease(
    session: Session, images: Sequence[Image], owner: str, lease_seconds: float, *, alone: bool
) -> list[Claimed]:
    for image in images:
        image.status = "processing"
        image.claimed_alone = alone
        image.lease_owner = owner
        image.lease_until = _from_now(lease_seconds)
    session.flush()
    return [Claimed(image.id, image.sha256, alone) for image in images]


def _let_go(image: Image, status: str, reason: str | None) -> None:
    image.status = status
    image.reason = reason
    image.lease_owner = image.lease_until = None


def renew(session: Session, *, owner: str, lease_seconds: float) -> int:
    """Lengthen the leases of all photos that `owner` still holds; return how many."""
    mine = update(Image).where(Image.lease_owner == owner).values(lease_until=_from_now(lease_seconds))
    return len(session.execute(mine.returning(Image.id)).all())


def expire(session: Session, *, ended: Callable[[str], bool]) -> None:
    """End the leases of workers that are gone; as after any lease, their photos are claimed alone next.

    Args:
        session: the caller's transaction.
        ended: tells whether a worker, given the name it claimed by, is known to be gone. If it errs, the
            worker finds its lease lost, and what it did is not kept.
    """
    owners = session.scalars(select(Image.lease_owner).where(Image.lease_owner.is_not(None)).distinct())
    gone = [owner for owner in owners if owner and ended(owner)]
    session.execute(update(Image).where(Image.lease_owner.in_(gone)).values(lease_until=func.now()))


def release(session: Session, *, owner: str, image_ids: Sequence[int] | None = None) -> int:
    """Put photos of `owner` back as if never claimed (all without `image_ids`); return how many."""
    mine = update(Image).where(Image.lease_owner == owner)
    if image_ids is not None:
        mine = mine.where(Image.id.in_(image_ids))
    mine = mine.values(status="queued", lease_owner=None, lease_until=None)
    released = len(session.execute(mine.returning(Image.id)).all())
    if released:
        notify(session, QUEUE_CHANNEL)
    return released


def record_error(session: Session, *, image_id: int, owner: str, reason: str) -> str | None:
    """Note that indexing the photo failed; it is tried again after 2, 15 and 60 s, and then failed.

    Args:
        session: the caller's transaction.
        image_id: the photo.
        owner: who holds it; nothing happens if that is somebody else by now.
        reason: one line for the user.

    Returns:
        The photo's new status, or `None` if `owner` no longer holds it.
    """
    held = select(Image).where(Image.id == image_id, Image.lease_owner == owner)
    image = session.scalar(held.with_for_update(of=Image))
    if image is None:
        return None
    image.attempts += 1
    if image.attempts > len(BACKOFF_SECONDS):
        _let_go(image, "failed", reason)
    else:
        wait_seconds = BACKOFF_SECONDS[image.attempts - 1]
        _let_go(image, "queued", reason)
        image.not_before = _from_now(wait_seconds)
    session.flush()
    return image.status


def requeue(session: Session, condition: ColumnElement[bool]) -> int:
    """Queue photos again with a clean record; return how many. They keep their place in the index."""
    again = update(Image).where(condition)
    again = again.values(status="queued", reason=None, attempts=0, crashes=0, not_before=func.now())
    count = len(session.execute(again.returning(Image.id)).all())
    if count:
        notify(session, QUEUE_CHANNEL)
    return count


def retry(session: Session, *, image_id: int) -> str:
    """Queue a failed photo again with a clean record, or a waiting one at once; return the status it has now.

    A photo that is processing or indexed stays as it is.

    Raises:
        NotFound: there is no such photo.
    """
    image = session.get(Image, image_id, with_for_update={"of": Image}, populate_existing=True)
    if image is None:
        raise NotFound
    if image.status in ("failed", "queued"):
        _let_go(image, "queued", None)
        image.attempts = image.crashes = 0
        image.not_before = func.now()
        session.flush()
        notify(session, QUEUE_CHANNEL)
    return image.status
