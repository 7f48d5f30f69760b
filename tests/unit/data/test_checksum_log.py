"""What the witness writes down, and what is made of it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from infra.components.backup.pod_programs import checksum_log, database, media
from infra.components.backup.pod_programs.s3 import ObjectEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


def at(minutes: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


class FakeObjectStorage:
    """A bucket in memory."""

    def __init__(self, name: str = "backups") -> None:
        self.name = name
        self.objects: dict[str, bytes] = {}
        self.writes = 0

    def get(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data
        self.writes += 1

    def list(self, prefix: str) -> Iterator[ObjectEntry]:
        for key, data in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield ObjectEntry(key, len(data), str(hash(data)))

    def copy(self, entry: ObjectEntry, source: FakeObjectStorage, source_key: str) -> None:
        self.put(entry.key, source.objects[source_key])


def one(rows: int, total: str = "7") -> dict[str, tuple[int, str]]:
    return {"contacts.contacts": (rows, total)}


def test_records_come_back_as_they_were() -> None:
    shelf = FakeObjectStorage()
    checksum_log.write(shelf, {at(0): one(3), at(1): one(4)}, at(0), at(2), at(3))
    found = checksum_log.load(shelf)
    assert found.minutes == {at(0): one(3), at(1): one(4)}
    assert found.closed == {at(0): at(3), at(1): at(3)}


def test_a_day_is_an_object_and_only_days_that_change_are_written() -> None:
    shelf = FakeObjectStorage()
    checksum_log.write(shelf, {at(0): one(3), at(24 * 60): one(4)}, at(0), at(24 * 60 + 1), at(24 * 60 + 2))
    assert len(shelf.objects) == 2
    before = shelf.writes
    checksum_log.write(shelf, {}, at(24 * 60 + 1), at(24 * 60 + 2), at(24 * 60 + 4))
    assert shelf.writes == before


def test_a_database_that_was_set_back_writes_over_what_is_no_more() -> None:
    shelf = FakeObjectStorage()
    checksum_log.write(shelf, {at(0): one(3), at(1): one(4), at(2): one(5)}, at(0), at(3), at(4))
    checksum_log.write(shelf, {at(1): one(2)}, at(1), at(9), at(10))
    assert checksum_log.load(shelf).minutes == {at(0): one(3), at(1): one(2)}


def test_only_minutes_closed_before_a_moment_have_to_be_in_it() -> None:
    shelf = FakeObjectStorage()
    checksum_log.write(shelf, {at(0): one(3)}, at(0), at(1), at(2))
    checksum_log.write(shelf, {at(1): one(4)}, at(1), at(2), at(3))
    assert set(checksum_log.load(shelf).before(at(2.5))) == {at(0)}
    assert set(checksum_log.load(shelf).before(at(3))) == {at(0), at(1)}


def test_a_lost_row_and_a_changed_row_are_differences() -> None:
    recorded = {at(0): one(3), at(1): one(4)}
    assert database.differences(recorded, {at(0): one(3), at(1): one(4), at(2): one(1)}) == []
    (lost,) = database.differences(recorded, {at(0): one(3), at(1): one(3)})
    assert lost.startswith("contacts.contacts 2026-05-01T12:01Z: 3 rows")
    (changed,) = database.differences(recorded, {at(0): one(3, "8"), at(1): one(4)})
    assert "3 rows" in changed
    assert len(database.differences(recorded, {})) == 2


def test_checksums_of_other_columns_are_not_compared() -> None:
    before = {at(0): {"campaigns.campaigns": (1, "7")}}
    assert database.differences(before, {at(0): {"campaigns.campaigns/2": (1, "9")}}) == []
    assert len(database.differences({at(0): {"campaigns.campaigns/2": (1, "7")}}, {})) == 1


def test_many_differences_are_counted() -> None:
    recorded = {at(minute): one(1) for minute in range(30)}
    assert database.differences(recorded, {})[-1] == "and 20 more"


def test_media_are_copied_once_and_nothing_is_deleted() -> None:
    source, target = FakeObjectStorage("media"), FakeObjectStorage("vault")
    source.objects = {"a/1.jpg": b"one", "a/2.jpg": b"two"}
    target.objects = {"media/gone.jpg": b"kept"}
    assert media.copy(source, "", target, "media/") == (2, 6)  # type: ignore[arg-type] # the same methods
    assert media.copy(source, "", target, "media/") == (0, 0)  # type: ignore[arg-type] # same
    assert set(target.objects) == {"media/a/1.jpg", "media/a/2.jpg", "media/gone.jpg"}
    back = FakeObjectStorage("media")
    assert media.copy(target, "media/", back, "") == (3, 10)  # type: ignore[arg-type] # same
    assert back.objects["a/1.jpg"] == b"one"
