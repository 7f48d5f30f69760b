"""Which backup a moment is restored from, with pgBackRest's own words."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from infra.components.backup.pod_programs import backup_selection
from infra.components.backup.pod_programs.backup_selection import (
    NoUsableBackupError,
    list_backups,
    plan_offsite_restore,
    plan_restore,
)
from infra.components.backup.pod_programs.drill import random_target

NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


def at(minutes: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


def told(label: str, kind: str, minutes: int, repository: int, **more: Any) -> dict[str, Any]:
    stop = int(at(minutes).timestamp())
    return {
        "label": label,
        "type": kind,
        "timestamp": {"start": stop - 30, "stop": stop},
        "database": {"id": 1, "repo-key": repository},
        "info": {"size": 30_000_000, "repository": {"delta": 4_000_000}},
        "error": False,
        **more,
    }


INFO = [
    {
        "backup": [
            told("F1", "full", 0, 1),
            told("V1", "full", 1, 2),
            told("F1_D1", "diff", 30, 1),
            told("broken", "diff", 50, 1, error=True),
        ]
    }
]


def test_a_broken_backup_is_none() -> None:
    assert [each.label for each in list_backups(INFO)] == ["F1", "V1", "F1_D1"]


def test_latest_is_the_newest_and_all_of_the_log() -> None:
    choice = plan_restore(list_backups(INFO), "latest")
    assert choice.arguments == ("--repo=1", "--set=F1_D1", "--type=default")


def test_a_label_is_that_backup_and_nothing_after_it() -> None:
    choice = plan_restore(list_backups(INFO), "V1")
    assert choice.arguments == ("--repo=2", "--set=V1", "--type=immediate", "--target-action=promote")


@pytest.mark.parametrize(
    ("minutes", "label"), [(0.5, "F1"), (1.5, "V1"), (29, "V1"), (30.5, "F1_D1"), (90, "F1_D1")]
)
def test_a_moment_begins_with_the_newest_backup_that_ended_before(minutes: float, label: str) -> None:
    choice = plan_restore(list_backups(INFO), at(minutes).isoformat())
    assert choice.backup is not None
    assert choice.backup.label == label
    assert f"--target={backup_selection.format_target_time(at(minutes))}" in choice.arguments


def test_a_repository_can_be_named() -> None:
    choice = plan_restore(list_backups(INFO), at(60).isoformat(), repository=2)
    assert choice.backup is not None
    assert choice.backup.label == "V1"


def test_a_time_without_an_offset_is_utc() -> None:
    assert backup_selection.parse_time("2026-05-01T12:00") == NOON
    assert backup_selection.parse_time("2026-05-01T14:00+02:00") == NOON


def test_what_is_too_early_says_from_when_on() -> None:
    with pytest.raises(NoUsableBackupError, match="2026-05-01T12:00:00Z"):
        plan_restore(list_backups(INFO), at(-1).isoformat())
    with pytest.raises(NoUsableBackupError, match="no backup yet"):
        plan_restore([], "latest")


def test_nonsense_is_no_time() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        plan_restore(list_backups(INFO), "yesterday")


def test_the_vault_alone_can_be_restored_from() -> None:
    assert plan_offsite_restore("latest").arguments[0] == "--repo=2"
    assert "--type=time" in plan_offsite_restore("2026-05-01T12:00Z").arguments
    with pytest.raises(ValueError, match="F1"):
        plan_offsite_restore("F1")


def test_a_random_second_lies_where_it_can_be_restored() -> None:
    found = list_backups(INFO)
    for _ in range(50):
        second = random_target(found, at(-10), at(40))
        assert second is not None
        assert at(0) < second < at(40)


def test_no_second_before_the_database_was_set_back() -> None:
    found = list_backups(INFO)
    second = random_target(found, at(5), at(40))
    assert second is not None
    assert second > at(30)
    assert random_target(found, at(35), at(40)) is None


def test_what_was_set_back_is_reached_from_backups_of_its_own_time() -> None:
    found = list_backups(INFO)
    choice = plan_restore(found, at(40).isoformat(), timeline_start=at(20))
    assert choice.backup is not None
    assert choice.backup.label == "F1_D1"
    with pytest.raises(NoUsableBackupError, match="first moment"):
        plan_restore(found, at(29).isoformat(), timeline_start=at(20))
    with pytest.raises(NoUsableBackupError, match="since 2026-05-01T12:40:00Z"):
        plan_restore(found, "latest", timeline_start=at(40))
    before = plan_restore(found, at(10).isoformat(), timeline_start=at(20))
    assert before.backup is not None
    assert before.backup.label == "V1"
