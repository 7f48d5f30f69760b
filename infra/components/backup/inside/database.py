"""Questions to a database, running or restored."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import psycopg2

from services.contracts.backups import CLOSED_AFTER_SECONDS, INVARIANTS, SCHEMA, TABLES, checksums

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a small name

Minutes = dict[dt.datetime, dict[str, tuple[int, str]]]
"""Per minute and table: how many rows, and the sum of their hashes."""

ALWAYS = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LIVELY = {"keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3, "tcp_user_timeout": 15000}
"""A host that is gone is noticed in seconds; the last one in milliseconds."""
KEEP = "1 day"
"""Heartbeats are kept so long."""
_SHOWN = 10


def connect(**words: object) -> Connection:
    """Open a connection on which each statement is a transaction of its own, and times are UTC.

    Raises:
        psycopg2.OperationalError: the server cannot be reached.
    """
    more: dict[str, Any] = {**_LIVELY, "connect_timeout": 5, "options": "-c timezone=UTC", **words}
    found: Connection = psycopg2.connect(**more)
    found.autocommit = True
    return found


def ask(
    database: Connection, query: str, values: Mapping[str, object] | None = None
) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with database.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


def beat(database: Connection) -> None:
    """Write a heartbeat, and forget old ones."""
    ask(database, f"INSERT INTO {SCHEMA}.heartbeats DEFAULT VALUES")
    ask(database, f"DELETE FROM {SCHEMA}.heartbeats WHERE at < now() - interval '{KEEP}'")  # noqa: S608 - same


def newest_heartbeat(database: Connection, before: dt.datetime | None = None) -> dt.datetime | None:
    """Return when the last heartbeat was, or the last one before a moment; None when there is none."""
    until = "coalesce(%(before)s::timestamptz, 'infinity')"
    query = f"SELECT max(at) FROM {SCHEMA}.heartbeats WHERE at < {until}"  # noqa: S608 - same
    ((found,),) = ask(database, query, {"before": before})
    return found  # type: ignore[no-any-return]  # a timestamptz or NULL


def origin(database: Connection) -> dt.datetime:
    """Return when this database began, or began again from a backup."""
    ((found,),) = ask(database, f"SELECT max(at) FROM {SCHEMA}.origins")  # noqa: S608 - own constant
    return found  # type: ignore[no-any-return]  # post_init writes at least one


def closed_until(database: Connection) -> dt.datetime:
    """Return the end of the last minute that no open transaction can add a row to any more."""
    ((found,),) = ask(
        database,
        f"""SELECT date_trunc('minute', least(now() - interval '{CLOSED_AFTER_SECONDS} s', min(xact_start)))
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()""",  # noqa: S608 - same
    )
    return found  # type: ignore[no-any-return]  # least() leaves NULLs out


LABELS = frozenset(table.label for table in TABLES)
"""Of the checksums that are taken today; what was written down of other columns is passed over."""


def sums(database: Connection, since: dt.datetime, until: dt.datetime) -> Minutes:
    """Return the checksums of rows made in [since, until), of all tables that are there."""
    minutes: Minutes = {}
    for table in TABLES:
        if ask(database, "SELECT to_regclass(%(name)s)", {"name": table.name})[0][0] is None:
            continue  # Not every environment has every service.
        for minute, rows, total in ask(database, checksums(table), {"since": since, "until": until}):
            minutes.setdefault(minute, {})[table.label] = (rows, total)
    return minutes


def differences(recorded: Minutes, found: Minutes) -> list[str]:
    """Return what of `recorded` is not so in `found`, a sentence each; the first few only."""
    wrong = [
        f"{table} {minute:%Y-%m-%dT%H:%MZ}: {_told(*now)} instead of {_told(*then)}"
        for minute, tables in sorted(recorded.items())
        for table, then in sorted(tables.items())
        if table in LABELS and (now := found.get(minute, {}).get(table, (0, "0"))) != then
    ]
    return [*wrong[:_SHOWN], *([f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else [])]


def _told(rows: int, total: str) -> str:
    return f"{rows} rows ({total[-8:]})"


def breaches(database: Connection) -> list[str]:
    """Return the truths that do not hold, a sentence each."""
    wrong = []
    for invariant in INVARIANTS:
        try:
            rows = ask(database, f"{invariant.breaches}\nLIMIT 100")
        except psycopg2.errors.UndefinedTable:
            continue  # Not every environment has every service.
        if rows:
            wrong.append(f"not true that {invariant.name}: {_counted(rows)}")
    return wrong


def _counted(rows: Sequence[tuple[Any, ...]]) -> str:
    return f"{len(rows)} breaches" if len(rows) > 1 else "1 breach"
