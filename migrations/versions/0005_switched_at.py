"""When search was switched to its model version: what it answered from before is needed a little longer."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("index_state", sa.Column("switched_at", sa.DateTime(timezone=True)))
