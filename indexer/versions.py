"""Model versions: which one search answers from, and how a newer one takes its place.

Two versions never share an index: one query encoder cannot rank what two image encoders made. A re-index
fills the proposals of the newer version beside the old ones, photo by photo, while search stays with the
old version; when the newer one covers the gallery, one row switches, and the old proposals go.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.orm import Session

from indexer import queue
from indexer.database import CHANGE_CHANNEL, notify
from indexer.tables import Image, IndexState, Job, JobImage, ModelVersion, Proposal

DROPPED_ROWS = 20_000


@dataclass(frozen=True)
class Versions:
    """The version that search answers from, and the one that is being filled; `None`: there is none."""

    served: str | None
    upcoming: str | None


def read(session: Session) -> Versions:
    """Return which versions there are."""
    row = session.execute(select(IndexState.served_version, IndexState.upcoming_version)).one()
    return Versions(*row)


def add(session: Session, *, version: str, dimension: int) -> str:
    """Make a checkpoint known, and return the version that search answers from.

    That is this one if no photo has been indexed yet; otherwise it has to index the gallery first.
    """
    known = postgres_insert(ModelVersion).values(version=version, dimension=dimension)
    session.execute(known.on_conflict_do_nothing())
    served = session.scalars(select(IndexState.served_version)).one()
    in_use = session.scalar(select(Image.id).where(Image.model_version.is_not(None)).limit(1)) is not None
    if served is not None and (served == version or in_use):
        return served
    serve(session, version=version)
    return version


def serve(session: Session, *, version: str) -> None:
    """Have search answer from this version; every index is rebuilt from its proposals."""
    switched = {"served_version": version, "upcoming_version": None, "switched_at": func.now()}
    session.execute(update(IndexState).values(switched))
    notify(session, CHANGE_CHANNEL)


def is_superseded(session: Session, *, version: str) -> bool:
    """Tell whether search answers from a newer version than this one, which no re-index brings back.

    What this one indexed, nobody would find.
    """
    own = select(ModelVersion.created_at).where(ModelVersion.version == version).scalar_subquery()
    newer = (
        select(ModelVersion.version)
        .join(IndexState, IndexState.served_version == ModelVersion.version)
        .where(ModelVersion.created_at > own, IndexState.upcoming_version.is_distinct_from(version))
    )
    return session.scalar(newer) is not None


def start_reindex(session: Session, *, version: str) -> Job:
    """Queue the photos that this version has not indexed, or all if there are none; return the job.

    Args:
        session: the caller's transaction.
        version: a known one, of the workers that run.
    """
    behind = Image.model_version.is_distinct_from(version)
    settled = Image.status.in_(("indexed", "failed"))
    any_behind = session.scalar(select(Image.id).where(settled, behind).limit(1)) is not None
    session.execute(
        update(IndexState).values(
            upcoming_version=func.nullif(literal(version), IndexState.served_version),
        )
    )
    job = Job(kind="reindex", total=0)
    session.add(job)
    session.flush()
    chosen = select(literal(job.id), Image.id).where(settled & behind if any_behind else settled)
    chosen = chosen.order_by(Image.id).with_for_update(of=Image)
    session.execute(insert(JobImage).from_select(["job_id", "image_id"], chosen))
    ours = select(JobImage.image_id).where(JobImage.job_id == job.id)
    job.total = queue.requeue(session, Image.id.in_(ours))
    session.flush()
    return job


def take_over(session: Session, *, version: str) -> bool:
    """Serve the upcoming version if it covers the gallery; return whether it was switched.

    Photos that another version indexed meanwhile are queued again. One that this version failed to index
    does not hold the others up.
    """
    if read(session).upcoming != version:  # looked at often: without a lock first
        return False
    state = session.scalars(select(IndexState).with_for_update()).one()
    if state.upcoming_version != version:
        return False
    behind = Image.model_version.is_not(None) & (Image.model_version != version)
    queued_again = queue.requeue(session, behind & (Image.status == "indexed"))
    waiting = select(Image.id).where(behind, Image.status.in_(("queued", "processing"))).limit(1)
    if queued_again or session.scalar(waiting) is not None:
        return False
    serve(session, version=version)
    return True


def drop_superseded(session: Session, *, settled_seconds: float = 0.0, limit: int = DROPPED_ROWS) -> int:
    """Delete up to `limit` proposals that neither search nor their photo needs; return how many.

    None if search was switched less than `settled_seconds` ago: while an API reads the new ones into its
    index, it still answers from the old ones.
    """
    settled = func.now() - timedelta(seconds=settled_seconds)
    if session.scalar(select(IndexState.id).where(IndexState.switched_at > settled)) is not None:
        return 0
    needed = select(IndexState.served_version).scalar_subquery()
    others = select(ModelVersion.version).where(ModelVersion.version != needed).limit(1)
    if session.scalar(others) is None:  # to look through all proposals takes a while
        return 0
    superseded = (
        select(Proposal.id)
        .join(Image, Image.id == Proposal.image_id)
        .where(Proposal.model_version != needed, Proposal.model_version != Image.model_version)
        .limit(limit)
    )
    gone = session.execute(delete(Proposal).where(Proposal.id.in_(superseded)).returning(Proposal.id))
    return len(gone.all())
