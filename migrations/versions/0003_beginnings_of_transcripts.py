"""The index of transcripts finds beginnings of words."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_proposals_folded", "proposals")
    op.create_index(
        "ix_proposals_folded",
        "proposals",
        ["folded"],
        postgresql_ops={"folded": "text_pattern_ops"},
        postgresql_include=["image_id", "transcript"],
    )
