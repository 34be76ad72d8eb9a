"""Tables in Postgres, the one truth beside the photo files; every change is a revision in migrations/."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    any_,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, mapped_column, relationship

# A photo waits (queued), is held by one worker under a lease (processing), and ends as indexed or failed.
STATUSES = ("queued", "processing", "indexed", "failed")
CHANGE_KINDS = ("put", "delete")
JOB_KINDS = ("upload", "reindex")


def one_of(column: str, values: tuple[str, ...]) -> str:
    """Return the SQL condition that `column` holds one of `values`."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Floats(ARRAY[float]):
    """A list of numbers, taken as the driver gives it: looking at each again takes longer than a query."""

    cache_ok = True

    def result_processor(self, dialect: Any, coltype: Any) -> None:  # type: ignore[override]
        """Return that there is nothing to be done."""


class _Ids(ARRAY[int]):
    """Numbers as a parameter, written here: the driver would ask of each whether it needs quotes."""

    cache_ok = True

    def bind_processor(self, dialect: Any) -> Any:
        """Return what writes a list as Postgres reads it."""
        return lambda ids: f"{{{','.join(map(str, ids))}}}"


class Table(DeclarativeBase):
    """Base of all tables: names every constraint, and maps Python types to columns."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (read by SQLAlchemy, never changed)
        int: BigInteger,
        str: Text,
        float: REAL,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[float]: Floats(REAL),
        list[str]: ARRAY(Text),
        UUID: Uuid,
    }


class Collection(Table):
    """A named set of photos; the same bytes may lie in several."""

    __tablename__ = "collections"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    quota_bytes: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Image(Table):
    """One photo of one collection, and how far its indexing has come.

    `width` and `height` are pixels of the upright picture. `attempts` counts errors while indexing, `crashes`
    counts ends of the process while the photo was alone in it. `model_version` and `proposal_count` describe
    the last time it was indexed; they are kept while it waits to be indexed again, and so is its place in
    the index: a photo is in the index exactly when `model_version` is set.
    """

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"))
    sha256: Mapped[str]
    name: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    # The attribute `metadata` belongs to SQLAlchemy.
    extra: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=text("'{}'::jsonb"))
    taken_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(server_default="queued")
    reason: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    crashes: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    claimed_alone: Mapped[bool] = mapped_column(server_default=text("false"))
    model_version: Mapped[str | None] = mapped_column(ForeignKey("model_versions.version"))
    proposal_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    indexed_at: Mapped[datetime | None]

    collection: Mapped[Collection] = relationship(lazy="joined", innerjoin=True)

    __table_args__ = (
        UniqueConstraint("collection_id", "sha256"),
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint(
            "(status = 'processing') = (lease_owner IS NOT NULL)"
            " AND (lease_owner IS NULL) = (lease_until IS NULL)",
            name="lease",
        ),
        Index("ix_images_sha256", "sha256"),
        Index("ix_images_collection_id", "collection_id", "id"),
        Index("ix_images_queued", "not_before", "id", postgresql_where=text("status = 'queued'")),
        Index("ix_images_leased", "lease_until", postgresql_where=text("status = 'processing'")),
    )


class Proposal(Table):
    """One text region of a photo, as one model version sees it.

    `box` is [x0, y0, x1, y1] and `quad` four corners [x, y, ...], in pixels of the upright original.
    `folded` is the transcript as `folding.fold` leaves it, `trigrams` the index of its parts.
    """

    __tablename__ = "proposals"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
    model_version: Mapped[str] = mapped_column(ForeignKey("model_versions.version"))
    ordinal: Mapped[int] = mapped_column(SmallInteger)
    box: Mapped[list[float]]
    quad: Mapped[list[float]]
    score: Mapped[float]
    transcript: Mapped[str]
    confidence: Mapped[float]
    # In the order of its characters, so that words of one beginning are neighbours.
    folded: Mapped[str] = mapped_column(Text(collation="C"))
    trigrams: Mapped[list[str]] = mapped_column(deferred=True)  # only looked up by
    # Numbers of float16, little endian. The migration sets STORAGE EXTERNAL: they don't compress.
    embedding: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    # As `model.reranking` has them; empty if nobody noted them.
    posteriors: Mapped[bytes] = mapped_column(LargeBinary, server_default=text("''"), deferred=True)

    __table_args__ = (
        UniqueConstraint("image_id", "model_version", "ordinal"),
        CheckConstraint("cardinality(box) = 4 AND cardinality(quad) = 8", name="shape"),
        Index("ix_proposals_trigrams", "trigrams", postgresql_using="gin"),
        # Finds beginnings too, and answers suggestions without a look at the table.
        Index("ix_proposals_folded", "folded", "image_id", postgresql_include=["transcript"]),
    )


class IndexChange(Table):
    """One line of news for the vector indexes: an image got new proposals, or is gone.

    No foreign key: the line must outlive the image.
    """

    __tablename__ = "index_changes"

    seq: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    image_id: Mapped[int]
    kind: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (CheckConstraint(one_of("kind", CHANGE_KINDS), name="kind"),)


class ModelVersion(Table):
    """A checkpoint, by the SHA-256 of its file, and the length of its embeddings."""

    __tablename__ = "model_versions"

    version: Mapped[str] = mapped_column(primary_key=True)
    dimension: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class IndexState(Table):
    """The one row that says which database this is and which model version search answers from.

    `upcoming_version` is the one that a re-index is filling; since `switched_at` search answers from the
    served one.
    """

    __tablename__ = "index_state"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    database_id: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    pruned_through: Mapped[int] = mapped_column(server_default=text("0"))
    served_version: Mapped[str | None] = mapped_column(ForeignKey("model_versions.version"))
    upcoming_version: Mapped[str | None] = mapped_column(ForeignKey("model_versions.version"))
    switched_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)


class Job(Table):
    """One upload call or one re-index run; its progress is the states of its images."""

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    kind: Mapped[str]
    rejected: Mapped[int] = mapped_column(server_default=text("0"))
    total: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (CheckConstraint(one_of("kind", JOB_KINDS), name="kind"),)


class JobImage(Table):
    """An image that a job waits for; a photo sent twice belongs to two jobs."""

    __tablename__ = "job_images"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)

    __table_args__ = (Index("ix_job_images_image_id", "image_id"),)


def among_ids(column: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """Return the condition that a column is one of the parameter `ids`, many as one, unlike `in_`."""
    return column == any_(bindparam("ids", type_=_Ids(BigInteger)))


def in_set(column: InstrumentedAttribute[int], name: str) -> ColumnElement[bool]:
    """Return the condition that a column is in the parameter of this name, where no index leads to the rows.

    As a query Postgres hashes the ids; of an array it would look at all for every row.
    """
    return column.in_(select(func.unnest(bindparam(name, type_=_Ids(BigInteger)))))
