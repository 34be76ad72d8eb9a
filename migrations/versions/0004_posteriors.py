"""What the reader saw in each proposal, by which the first photos of a ranking are ordered once more."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    posteriors = sa.Column("posteriors", sa.LargeBinary, server_default=sa.text("''"), nullable=False)
    op.add_column("proposals", posteriors)
