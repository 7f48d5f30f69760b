"""Queries of the backup verifier and the drill, on a running or a restored database."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import psycopg2

from services.contracts.backup_verification import (
    CHECKSUMMED_TABLES,
    INVARIANTS,
    SCHEMA,
    WATERMARK_DELAY_SECONDS,
    checksum_query,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

ChecksumsByMinute = dict[dt.datetime, dict[str, tuple[int, str]]]
"""Per minute and table label: number of rows, and the sum of their hashes."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}
"""Detects a lost host within seconds; the last value is in milliseconds."""
HEARTBEAT_RETENTION = "1 day"
_MAX_DIFFERENCES = 10


def connect(**parameters: object) -> Connection:
    """Open a connection with autocommit and time zone UTC.

    Returns:
        The connection.

    Raises:
        psycopg2.OperationalError: the server is unreachable.
    """
    options: dict[str, Any] = {
        **_KEEPALIVE,
        "connect_timeout": 5,
        "options": "-c timezone=UTC",
        **parameters,
    }
    pg_connection: Connection = psycopg2.connect(**options)
    pg_connection.autocommit = True
    return pg_connection


def query(
    pg_connection: Connection, sql: str, parameters: Mapping[str, object] | None = None
) -> list[tuple[Any, ...]]:
    """Execute a statement.

    Args:
        pg_connection: connection to the database.
        sql: statement with `%(name)s` placeholders.
        parameters: values of the placeholders.

    Returns:
        The rows; empty if the statement returns none.
    """
    with pg_connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def write_heartbeat(pg_connection: Connection) -> None:
    """Insert a heartbeat and delete expired ones."""
    query(pg_connection, f"INSERT INTO {SCHEMA}.heartbeats DEFAULT VALUES")
    query(
        pg_connection,
        f"DELETE FROM {SCHEMA}.heartbeats WHERE at < now() - interval '{HEARTBEAT_RETENTION}'",  # noqa: S608 - own constants
    )


def newest_heartbeat(pg_connection: Connection, before: dt.datetime | None = None) -> dt.datetime | None:
    """Return the time of the newest heartbeat; None if there is none.

    Args:
        pg_connection: connection to the database.
        before: time before which the heartbeat was written; None for any.
    """
    upper_bound = "coalesce(%(before)s::timestamptz, 'infinity')"
    sql = f"SELECT max(at) FROM {SCHEMA}.heartbeats WHERE at < {upper_bound}"  # noqa: S608 - own constants
    ((newest,),) = query(pg_connection, sql, {"before": before})
    return newest  # type: ignore[no-any-return]  # a timestamptz or NULL


def timeline_start(pg_connection: Connection) -> dt.datetime:
    """Return when this database was created or last restored from a backup."""
    ((started_at,),) = query(pg_connection, f"SELECT max(at) FROM {SCHEMA}.timelines")  # noqa: S608 - own constant
    return started_at  # type: ignore[no-any-return]  # post_init writes at least one


def checksum_watermark(pg_connection: Connection) -> dt.datetime:
    """Return the end of the last minute to which no open transaction can add rows any more."""
    ((watermark,),) = query(
        pg_connection,
        f"""SELECT date_trunc(
    'minute', least(now() - interval '{WATERMARK_DELAY_SECONDS} s', min(xact_start)))
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()""",  # noqa: S608 - own constant
    )
    return watermark  # type: ignore[no-any-return]  # least() ignores NULLs


TABLE_LABELS = frozenset(table.label for table in CHECKSUMMED_TABLES)
"""Labels of the current checksums; recorded checksums of other columns are ignored."""


def row_checksums(pg_connection: Connection, since: dt.datetime, until: dt.datetime) -> ChecksumsByMinute:
    """Return the checksums of all existing tables.

    Args:
        pg_connection: connection to the database.
        since: start of the creation times (inclusive).
        until: end of the creation times (exclusive).
    """
    minutes: ChecksumsByMinute = {}
    for table in CHECKSUMMED_TABLES:
        if query(pg_connection, "SELECT to_regclass(%(name)s)", {"name": table.name})[0][0] is None:
            continue  # Not every environment runs every service.
        for minute, rows, checksum in query(
            pg_connection, checksum_query(table), {"since": since, "until": until}
        ):
            minutes.setdefault(minute, {})[table.label] = (rows, checksum)
    return minutes


def differences(recorded: ChecksumsByMinute, actual: ChecksumsByMinute) -> list[str]:
    """Return the first differences between recorded and actual checksums, one sentence each.

    Args:
        recorded: checksums of the verifier.
        actual: checksums of the restored database.
    """
    messages = [
        f"{table} {minute:%Y-%m-%dT%H:%MZ}: {_describe(*found_checksum)} instead of {_describe(*expected)}"
        for minute, tables in sorted(recorded.items())
        for table, expected in sorted(tables.items())
        if table in TABLE_LABELS
        and (found_checksum := actual.get(minute, {}).get(table, (0, "0"))) != expected
    ]
    omitted = len(messages) - _MAX_DIFFERENCES
    return [*messages[:_MAX_DIFFERENCES], *([f"and {omitted} more"] if omitted > 0 else [])]


def _describe(rows: int, checksum: str) -> str:
    return f"{rows} rows ({checksum[-8:]})"


def invariant_violations(pg_connection: Connection) -> list[str]:
    """Return the violated invariants, one sentence each."""
    violations = []
    for invariant in INVARIANTS:
        try:
            rows = query(pg_connection, f"{invariant.violations_query}\nLIMIT 100")
        except psycopg2.errors.UndefinedTable:
            continue  # Not every environment runs every service.
        if rows:
            violations.append(f"invariant violated: {invariant.name}: {_row_count(rows)}")
    return violations


def _row_count(rows: Sequence[tuple[Any, ...]]) -> str:
    return f"{len(rows)} rows" if len(rows) > 1 else "1 row"
