"""The model version that a re-index is filling."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("index_state", sa.Column("upcoming_version", sa.Text))
    op.create_foreign_key(
        "fk_index_state_upcoming_version",
        "index_state",
        "model_versions",
        ["upcoming_version"],
        ["version"],
    )
