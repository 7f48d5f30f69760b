"""Callbacks are taken by their time: nothing looks for one by its send, so no index is written for that."""

from alembic import op

revision = "simulator_0003"
down_revision = "simulator_0002"


def upgrade() -> None:
    op.execute("ALTER TABLE callbacks DROP CONSTRAINT callbacks_pkey")


def downgrade() -> None:
    op.execute("ALTER TABLE callbacks ADD PRIMARY KEY (send_id, place)")
