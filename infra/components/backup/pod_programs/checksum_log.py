"""The checksum log of the backup verifier in S3: one object per day with the checksums of each minute."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from infra.components.backup.pod_programs.database import ChecksumsByMinute
    from infra.components.backup.pod_programs.s3 import ObjectEntry

PREFIX = "checksums/"


class ObjectStorage(Protocol):
    """The methods of a bucket that the checksum log uses."""

    @property
    def name(self) -> str:
        """Name in messages and of the watermark in the database."""

    def get(self, key: str) -> bytes | None:
        """Return an object; None if it does not exist."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object.

        Args:
            key: key of the object.
            data: its content.
        """

    def list(self, prefix: str) -> Iterator[ObjectEntry]:
        """Return the objects whose key starts with `prefix`."""


@dataclass
class RecordedChecksums:
    """Recorded checksums.

    Attributes:
        minutes: checksums by minute.
        closed_at: time at which a minute was known to be closed, by minute.
    """

    minutes: ChecksumsByMinute
    closed_at: dict[dt.datetime, dt.datetime]

    def closed_before(self, time: dt.datetime) -> ChecksumsByMinute:
        """Return the minutes closed before `time`: a copy restored to that time must contain all of them."""
        return {minute: tables for minute, tables in self.minutes.items() if self.closed_at[minute] <= time}


def load(storage: ObjectStorage, days: Iterable[dt.date] | None = None) -> RecordedChecksums:
    """Read the recorded checksums.

    Args:
        storage: the bucket.
        days: days (UTC) to read; None for all.

    Returns:
        The recorded checksums.

    Raises:
        OSError: the store is unavailable.
    """
    keys = [entry.key for entry in storage.list(PREFIX)] if days is None else [_key(day) for day in days]
    recorded = RecordedChecksums({}, {})
    for key in keys:
        if (data := storage.get(key)) is not None:
            _deserialize(data, recorded)
    return recorded


def write(
    storage: ObjectStorage,
    minutes: ChecksumsByMinute,
    since: dt.datetime,
    until: dt.datetime,
    closed_at: dt.datetime,
) -> None:
    """Record that [since, until) contains exactly `minutes`.

    Earlier checksums of this period are replaced: they belong to a timeline that a restore has abandoned.

    Args:
        storage: the bucket.
        minutes: checksums by minute.
        since: start of the period (inclusive).
        until: end of the period (exclusive).
        closed_at: time at which the checksums were taken.

    Raises:
        OSError: the store is unavailable.
    """
    first_key, last_key = _key(since.date()), _key(until.date())
    keys = {entry.key for entry in storage.list(PREFIX) if first_key <= entry.key <= last_key}
    days = {dt.date.fromisoformat(key[len(PREFIX) :][:10]) for key in keys}
    for day in sorted(days | {minute.date() for minute in minutes}):
        recorded = load(storage, [day])
        previous_minutes = dict(recorded.minutes)
        for minute in [minute for minute in recorded.minutes if since <= minute < until]:
            del recorded.minutes[minute]
        for minute, tables in minutes.items():
            if minute.date() == day:
                recorded.minutes[minute], recorded.closed_at[minute] = tables, closed_at
        if recorded.minutes != previous_minutes:
            storage.put(_key(day), _serialize(recorded))


def _key(day: dt.date) -> str:
    return f"{PREFIX}{day.isoformat()}.json.gz"


def _serialize(recorded: RecordedChecksums) -> bytes:
    values = {
        minute.isoformat(): {"closed_at": recorded.closed_at[minute].isoformat(), "tables": tables}
        for minute, tables in sorted(recorded.minutes.items())
    }
    # Without a time stamp: equal checksums give equal bytes.
    return gzip.compress(json.dumps(values).encode(), mtime=0)


def _deserialize(data: bytes, recorded: RecordedChecksums) -> None:
    for text, value in json.loads(gzip.decompress(data)).items():
        minute = dt.datetime.fromisoformat(text)
        tables = value["tables"].items()
        recorded.minutes[minute] = {table: (rows, checksum) for table, (rows, checksum) in tables}
        recorded.closed_at[minute] = dt.datetime.fromisoformat(value["closed_at"])
