"""Initial schema: lists, contacts, list membership and imports."""

from alembic import op

revision = "contacts_0001"
down_revision = None

STATEMENTS = (
    """CREATE TABLE lists (
        company text NOT NULL,
        id uuid NOT NULL,
        name text NOT NULL,
        member_count bigint NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, id),
        UNIQUE (company, name)
    )""",
    """CREATE TABLE contacts (
        company text NOT NULL,
        id uuid NOT NULL,
        phone text NOT NULL CHECK (phone ~ '^[+][1-9][0-9]{5,14}$'),
        name text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, id),
        UNIQUE (company, phone)
    )""",
    # The backup verifier computes checksums per minute of creation.
    "CREATE INDEX contacts_created_at_brin ON contacts USING brin (created_at) WITH (autosummarize = on)",
    """CREATE TABLE list_members (
        company text NOT NULL,
        list_id uuid NOT NULL,
        contact_id uuid NOT NULL,
        PRIMARY KEY (company, list_id, contact_id),
        FOREIGN KEY (company, list_id) REFERENCES lists,
        FOREIGN KEY (company, contact_id) REFERENCES contacts
    )""",
    """CREATE TABLE imports (
        company text NOT NULL,
        id uuid NOT NULL,
        list_id uuid NOT NULL,
        accepted bigint NOT NULL DEFAULT 0,
        duplicates bigint NOT NULL DEFAULT 0,
        rejected bigint NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz,
        PRIMARY KEY (company, id),
        FOREIGN KEY (company, list_id) REFERENCES lists
    )""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
