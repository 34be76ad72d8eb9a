"""First tables: collections, images, proposals, changes of the index, model versions, jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False)


def moment(name: str, *, nullable: bool = False) -> sa.Column[sa.DateTime]:
    default = None if nullable else sa.func.now()
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def counter(name: str, type_: type[sa.Integer] = sa.SmallInteger) -> sa.Column[int]:
    return sa.Column(name, type_, server_default=sa.text("0"), nullable=False)


def upgrade() -> None:
    create_collections_and_versions()
    create_images()
    create_proposals()
    create_index_changes()
    create_jobs()


def create_collections_and_versions() -> None:
    op.create_table(
        "collections",
        identity(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("quota_bytes", sa.BigInteger),
        moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_collections"),
        sa.UniqueConstraint("name", name="uq_collections_name"),
    )
    op.create_table(
        "model_versions",
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("dimension", sa.BigInteger, nullable=False),
        moment("created_at"),
        sa.PrimaryKeyConstraint("version", name="pk_model_versions"),
    )


def create_images() -> None:
    op.create_table(
        "images",
        identity(),
        sa.Column("collection_id", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("width", sa.BigInteger, nullable=False),
        sa.Column("height", sa.BigInteger, nullable=False),
        sa.Column("metadata", postgresql.JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        moment("taken_at", nullable=True),
        sa.Column("status", sa.Text, server_default="queued", nullable=False),
        sa.Column("reason", sa.Text),
        counter("attempts"),
        counter("crashes"),
        moment("not_before"),
        sa.Column("lease_owner", sa.Text),
        moment("lease_until", nullable=True),
        sa.Column("claimed_alone", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("model_version", sa.Text),
        counter("proposal_count"),
        moment("created_at"),
        moment("indexed_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.UniqueConstraint("collection_id", "sha256", name="uq_images_collection_id_sha256"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name="fk_images_collection_id"),
        sa.ForeignKeyConstraint(
            ["model_version"], ["model_versions.version"], name="fk_images_model_version"
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'processing', 'indexed', 'failed')", name=op.f("ck_images_status")
        ),
        sa.CheckConstraint(
            "(status = 'processing') = (lease_owner IS NOT NULL)"
            " AND (lease_owner IS NULL) = (lease_until IS NULL)",
            name=op.f("ck_images_lease"),
        ),
    )
    op.create_index("ix_images_sha256", "images", ["sha256"])
    op.create_index("ix_images_collection_id", "images", ["collection_id", "id"])
    op.create_index(
        "ix_images_queued", "images", ["not_before", "id"], postgresql_where=sa.text("status = 'queued'")
    )
    op.create_index(
        "ix_images_leased", "images", ["lease_until"], postgresql_where=sa.text("status = 'processing'")
    )


def create_proposals() -> None:
    op.create_table(
        "proposals",
        identity(),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("ordinal", sa.SmallInteger, nullable=False),
        sa.Column("box", postgresql.ARRAY(sa.REAL), nullable=False),
        sa.Column("quad", postgresql.ARRAY(sa.REAL), nullable=False),
        sa.Column("score", sa.REAL, nullable=False),
        sa.Column("transcript", sa.Text, nullable=False),
        sa.Column("confidence", sa.REAL, nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("trigrams", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_proposals"),
        sa.UniqueConstraint(
            "image_id", "model_version", "ordinal", name="uq_proposals_image_id_model_version_ordinal"
        ),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], ondelete="CASCADE", name="fk_proposals_image_id"
        ),
        sa.ForeignKeyConstraint(
            ["model_version"], ["model_versions.version"], name="fk_proposals_model_version"
        ),
        sa.CheckConstraint("cardinality(box) = 4 AND cardinality(quad) = 8", name=op.f("ck_proposals_shape")),
    )
    # float16 numbers don't compress: trying only costs time.
    op.execute("ALTER TABLE proposals ALTER COLUMN embedding SET STORAGE EXTERNAL")
    op.create_index("ix_proposals_folded", "proposals", ["folded"])
    op.create_index("ix_proposals_trigrams", "proposals", ["trigrams"], postgresql_using="gin")


def create_index_changes() -> None:
    op.create_table(
        "index_changes",
        sa.Column("seq", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        moment("created_at"),
        sa.PrimaryKeyConstraint("seq", name="pk_index_changes"),
        sa.CheckConstraint("kind IN ('put', 'delete')", name=op.f("ck_index_changes_kind")),
    )
    op.create_table(
        "index_state",
        sa.Column("id", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("database_id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        counter("pruned_through", sa.BigInteger),
        sa.Column("served_version", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_index_state"),
        sa.ForeignKeyConstraint(
            ["served_version"], ["model_versions.version"], name="fk_index_state_served_version"
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_index_state_one_row")),
    )
    op.execute("INSERT INTO index_state (id) VALUES (1)")


def create_jobs() -> None:
    op.create_table(
        "jobs",
        identity(),
        sa.Column("kind", sa.Text, nullable=False),
        counter("rejected", sa.BigInteger),
        counter("total", sa.BigInteger),
        moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.CheckConstraint("kind IN ('upload', 'reindex')", name=op.f("ck_jobs_kind")),
    )
    op.create_table(
        "job_images",
        sa.Column("job_id", sa.BigInteger, nullable=False),
        sa.Column("image_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "image_id", name="pk_job_images"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE", name="fk_job_images_job_id"),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], ondelete="CASCADE", name="fk_job_images_image_id"
        ),
    )
    op.create_index("ix_job_images_image_id", "job_images", ["image_id"])
