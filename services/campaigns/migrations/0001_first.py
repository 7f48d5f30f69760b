"""Campaigns, plans, messages, counts, and the kit's outbox and inbox."""

from alembic import op

from services.kit.schema import INBOX_V1, OUTBOX_V1

revision = "campaigns_0001"
down_revision = None

TABLES = (
    """CREATE TABLE campaigns (
        company text NOT NULL,
        id uuid NOT NULL,
        key text NOT NULL,
        digest bytea NOT NULL,
        name text NOT NULL,
        list_name text NOT NULL,
        text text NOT NULL,
        connection text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, id),
        UNIQUE (company, key)
    )""",
    """CREATE TABLE plans (
        company text NOT NULL,
        campaign_id uuid NOT NULL,
        cursor uuid,
        total bigint,
        epoch bigint NOT NULL DEFAULT 0,
        leased_until timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz,
        failure text,
        PRIMARY KEY (company, campaign_id),
        FOREIGN KEY (company, campaign_id) REFERENCES campaigns
    )""",
    "CREATE INDEX plans_waiting ON plans (leased_until) WHERE ended_at IS NULL",
    """CREATE TABLE messages (
        company text NOT NULL,
        campaign_id uuid NOT NULL,
        message_id uuid NOT NULL,
        contact_id uuid NOT NULL,
        state smallint NOT NULL DEFAULT 0,
        changed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, campaign_id, message_id),
        UNIQUE (company, campaign_id, contact_id)
    ) WITH (fillfactor = 80)""",
    """CREATE TABLE counts (
        company text NOT NULL,
        campaign_id uuid NOT NULL,
        state smallint NOT NULL,
        messages bigint NOT NULL,
        PRIMARY KEY (company, campaign_id, state)
    ) WITH (fillfactor = 50)""",
    *OUTBOX_V1,
    *INBOX_V1,
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)


def downgrade() -> None:
    for table in ("parked", "inbox", "outbox_lane", "outbox", "counts", "messages", "plans", "campaigns"):
        op.execute(f"DROP TABLE {table}")
