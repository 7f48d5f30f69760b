"""Selection of backups, with output of pgBackRest."""

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


def entry(
    label: str, backup_type: str, minutes: int, repository: int, *, error: bool = False
) -> dict[str, Any]:
    stop = int(at(minutes).timestamp())
    return {
        "label": label,
        "type": backup_type,
        "timestamp": {"start": stop - 30, "stop": stop},
        "database": {"id": 1, "repo-key": repository},
        "info": {"size": 30_000_000, "repository": {"delta": 4_000_000}},
        "error": error,
    }


INFO = [
    {
        "backup": [
            entry("F1", "full", 0, 1),
            entry("V1", "full", 1, 2),
            entry("F1_D1", "diff", 30, 1),
            entry("broken", "diff", 50, 1, error=True),
        ]
    }
]


def test_invalid_backups_are_not_listed() -> None:
    assert [backup.label for backup in list_backups(INFO)] == ["F1", "V1", "F1_D1"]


def test_latest_is_the_newest_backup_with_all_wal() -> None:
    plan = plan_restore(list_backups(INFO), "latest")
    assert plan.arguments == ("--repo=1", "--set=F1_D1", "--type=default")


def test_label_restores_exactly_that_backup() -> None:
    plan = plan_restore(list_backups(INFO), "V1")
    assert plan.arguments == ("--repo=2", "--set=V1", "--type=immediate", "--target-action=promote")


@pytest.mark.parametrize(
    ("minutes", "label"), [(0.5, "F1"), (1.5, "V1"), (29, "V1"), (30.5, "F1_D1"), (90, "F1_D1")]
)
def test_time_uses_the_newest_backup_finished_before(minutes: float, label: str) -> None:
    plan = plan_restore(list_backups(INFO), at(minutes).isoformat())
    assert plan.backup is not None
    assert plan.backup.label == label
    assert f"--target={backup_selection.format_target_time(at(minutes))}" in plan.arguments


def test_repository_can_be_selected() -> None:
    plan = plan_restore(list_backups(INFO), at(60).isoformat(), repository=2)
    assert plan.backup is not None
    assert plan.backup.label == "V1"


def test_time_without_offset_is_utc() -> None:
    assert backup_selection.parse_time("2026-05-01T12:00") == NOON
    assert backup_selection.parse_time("2026-05-01T14:00+02:00") == NOON


def test_too_early_target_reports_the_earliest_time() -> None:
    with pytest.raises(NoUsableBackupError, match="2026-05-01T12:00:00Z"):
        plan_restore(list_backups(INFO), at(-1).isoformat())
    with pytest.raises(NoUsableBackupError, match="no backup yet"):
        plan_restore([], "latest")


def test_invalid_target_is_rejected() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        plan_restore(list_backups(INFO), "yesterday")


def test_offsite_restore_without_a_backup_list() -> None:
    assert plan_offsite_restore("latest").arguments[0] == "--repo=2"
    assert "--type=time" in plan_offsite_restore("2026-05-01T12:00Z").arguments
    with pytest.raises(ValueError, match="F1"):
        plan_offsite_restore("F1")


def test_random_target_is_restorable() -> None:
    backups = list_backups(INFO)
    for _ in range(50):
        target = random_target(backups, at(-10), at(40))
        assert target is not None
        assert at(0) < target < at(40)


def test_random_target_is_after_the_last_restore() -> None:
    backups = list_backups(INFO)
    target = random_target(backups, at(5), at(40))
    assert target is not None
    assert target > at(30)
    assert random_target(backups, at(35), at(40)) is None


def test_time_after_a_restore_uses_backups_of_that_timeline() -> None:
    backups = list_backups(INFO)
    plan = plan_restore(backups, at(40).isoformat(), timeline_start=at(20))
    assert plan.backup is not None
    assert plan.backup.label == "F1_D1"
    with pytest.raises(NoUsableBackupError, match="earliest time"):
        plan_restore(backups, at(29).isoformat(), timeline_start=at(20))
    with pytest.raises(NoUsableBackupError, match="since 2026-05-01T12:40:00Z"):
        plan_restore(backups, "latest", timeline_start=at(40))
    before = plan_restore(backups, at(10).isoformat(), timeline_start=at(20))
    assert before.backup is not None
    assert before.backup.label == "V1"
