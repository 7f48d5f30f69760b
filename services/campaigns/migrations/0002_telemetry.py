"""Progress of planning, and the trace context of the request that started a plan."""

from alembic import op

revision = "campaigns_0002"
down_revision = "campaigns_0001"

STATEMENTS = (
    "ALTER TABLE campaign_plans ADD COLUMN progressed_at timestamptz NOT NULL DEFAULT now()",
    "ALTER TABLE campaign_plans ADD COLUMN traceparent text NOT NULL DEFAULT ''",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
