"""Folded transcripts are ordered by their characters, so that their index finds beginnings."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_proposals_folded", "proposals")
    op.alter_column("proposals", "folded", type_=sa.Text(collation="C"), existing_nullable=False)
    op.create_index(
        "ix_proposals_folded", "proposals", ["folded", "image_id"], postgresql_include=["transcript"]
    )
