"""What a restored database is held against: tables whose rows never change, and truths about all of them.

Pure text: the witness in the cluster takes checksums of the tables while the platform runs, the drill takes
them again of a restored copy. A table is counted by the minute its rows were born in. The column that tells
the minute is set by the transaction or application that makes the row, so a minute is closed only when it is
older than `CLOSED_AFTER_SECONDS` and no transaction is open that began before its end.
"""

from __future__ import annotations

from dataclasses import dataclass

RPO_SECONDS = 60
"""A whole environment lost at once costs at most the last so many seconds of acknowledged writes."""
ARCHIVE_SECONDS = 30
"""Postgres hands over its log at least this often while anything is written."""
HEARTBEAT_SECONDS = 10
"""The witness writes a row this often: what is restored tells by it how far it reaches."""
CLOSED_AFTER_SECONDS = 60
"""Time that an application may take from making an id to committing the row that bears it."""
STALE_SECONDS = 26 * 3600
"""A backup or a drill is due once a day; two hours late is a trouble."""

SCHEMA = "esq_backup"
"""Of the witness's own tables."""

_OF_UUID7 = "to_timestamp(('x' || translate(left({column}::text, 13), '-', ''))::bit(48)::bigint / 1000.0)"
"""The first 48 bits of a UUIDv7 are milliseconds since 1970 (RFC 9562)."""


@dataclass(frozen=True)
class Table:
    """A table of which some columns never change once the row is there, and no row is ever deleted.

    Attributes:
        name: with its schema.
        columns: those that never change; the checksum is over them.
        born: expression that tells when a row was made.
        since: condition of rows made at or after the parameter `%(since)s`, which an index answers.
        version: raised when `columns` change: what was written down of others is then not compared.
    """

    name: str
    columns: tuple[str, ...]
    born: str
    since: str
    version: int = 1

    @property
    def label(self) -> str:
        """What checksums are filed under."""
        return self.name if self.version == 1 else f"{self.name}/{self.version}"


def _timed(name: str, born: str, *columns: str, version: int = 1) -> Table:
    return Table(name, (*columns, born), born, f"{born} >= %(since)s", version)


def _by_id(name: str, key: str, *columns: str) -> Table:
    """Return a table whose only time is in its UUIDv7."""
    least = (
        "rpad(lpad(to_hex((extract(epoch FROM %(since)s::timestamptz) * 1000)::bigint), 12, '0'), 32, '0')"
    )
    since = f"{key} >= {least}::uuid"
    return Table(name, (*columns, key), _OF_UUID7.format(column=key), since)


TABLES = (
    _timed("contacts.contacts", "created_at", "company", "id", "phone"),
    _timed(
        "campaigns.campaigns",
        "created_at",
        *("company", "id", "idempotency_key"),
        version=2,
    ),
    _by_id("campaigns.messages", "message_id", "company", "campaign_id", "contact_id"),
    _timed(
        "whatsapp.messages",
        "requested_at",
        *("company", "message_id", "campaign_id", "contact_id", "connection", "recipient", "body"),
    ),
    _timed("simulator.sends", "received_at", "id", "tracker", "phone_number_id", "wamid"),
)


def checksums(table: Table) -> str:
    """Return the query for rows made in [`%(since)s`, `%(until)s`), per minute.

    Its rows are (minute, rows, sum of a 64-bit hash of each row): a sum does not ask for an order.
    """
    row = f"hashtextextended(ROW({', '.join(table.columns)})::text, 0)::numeric"
    return (
        f"SELECT date_trunc('minute', {table.born}) AS minute, count(*), sum({row})::text\n"
        f"FROM {table.name}\nWHERE {table.since} AND {table.born} < %(until)s GROUP BY 1 ORDER BY 1"
    )


@dataclass(frozen=True)
class Invariant:
    """Something that holds at every commit.

    Attributes:
        name: the sentence that is true.
        breaches: query of what breaks it; no row is expected.
    """

    name: str
    breaches: str


INVARIANTS = (
    Invariant(
        "counts per state are what counting the messages gives",
        """SELECT company, campaign_id, c.messages, m.messages
FROM (SELECT * FROM campaigns.campaign_state_counts WHERE messages <> 0) c
FULL JOIN (SELECT company, campaign_id, state, count(*) AS messages FROM campaigns.messages
           GROUP BY 1, 2, 3) m
USING (company, campaign_id, state) WHERE c.messages IS DISTINCT FROM m.messages""",
    ),
    Invariant(
        "a campaign reaches each contact once",
        """SELECT company, campaign_id, contact_id FROM campaigns.messages
GROUP BY 1, 2, 3 HAVING count(*) > 1""",
    ),
    Invariant(
        "every message belongs to a campaign",
        """SELECT m.message_id FROM campaigns.messages m
WHERE NOT EXISTS (SELECT FROM campaigns.campaigns c WHERE c.company = m.company AND c.id = m.campaign_id)""",
    ),
    Invariant(
        "every message to be sent that belongs to a campaign was planned by it",
        """SELECT w.message_id FROM whatsapp.messages w
WHERE w.campaign_id <> '' AND NOT EXISTS (SELECT FROM campaigns.messages m
                                          WHERE m.company = w.company AND m.message_id = w.message_id)""",
    ),
    Invariant(
        "a list has as many members as it says",
        """SELECT l.id FROM contacts.lists l WHERE l.member_count <>
(SELECT count(*) FROM contacts.list_members m WHERE m.company = l.company AND m.list_id = l.id)""",
    ),
    Invariant(
        "every member is a contact",
        """SELECT m.contact_id FROM contacts.list_members m
WHERE NOT EXISTS (SELECT FROM contacts.contacts c WHERE c.company = m.company AND c.id = m.contact_id)""",
    ),
)
