"""Selection of the backup for a recovery target, from the output of `pgbackrest info`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

LATEST = "latest"
OFFSITE_REPOSITORY = 2
"""Number of the repository in the off-site store."""


class NoUsableBackupError(Exception):
    """No backup can restore the target; the message says what can be restored."""


@dataclass(frozen=True)
class Backup:
    """A finished backup.

    Attributes:
        label: label in pgBackRest.
        backup_type: `full`, `diff` or `incr`.
        started_at: start (UTC).
        finished_at: end (UTC); times after it can be restored.
        repository: number of the repository.
        database_bytes: size of the database.
        stored_bytes: bytes that this backup added to the repository.
    """

    label: str
    backup_type: str
    started_at: dt.datetime
    finished_at: dt.datetime
    repository: int
    database_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class RestorePlan:
    """Arguments of `pgbackrest restore`.

    Attributes:
        backup: the backup to restore; None leaves the choice to pgBackRest.
        arguments: all options, one per command-line argument.
    """

    backup: Backup | None
    arguments: tuple[str, ...]


def list_backups(info: Sequence[dict[str, Any]]) -> list[Backup]:
    """Return the valid backups in the output of `pgbackrest info --output=json`, oldest first."""
    backups = [
        Backup(
            label=values["label"],
            backup_type=values["type"],
            started_at=dt.datetime.fromtimestamp(values["timestamp"]["start"], dt.UTC),
            finished_at=dt.datetime.fromtimestamp(values["timestamp"]["stop"], dt.UTC),
            repository=values["database"]["repo-key"],
            database_bytes=values["info"]["size"],
            stored_bytes=values["info"]["repository"]["delta"],
        )
        for stanza in info
        for values in stanza["backup"]
        if not values.get("error")
    ]
    return sorted(backups, key=lambda backup: (backup.finished_at, -backup.repository))


def parse_time(text: str) -> dt.datetime:
    """Parse an ISO 8601 time; without an offset it is UTC.

    Returns:
        The time in UTC.

    Raises:
        ValueError: the text is not a time.
    """
    time = dt.datetime.fromisoformat(text.strip())
    return time.astimezone(dt.UTC) if time.tzinfo else time.replace(tzinfo=dt.UTC)


def plan_restore(
    backups: Sequence[Backup],
    target: str,
    *,
    timeline_start: dt.datetime | None = None,
    repository: int | None = None,
) -> RestorePlan:
    """Plan the restore of a recovery target.

    Args:
        backups: all backups, oldest first.
        target: `latest`, the label of a backup, or a time (ISO 8601; UTC without an offset).
        timeline_start: creation or last restore of the database. A later time can be reached only from a
            backup started after it: earlier ones may belong to an abandoned timeline.
        repository: use only this repository; by default the first one that has what is needed.

    Returns:
        The backup to restore and the arguments of pgBackRest.

    Raises:
        NoUsableBackupError: no backup can restore the target.
        ValueError: the target is neither a label nor a time.
    """
    candidates = [backup for backup in backups if repository in (None, backup.repository)]
    if not candidates:
        raise NoUsableBackupError("there is no backup yet")
    if target == LATEST:
        return _plan(_started_after(candidates, timeline_start)[-1], ("--type=default",))
    labelled = [backup for backup in candidates if backup.label == target]
    if labelled:
        return _plan(labelled[-1], ("--type=immediate", "--target-action=promote"))
    target_time = parse_time(target)
    if timeline_start is None or target_time > timeline_start:
        candidates = _started_after(candidates, timeline_start)
    return _plan_point_in_time(candidates, target_time)


def _started_after(backups: Sequence[Backup], timeline_start: dt.datetime | None) -> list[Backup]:
    usable = [backup for backup in backups if timeline_start is None or backup.started_at > timeline_start]
    if not usable:
        raise NoUsableBackupError(f"there is no backup since {timeline_start:%Y-%m-%dT%H:%M:%SZ} yet")
    return usable


def _plan_point_in_time(backups: Sequence[Backup], target_time: dt.datetime) -> RestorePlan:
    usable = [backup for backup in backups if backup.finished_at < target_time]
    if not usable:
        first = min(backup.finished_at for backup in backups)
        raise NoUsableBackupError(f"the earliest time that can be restored is {first:%Y-%m-%dT%H:%M:%SZ}")
    # The first repository is nearer; the off-site store is used only for what it alone still has.
    newest = max(usable, key=lambda backup: (backup.finished_at, -backup.repository))
    options = ("--type=time", f"--target={format_target_time(target_time)}", "--target-action=promote")
    return _plan(newest, options)


def format_target_time(time: dt.datetime) -> str:
    """Return a time in the format of Postgres."""
    return time.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")


def _plan(backup: Backup, options: tuple[str, ...]) -> RestorePlan:
    return RestorePlan(backup, (f"--repo={backup.repository}", f"--set={backup.label}", *options))


def plan_offsite_restore(target: str) -> RestorePlan:
    """Plan a restore from the off-site store when the list of backups is not available.

    Returns:
        The arguments of pgBackRest; the choice of the backup is left to it.

    Raises:
        ValueError: the target is neither `latest` nor a time.
    """
    if target == LATEST:
        return RestorePlan(None, (f"--repo={OFFSITE_REPOSITORY}", "--type=default"))
    time = format_target_time(parse_time(target))
    options = ("--type=time", f"--target={time}", "--target-action=promote")
    return RestorePlan(None, (f"--repo={OFFSITE_REPOSITORY}", *options))
