"""The checksum log, differences between checksums, and the copy of the media."""

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


def contacts(rows: int, checksum: str = "7") -> dict[str, tuple[int, str]]:
    return {"contacts.contacts": (rows, checksum)}


def test_written_checksums_are_loaded() -> None:
    storage = FakeObjectStorage()
    checksum_log.write(storage, {at(0): contacts(3), at(1): contacts(4)}, at(0), at(2), at(3))
    recorded = checksum_log.load(storage)
    assert recorded.minutes == {at(0): contacts(3), at(1): contacts(4)}
    assert recorded.closed_at == {at(0): at(3), at(1): at(3)}


def test_each_day_is_an_object_and_only_changed_days_are_written() -> None:
    storage = FakeObjectStorage()
    next_day = 24 * 60
    minutes = {at(0): contacts(3), at(next_day): contacts(4)}
    checksum_log.write(storage, minutes, at(0), at(next_day + 1), at(next_day + 2))
    assert len(storage.objects) == 2
    before = storage.writes
    checksum_log.write(storage, {}, at(next_day + 1), at(next_day + 2), at(next_day + 4))
    assert storage.writes == before


def test_restored_database_overwrites_abandoned_timeline() -> None:
    storage = FakeObjectStorage()
    minutes = {at(0): contacts(3), at(1): contacts(4), at(2): contacts(5)}
    checksum_log.write(storage, minutes, at(0), at(3), at(4))
    checksum_log.write(storage, {at(1): contacts(2)}, at(1), at(9), at(10))
    assert checksum_log.load(storage).minutes == {at(0): contacts(3), at(1): contacts(2)}


def test_closed_before_returns_only_minutes_closed_earlier() -> None:
    storage = FakeObjectStorage()
    checksum_log.write(storage, {at(0): contacts(3)}, at(0), at(1), at(2))
    checksum_log.write(storage, {at(1): contacts(4)}, at(1), at(2), at(3))
    assert set(checksum_log.load(storage).closed_before(at(2.5))) == {at(0)}
    assert set(checksum_log.load(storage).closed_before(at(3))) == {at(0), at(1)}


def test_lost_and_changed_rows_are_differences() -> None:
    recorded = {at(0): contacts(3), at(1): contacts(4)}
    assert database.differences(recorded, {at(0): contacts(3), at(1): contacts(4), at(2): contacts(1)}) == []
    (lost,) = database.differences(recorded, {at(0): contacts(3), at(1): contacts(3)})
    assert lost.startswith("contacts.contacts 2026-05-01T12:01Z: 3 rows")
    (changed,) = database.differences(recorded, {at(0): contacts(3, "8"), at(1): contacts(4)})
    assert "3 rows" in changed
    assert len(database.differences(recorded, {})) == 2


def test_checksums_of_other_columns_are_not_compared() -> None:
    label = next(label for label in database.TABLE_LABELS if label.startswith("campaigns.campaigns"))
    current, other = {at(0): {label: (1, "7")}}, {at(0): {f"{label}/0": (1, "7")}}
    assert database.differences(other, current) == []
    assert len(database.differences(current, {})) == 1


def test_omitted_differences_are_counted() -> None:
    recorded = {at(minute): contacts(1) for minute in range(30)}
    assert database.differences(recorded, {})[-1] == "and 20 more"


def test_media_are_copied_once_and_nothing_is_deleted() -> None:
    source, target = FakeObjectStorage("media"), FakeObjectStorage("offsite-store")
    source.objects = {"a/1.jpg": b"one", "a/2.jpg": b"two"}
    target.objects = {"media/deleted.jpg": b"kept"}
    assert media.copy(source, "", target, "media/") == (2, 6)  # type: ignore[arg-type] # the same methods
    assert media.copy(source, "", target, "media/") == (0, 0)  # type: ignore[arg-type] # same
    assert set(target.objects) == {"media/a/1.jpg", "media/a/2.jpg", "media/deleted.jpg"}
    restored = FakeObjectStorage("media")
    assert media.copy(target, "media/", restored, "") == (3, 10)  # type: ignore[arg-type] # same
    assert restored.objects["a/1.jpg"] == b"one"
