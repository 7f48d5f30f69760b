"""The first message of a plan that may be in flight: a check continues there and not at the first message."""

from alembic import op

revision = "campaigns_0003"
down_revision = "campaigns_0002"

STATEMENT = "ALTER TABLE campaign_plans ADD COLUMN IF NOT EXISTS in_flight_from uuid"
"""Databases that were created shortly before this migration have the column."""


def upgrade() -> None:
    op.execute(STATEMENT)
