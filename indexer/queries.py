"""Reading and writing photos, proposals and jobs; the caller owns the transaction.

Order of locks, so that no two transactions wait for each other: first `lock_bytes`, then rows, and the line
in the change table (`changes.record`) as the last thing before the commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, insert, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.orm import Session

from indexer import changes
from indexer.database import QUEUE_CHANNEL, notify
from indexer.errors import NotFound
from indexer.folding import fold, trigrams
from indexer.tables import Collection, Image, IndexState, Job, JobImage, Proposal, among_ids

if TYPE_CHECKING:  # importing torch takes seconds
    from model.encoder import Proposals

# Any fixed number; the other half of the lock's key is the photo's.
BYTES_LOCK = 0x676C_7970


class NewImage(NamedTuple):
    """A photo that `insert_image` found or made; `created` is False for one that was there before."""

    id: int
    created: bool


# What every search asks is put together once: that takes a third of the time of asking.
_EMBEDDINGS = select(Proposal.id, Proposal.embedding).where(among_ids(Proposal.id))
_QUADS = select(Proposal.id, Proposal.quad).where(among_ids(Proposal.id))


@dataclass(frozen=True)
class JobProgress:
    """How far an upload or re-index has come.

    Attributes:
        total: files that were sent, duplicates and rejected ones too.
        rejected: files that were not taken.
        counts: photos by status; those deleted meanwhile are in none.
    """

    id: int
    kind: str
    created_at: datetime
    total: int
    rejected: int
    counts: dict[str, int]

    @property
    def done(self) -> bool:
        """Whether nothing of it waits or is being worked on."""
        return not (self.counts.get("queued") or self.counts.get("processing"))


def get_or_create_collection(session: Session, *, name: str) -> Collection:
    """Return the collection of this name; a new one has no quota.

    It is neither renamed nor dropped before the transaction ends.
    """
    fresh = postgres_insert(Collection).values(name=name)
    held = select(Collection).where(Collection.name == name).with_for_update(key_share=True, read=True)
    while True:
        session.execute(fresh.on_conflict_do_nothing())
        # Gone again if somebody drops it just now.
        if collection := session.scalar(held):
            return collection


def get_collection(session: Session, *, name: str) -> Collection:
    """Return the collection of this name.

    Raises:
        NotFound: there is none.
    """
    collection = session.scalar(select(Collection).where(Collection.name == name))
    if collection is None:
        raise NotFound("there is no such collection")
    return collection


def lock_bytes(session: Session, *, sha256: str) -> None:
    """Keep everyone else from storing or removing the file of this sha256 until the transaction ends.

    To lock several in one transaction, take them in sorted order, or two uploads could wait for each other.
    """
    key = int.from_bytes(bytes.fromhex(sha256[:8]), signed=True)
    session.execute(text("SELECT pg_advisory_xact_lock(:lock, :key)"), {"lock": BYTES_LOCK, "key": key})


def bytes_in_use(session: Session, *, sha256: str) -> bool:
    """Tell whether any photo, of any collection, needs the file.

    If not, `lock_bytes` is held, and the file may be removed as long as the transaction lasts.
    """
    user = select(Image.id).where(Image.sha256 == sha256).limit(1)
    if session.scalar(user) is not None:
        return True
    lock_bytes(session, sha256=sha256)
    return session.scalar(user) is not None


def all_sha256(session: Session) -> set[str]:
    """Return the sha256 of every photo."""
    return set(session.scalars(select(Image.sha256).distinct()))


def insert_image(
    session: Session,
    *,
    collection_id: int,
    sha256: str,
    name: str,
    media_type: str,
    size_bytes: int,
    width: int,
    height: int,
    metadata: dict[str, Any] | None = None,
    taken_at: datetime | None = None,
) -> NewImage:
    """Queue a photo, or return the one of the same bytes that the collection has already.

    Whatever races there are, exactly one call for a pair of collection and sha256 gets `created`. The file
    must be stored before, in the same transaction, after `lock_bytes`.
    """
    values = {"collection_id": collection_id, "sha256": sha256, "name": name, "media_type": media_type}
    values |= {"size_bytes": size_bytes, "width": width, "height": height}
    values |= {"extra": metadata or {}, "taken_at": taken_at}
    insertion = postgres_insert(Image).values(values)
    insertion = insertion.on_conflict_do_nothing(constraint="uq_images_collection_id_sha256")
    existing = select(Image.id).where(Image.collection_id == collection_id, Image.sha256 == sha256)
    while True:
        image_id = session.scalar(insertion.returning(Image.id))
        if image_id is not None:
            notify(session, QUEUE_CHANNEL)
            return NewImage(image_id, created=True)
        # Gone again if somebody deletes it just now; then it can be inserted.
        if (image_id := session.scalar(existing)) is not None:
            return NewImage(image_id, created=False)


def reuse_proposals(session: Session, *, image_id: int) -> bool:
    """Finish a queued photo at once if the same bytes were indexed in another collection.

    Only with the model version that search answers from. Writes the change line: must be the last thing
    before the commit.
    """
    served = select(IndexState.served_version).scalar_subquery()
    image = session.scalar(
        select(Image).where(Image.id == image_id, Image.status == "queued").with_for_update(of=Image)
    )
    donor = image and session.scalar(
        select(Image)
        .where(Image.sha256 == image.sha256, Image.id != image_id)
        .where(Image.status == "indexed", Image.model_version == served)
        .limit(1)
        .with_for_update(read=True, of=Image)
    )
    if image is None or donor is None:
        return False
    copied = [column for column in Proposal.__table__.columns if column.name not in ("id", "image_id")]
    session.execute(
        insert(Proposal).from_select(
            ["image_id", *(column.name for column in copied)],
            select(literal(image_id), *copied).where(
                Proposal.image_id == donor.id, Proposal.model_version == donor.model_version
            ),
        )
    )
    image.status, image.model_version = "indexed", donor.model_version
    image.proposal_count, image.indexed_at = donor.proposal_count, func.now()
    changes.record(session, put=[image_id])
    return True


def get_image(session: Session, *, image_id: int) -> Image:
    """Return a photo with its collection.

    Raises:
        NotFound: there is no such photo.
    """
    image = session.get(Image, image_id)
    if image is None:
        raise NotFound("there is no such photo")
    return image


def get_images(session: Session, *, image_ids: Sequence[int]) -> dict[int, Image]:
    """Return photos by id; ids that do not exist are left out."""
    images = session.scalars(select(Image).where(among_ids(Image.id)), {"ids": image_ids})
    return {image.id: image for image in images}


def list_images(
    session: Session,
    *,
    limit: int,
    after_id: int = 0,
    collection: str | None = None,
    status: str | None = None,
    sha256s: Sequence[str] | None = None,
) -> list[Image]:
    """Return up to `limit` photos with an id above `after_id`, ascending: the last id is the next cursor."""
    statement = select(Image).where(Image.id > after_id).order_by(Image.id).limit(limit)
    if collection is not None:
        statement = statement.where(Image.collection.has(name=collection))
    if status is not None:
        statement = statement.where(Image.status == status)
    if sha256s is not None:
        statement = statement.where(Image.sha256.in_(sha256s))
    return list(session.scalars(statement))


def delete_image(session: Session, *, image_id: int) -> str | None:
    """Delete a photo's row and proposals and tell the indexes; return its sha256 (`None`: no such photo).

    Writes the change line: must be the last thing before the commit. The file goes afterwards, in a second
    transaction that asks `bytes_in_use`.
    """
    sha256 = session.scalar(delete(Image).where(Image.id == image_id).returning(Image.sha256))
    if sha256 is not None:
        changes.record(session, delete=[image_id])
    return sha256


def finish_image(
    session: Session, *, image_id: int, owner: str, model_version: str, proposals: "Proposals"
) -> int | None:
    """Replace the photo's proposals of this model version, mark it indexed, and tell the indexes.

    Must be the last thing before the commit.

    Returns:
        The number of its change line, or `None`, with nothing changed, if the photo was deleted or belongs
        to another worker by now.
    """
    finished = (
        update(Image)
        .where(Image.id == image_id, Image.lease_owner == owner)
        .values(
            status="indexed",
            lease_owner=None,
            lease_until=None,
            reason=None,
            attempts=0,
            crashes=0,
            model_version=model_version,
            proposal_count=len(proposals.scores),
            indexed_at=func.now(),
        )
    )
    if session.scalar(finished.returning(Image.id)) is None:
        return None
    old = (Proposal.image_id == image_id) & (Proposal.model_version == model_version)
    session.execute(delete(Proposal).where(old))
    if rows := _proposal_rows(image_id, model_version, proposals):
        session.execute(insert(Proposal), rows)
    return changes.record(session, put=[image_id])


def _proposal_rows(image_id: int, model_version: str, proposals: "Proposals") -> list[dict[str, Any]]:
    rows = []
    for ordinal, transcript in enumerate(proposals.transcripts):
        folded = fold(transcript)
        rows.append(
            {
                "image_id": image_id,
                "model_version": model_version,
                "ordinal": ordinal,
                "box": proposals.boxes[ordinal].tolist(),
                "quad": proposals.quads[ordinal].reshape(-1).tolist(),
                "score": float(proposals.scores[ordinal]),
                "transcript": transcript,
                "confidence": float(proposals.confidences[ordinal]),
                "folded": folded,
                "trigrams": trigrams(folded),
                "embedding": proposals.embeddings[ordinal].astype("<f2").tobytes(),
                "posteriors": proposals.posteriors[ordinal] if proposals.posteriors else b"",
            }
        )
    return rows


def get_vectors(session: Session, *, proposal_ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
    """Return the embeddings (D,) of proposals by id; ids that do not exist are left out."""
    if not proposal_ids:
        return {}
    rows = session.execute(_EMBEDDINGS, {"ids": proposal_ids})
    return {key: np.frombuffer(embedding, "<f2").astype(np.float32) for key, embedding in rows}


def get_quads(session: Session, proposal_ids: Sequence[int]) -> dict[int, NDArray[np.float64]]:
    """Return the corners (4, 2) of proposals by id, in pixels; ids that do not exist are left out."""
    rows = session.execute(_QUADS, {"ids": proposal_ids})
    return {proposal_id: np.reshape(quad, (4, 2)) for proposal_id, quad in rows}


def list_proposals(session: Session, *, image_id: int) -> list[Proposal]:
    """Return a photo's proposals of the model version that it was last indexed with, best first.

    Raises:
        NotFound: there is no such photo.
    """
    version = get_image(session, image_id=image_id).model_version
    of_image = select(Proposal).where(Proposal.image_id == image_id, Proposal.model_version == version)
    return list(session.scalars(of_image.order_by(Proposal.ordinal)))


def count_images(session: Session, *, collection: str | None = None) -> dict[str, int]:
    """Return the number of photos by status; a status without photos is left out."""
    statement = select(Image.status, func.count()).group_by(Image.status)
    if collection is not None:
        statement = statement.where(Image.collection.has(name=collection))
    return dict(session.execute(statement).all())


def create_job(session: Session, *, kind: str, image_ids: Sequence[int], rejected: int = 0) -> int:
    """Note one upload call or re-index run and the photos it waits for; return its id.

    A photo may be there twice, if it was sent twice; one that was deleted a moment ago is left out.
    """
    job = Job(kind=kind, rejected=rejected, total=len(image_ids) + rejected)
    session.add(job)
    session.flush()
    if image_ids:
        # Locked, so that none is deleted between the SELECT and the check of the foreign key.
        there = select(literal(job.id), Image.id).where(Image.id.in_(image_ids)).order_by(Image.id)
        there = there.with_for_update(key_share=True, read=True, of=Image)
        session.execute(insert(JobImage).from_select(["job_id", "image_id"], there))
    return job.id


def get_job(session: Session, *, job_id: int) -> JobProgress:
    """Return how far a job has come.

    Raises:
        NotFound: there is no such job.
    """
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound("there is no such job")
    by_status = (
        select(Image.status, func.count())
        .join(JobImage, JobImage.image_id == Image.id)
        .where(JobImage.job_id == job_id)
        .group_by(Image.status)
    )
    counts = dict(session.execute(by_status).all())
    return JobProgress(job.id, job.kind, job.created_at, job.total, job.rejected, counts)


def list_failures(session: Session, *, job_id: int, limit: int) -> list[Image]:
    """Return the first photos of a job that could not be indexed, by id."""
    failed = select(Image).join(JobImage, JobImage.image_id == Image.id)
    failed = failed.where(JobImage.job_id == job_id, Image.status == "failed").order_by(Image.id)
    return list(session.scalars(failed.limit(limit)))
