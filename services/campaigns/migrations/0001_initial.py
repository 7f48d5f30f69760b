"""Initial schema: campaigns, plans, messages, counts per state, and the kit's outbox and inbox.

The index `messages_pending` covers the generated column `pending` instead of `state`: most state changes then
are HOT updates, which write no index entry. A fill factor of 50 leaves room for them on each page.
"""

from alembic import op

from services.kit.postgres.schema import INBOX, OUTBOX

revision = "campaigns_0001"
down_revision = None

STATEMENTS = (
    """CREATE TABLE campaigns (
        company text NOT NULL,
        id uuid NOT NULL,
        idempotency_key text NOT NULL,
        fingerprint bytea NOT NULL,
        name text NOT NULL,
        list_name text NOT NULL,
        text text NOT NULL,
        text_variants text[] NOT NULL DEFAULT '{}',
        variables jsonb NOT NULL DEFAULT '{}',
        connection text NOT NULL,
        requested_state text NOT NULL DEFAULT 'active'
            CHECK (requested_state IN ('draft', 'scheduled', 'waiting', 'active', 'paused', 'cancelled')),
        run int NOT NULL DEFAULT 0,
        start_at timestamptz,
        missed_start_policy text NOT NULL DEFAULT 'start_late'
            CHECK (missed_start_policy IN ('start_late', 'cancel', 'revert_to_draft')),
        send_window jsonb,
        window_closes_at timestamptz,
        expires_at timestamptz,
        next_check_at timestamptz,
        status_reason text,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, id),
        UNIQUE (company, idempotency_key)
    )""",
    "CREATE INDEX campaigns_next_check ON campaigns (next_check_at) WHERE next_check_at IS NOT NULL",
    """CREATE TABLE campaign_plans (
        company text NOT NULL,
        campaign_id uuid NOT NULL,
        cursor uuid,
        total bigint,
        epoch bigint NOT NULL DEFAULT 0,
        lease_expires_at timestamptz NOT NULL DEFAULT now(),
        list_exhausted boolean NOT NULL DEFAULT false,
        pass_started_at timestamptz,
        ended_at timestamptz,
        failure text,
        PRIMARY KEY (company, campaign_id),
        FOREIGN KEY (company, campaign_id) REFERENCES campaigns
    )""",
    "CREATE INDEX campaign_plans_waiting ON campaign_plans (lease_expires_at) WHERE ended_at IS NULL",
    """CREATE TABLE messages (
        company text NOT NULL,
        campaign_id uuid NOT NULL,
        message_id uuid NOT NULL,
        contact_id uuid NOT NULL,
        run int NOT NULL DEFAULT 0,
        state smallint NOT NULL DEFAULT 0,
        state_changed_at timestamptz NOT NULL DEFAULT now(),
        pending boolean GENERATED ALWAYS AS (state = -10) STORED,
        PRIMARY KEY (company, campaign_id, message_id),
        UNIQUE (company, campaign_id, contact_id)
    ) WITH (fillfactor = 50)""",
    "CREATE INDEX messages_pending ON messages (company, campaign_id, message_id) WHERE pending",
    # The backup verifier computes checksums per minute of creation, which a UUIDv7 starts with.
    "CREATE INDEX messages_created_at_brin ON messages USING brin (message_id) WITH (autosummarize = on)",
    """CREATE TABLE campaign_state_counts (
        company text NOT NULL,
        campaign_id uuid NOT NULL,
        state smallint NOT NULL,
        messages bigint NOT NULL,
        PRIMARY KEY (company, campaign_id, state)
    ) WITH (fillfactor = 50)""",
    *OUTBOX,
    *INBOX,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
