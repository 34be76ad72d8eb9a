"""The change table: what a vector index must read to stay in step with the database.

Sequence numbers are given out before commit, so a later line could become visible before an earlier one, and
a follower would skip the earlier one for ever. Every writer therefore takes one lock as the last thing before
it inserts, and keeps it until its commit: the order of `seq` is the order of commits.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, Select, delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from indexer.database import CHANGE_CHANNEL, notify
from indexer.tables import Image, IndexChange, IndexState, JobImage, ModelVersion, Proposal

# Any fixed number that no other lock of this database uses.
CHANGE_LOCK = 0x676C_7970_6861
KEPT_LINES = 100_000
READ_ROWS = 1000

Embeddings = NDArray[np.float16]


class ImageVectors(NamedTuple):
    """What a vector index holds of one image: N proposal ids and their (N, D) vectors; N may be 0."""

    image_id: int
    proposal_ids: list[int]
    vectors: Embeddings


@dataclass(frozen=True)
class ChangeState:
    """How far the change table reaches, and which index it is for.

    Attributes:
        database_id: the database's own random id.
        served_version: model version that search answers from; `None` before the first one is known.
        dimension: length of its embeddings; 0 before.
        pruned_through: lines up to this one are gone.
        last_seq: number of the newest line there ever was.
    """

    database_id: str
    served_version: str | None
    dimension: int
    pruned_through: int
    last_seq: int


def record(session: Session, *, put: Sequence[int] = (), delete: Sequence[int] = ()) -> int:
    """Note that these images got new proposals or are gone; return the number of the last line (0 for none).

    Must be the last statement before the caller's commit: every other writer waits until then, and a row
    lock taken afterwards could end in a deadlock.
    """
    lines = [{"image_id": image_id, "kind": "put"} for image_id in put]
    lines += [{"image_id": image_id, "kind": "delete"} for image_id in delete]
    if not lines:
        return 0
    session.flush()
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CHANGE_LOCK})
    last_seq = max(session.scalars(insert(IndexChange).returning(IndexChange.seq), lines))
    notify(session, CHANGE_CHANNEL)
    return last_seq


def read_state(session: Session) -> ChangeState:
    """Return how far the change table reaches."""
    newest = select(func.max(IndexChange.seq)).scalar_subquery()
    row = session.execute(
        select(
            IndexState.database_id,
            IndexState.served_version,
            func.coalesce(ModelVersion.dimension, 0),
            IndexState.pruned_through,
            func.greatest(newest, IndexState.pruned_through),  # ignores the NULL of an empty table
        ).outerjoin(ModelVersion, ModelVersion.version == IndexState.served_version)
    ).one()
    database_id, *rest = row
    return ChangeState(str(database_id), *rest)


def read_since(session: Session, *, watermark: int, limit: int = READ_ROWS) -> list[IndexChange]:
    """Return the next lines after `watermark`, oldest first, at most `limit`."""
    newer = select(IndexChange).where(IndexChange.seq > watermark)
    return list(session.scalars(newer.order_by(IndexChange.seq).limit(limit)))


def last_of_job(session: Session, *, job_id: int) -> int:
    """Return the number of the last line about a photo of the job, 0 without any."""
    lines = select(func.max(IndexChange.seq)).join(JobImage, JobImage.image_id == IndexChange.image_id)
    return session.scalar(lines.where(JobImage.job_id == job_id)) or 0


def prune(session: Session, *, keep: int = KEPT_LINES) -> int:
    """Drop all but the newest `keep` lines; return how many went. A follower that needed them rebuilds."""
    state = session.scalars(select(IndexState).with_for_update()).one()
    through = read_state(session).last_seq - keep
    if through <= state.pruned_through:
        return 0
    session.execute(update(IndexState).values(pruned_through=through))
    gone = session.execute(delete(IndexChange).where(IndexChange.seq <= through).returning(IndexChange.seq))
    return len(gone.all())


def _select_vectors(model_version: str) -> Select[int, int | None, bytes]:
    """Select the proposals of all images that have been indexed, and a row of NULLs for one without."""
    of_image = (Proposal.image_id == Image.id) & (Proposal.model_version == model_version)
    return (
        select(Image.id, Proposal.id, Proposal.embedding)
        .outerjoin(Proposal, of_image)
        .where(Image.model_version.is_not(None))
        .order_by(Image.id, Proposal.ordinal)
    )


def _by_image(rows: Iterable[Row[int, int | None, bytes]], dimension: int) -> Iterator[ImageVectors]:
    for image_id, group in groupby(rows, key=itemgetter(0)):
        found = [(proposal_id, embedding) for _, proposal_id, embedding in group if proposal_id is not None]
        vectors = np.frombuffer(b"".join(embedding for _, embedding in found), np.dtype("<f2"))
        ids = [proposal_id for proposal_id, _ in found]
        yield ImageVectors(image_id, ids, vectors.reshape(len(ids), dimension))


def read_vectors(
    session: Session, *, image_ids: Sequence[int], model_version: str, dimension: int
) -> list[ImageVectors]:
    """Return what the index should hold of these images; those that it should not hold are left out."""
    statement = _select_vectors(model_version).where(Image.id.in_(image_ids))
    return list(_by_image(session.execute(statement), dimension))


def read_all_vectors(session: Session, *, model_version: str, dimension: int) -> Iterator[ImageVectors]:
    """Yield what the index should hold of every image, in the order of their ids.

    Streams: a gallery of any size takes little memory here. To go with `read_state`, both must be read in
    one `database.snapshot_scope`.
    """
    session.execute(text("SET LOCAL statement_timeout = 0"))
    statement = _select_vectors(model_version).execution_options(yield_per=READ_ROWS)
    yield from _by_image(session.execute(statement), dimension)
