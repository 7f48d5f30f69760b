"""How many people a connection may reach in a day, and whom it has. Only adds."""

from alembic import op

revision = "whatsapp_0005"
down_revision = "whatsapp_0004"

STATEMENTS = (
    """ALTER TABLE connections
        ADD quota int,
        ADD quota_left int NOT NULL DEFAULT 0,
        ADD counted_at timestamptz NOT NULL DEFAULT '-infinity'""",
    """CREATE TABLE reached (
        company text NOT NULL,
        connection text NOT NULL,
        recipient text NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, connection, recipient)
    )""",
    "CREATE INDEX reached_at ON reached (company, connection, at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
