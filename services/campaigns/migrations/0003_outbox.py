"""The outbox without row churn: rows under way are moved, none is lost. What was parked stays where it is."""

from alembic import op

from services.kit.schema import OUTBOX_V2

revision = "campaigns_0003"
down_revision = "campaigns_0002"


def upgrade() -> None:
    for statement in OUTBOX_V2:
        op.execute(statement)
