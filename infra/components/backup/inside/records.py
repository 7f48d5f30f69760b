"""What the witness writes down outside of Postgres: an object per day, in it each minute's checksums."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from infra.components.backup.inside.database import Minutes
    from infra.components.backup.inside.s3 import Entry

PREFIX = "witness/"


class Shelf(Protocol):
    """The part of a bucket that records need."""

    @property
    def name(self) -> str:
        """For people and for the marks of the witness."""

    def get(self, key: str) -> bytes | None:
        """Return an object; None when there is none."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """Return the objects whose key begins with `prefix`."""


@dataclass
class Recorded:
    """Checksums, and when each minute was known to be closed."""

    minutes: Minutes
    closed: dict[dt.datetime, dt.datetime]

    def before(self, moment: dt.datetime) -> Minutes:
        """Return the minutes that were closed before `moment`: a copy of that moment must hold them all."""
        return {minute: tables for minute, tables in self.minutes.items() if self.closed[minute] <= moment}


def load(shelf: Shelf, days: Iterable[dt.date] | None = None) -> Recorded:
    """Read the records of `days`, or all of them.

    Raises:
        OSError: the store does not answer.
    """
    keys = [entry.key for entry in shelf.list(PREFIX)] if days is None else [_key(day) for day in days]
    recorded = Recorded({}, {})
    for key in keys:
        if (data := shelf.get(key)) is not None:
            _read(data, recorded)
    return recorded


def keep(shelf: Shelf, minutes: Minutes, since: dt.datetime, until: dt.datetime, closed: dt.datetime) -> None:
    """Write down that [since, until) held `minutes` and nothing else, as was seen at `closed`.

    What stood there of these minutes before is gone: it was of a database that has since been set back.

    Raises:
        OSError: the store does not answer.
    """
    first, last = _key(since.date()), _key(until.date())
    known = {entry.key for entry in shelf.list(PREFIX) if first <= entry.key <= last}
    days = {dt.date.fromisoformat(key[len(PREFIX) :][:10]) for key in known}
    for day in sorted(days | {minute.date() for minute in minutes}):
        recorded = load(shelf, [day])
        before = dict(recorded.minutes)
        for minute in [each for each in recorded.minutes if since <= each < until]:
            del recorded.minutes[minute]
        for minute, tables in minutes.items():
            if minute.date() == day:
                recorded.minutes[minute], recorded.closed[minute] = tables, closed
        if recorded.minutes != before:
            shelf.put(_key(day), _written(recorded))


def _key(day: dt.date) -> str:
    return f"{PREFIX}{day.isoformat()}.json.gz"


def _written(recorded: Recorded) -> bytes:
    values = {
        minute.isoformat(): {"closed": recorded.closed[minute].isoformat(), "tables": tables}
        for minute, tables in sorted(recorded.minutes.items())
    }
    # Without a time of its own: the same records are the same bytes.
    return gzip.compress(json.dumps(values).encode(), mtime=0)


def _read(data: bytes, into: Recorded) -> None:
    for text, value in json.loads(gzip.decompress(data)).items():
        minute = dt.datetime.fromisoformat(text)
        into.minutes[minute] = {table: (rows, total) for table, (rows, total) in value["tables"].items()}
        into.closed[minute] = dt.datetime.fromisoformat(value["closed"])
