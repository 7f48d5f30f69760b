"""Verification of a restored database: tables whose rows never change, and invariants over all tables.

Pure text: the backup verifier in the cluster computes checksums of the tables while the platform runs, and
the restore drill computes them again on a restored copy. Rows are grouped by the minute of their creation.
The creation time is set by the transaction or application that creates the row, so a minute is complete only
when it is older than `WATERMARK_DELAY_SECONDS` and no transaction is open that began before its end.
"""

from __future__ import annotations

from dataclasses import dataclass

RPO_SECONDS = 60
"""Recovery point objective: the loss of an environment costs at most this much of acknowledged writes."""
ARCHIVE_TIMEOUT_SECONDS = 30
"""Postgres archives its WAL at least this often while anything is written."""
HEARTBEAT_INTERVAL_SECONDS = 10
"""The backup verifier writes a row this often; the newest restored row shows how current a restore is."""
WATERMARK_DELAY_SECONDS = 60
"""Longest time from creating an id to committing its row."""
MAX_BACKUP_AGE_SECONDS = 26 * 3600
"""Backup and restore drill run daily; one that is more than two hours late is a problem."""

SCHEMA = "esq_backup"
"""Schema of the backup verifier's own tables."""

_UUID7_TIMESTAMP = (
    "to_timestamp(('x' || translate(left({column}::text, 13), '-', ''))::bit(48)::bigint / 1000.0)"
)
"""The first 48 bits of a UUIDv7 are milliseconds since 1970 (RFC 9562)."""


@dataclass(frozen=True)
class ChecksummedTable:
    """A table with columns that never change after the insert, and without deletes.

    Attributes:
        name: name, including its schema.
        columns: immutable columns; the checksum covers them.
        created_at_expression: expression of a row's creation time.
        created_since_filter: condition on rows created at or after the parameter `%(since)s`, backed by an
            index.
        version: number that grows when `columns` change; checksums of other versions are not compared.
    """

    name: str
    columns: tuple[str, ...]
    created_at_expression: str
    created_since_filter: str
    version: int = 1

    @property
    def label(self) -> str:
        """Key of its stored checksums."""
        return self.name if self.version == 1 else f"{self.name}/{self.version}"


def _by_timestamp(name: str, created_at: str, *columns: str, version: int = 1) -> ChecksummedTable:
    """Return a table with a creation time column."""
    return ChecksummedTable(name, (*columns, created_at), created_at, f"{created_at} >= %(since)s", version)


def _by_uuid7(name: str, key: str, *columns: str) -> ChecksummedTable:
    """Return a table whose only creation time is in its UUIDv7."""
    smallest = (
        "rpad(lpad(to_hex((extract(epoch FROM %(since)s::timestamptz) * 1000)::bigint), 12, '0'), 32, '0')"
    )
    created_since = f"{key} >= {smallest}::uuid"
    return ChecksummedTable(name, (*columns, key), _UUID7_TIMESTAMP.format(column=key), created_since)


CHECKSUMMED_TABLES = (
    _by_timestamp("contacts.contacts", "created_at", "company", "id", "phone"),
    _by_timestamp("campaigns.campaigns", "created_at", "company", "id", "idempotency_key"),
    _by_uuid7("campaigns.messages", "message_id", "company", "campaign_id", "contact_id"),
    _by_timestamp(
        "whatsapp.messages",
        "requested_at",
        *("company", "message_id", "campaign_id", "contact_id", "connection", "recipient", "text"),
    ),
    _by_timestamp(
        "simulator.received_messages",
        "received_at",
        *("id", "client_reference", "phone_number_id", "wamid"),
    ),
)


def checksum_query(table: ChecksummedTable) -> str:
    """Return the query of the checksums per minute of rows created in [`%(since)s`, `%(until)s`).

    Its rows are (minute, rows, sum of a 64-bit hash of each row): a sum does not depend on the order.
    """
    row = f"hashtextextended(ROW({', '.join(table.columns)})::text, 0)::numeric"
    created_at = table.created_at_expression
    return (
        f"SELECT date_trunc('minute', {created_at}) AS minute, count(*), sum({row})::text\n"
        f"FROM {table.name}\n"
        f"WHERE {table.created_since_filter} AND {created_at} < %(until)s GROUP BY 1 ORDER BY 1"
    )


@dataclass(frozen=True)
class Invariant:
    """A condition that holds at every commit.

    Attributes:
        name: the condition as a sentence.
        violations_query: query of the rows that violate it; it returns none when the invariant holds.
    """

    name: str
    violations_query: str


INVARIANTS = (
    Invariant(
        "state counters equal the counted messages",
        """SELECT company, campaign_id, c.messages, m.messages
FROM (SELECT * FROM campaigns.campaign_state_counts WHERE messages <> 0) c
FULL JOIN (SELECT company, campaign_id, state, count(*) AS messages FROM campaigns.messages
           GROUP BY 1, 2, 3) m
USING (company, campaign_id, state) WHERE c.messages IS DISTINCT FROM m.messages""",
    ),
    Invariant(
        "a campaign has one message per contact",
        """SELECT company, campaign_id, contact_id FROM campaigns.messages
GROUP BY 1, 2, 3 HAVING count(*) > 1""",
    ),
    Invariant(
        "every message belongs to a campaign",
        """SELECT m.message_id FROM campaigns.messages m
WHERE NOT EXISTS (SELECT FROM campaigns.campaigns c WHERE c.company = m.company AND c.id = m.campaign_id)""",
    ),
    Invariant(
        "every campaign message to send was planned by its campaign",
        """SELECT w.message_id FROM whatsapp.messages w
WHERE w.campaign_id <> '' AND NOT EXISTS (SELECT FROM campaigns.messages m
                                          WHERE m.company = w.company AND m.message_id = w.message_id)""",
    ),
    Invariant(
        "the member count of a list equals its members",
        """SELECT l.id FROM contacts.lists l WHERE l.member_count <>
(SELECT count(*) FROM contacts.list_members m WHERE m.company = l.company AND m.list_id = l.id)""",
    ),
    Invariant(
        "every list member is a contact",
        """SELECT m.contact_id FROM contacts.list_members m
WHERE NOT EXISTS (SELECT FROM contacts.contacts c WHERE c.company = m.company AND c.id = m.contact_id)""",
    ),
)
