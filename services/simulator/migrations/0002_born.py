"""When rows were made, by block: the witness of the backups takes checksums of a minute at a time."""

from alembic import op

revision = "simulator_0002"
down_revision = "simulator_0001"


def upgrade() -> None:
    op.execute("CREATE INDEX sends_born ON sends USING brin (received_at) WITH (autosummarize = on)")


def downgrade() -> None:
    op.execute("DROP INDEX sends_born")
