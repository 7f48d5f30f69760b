"""State of the backups, from the last report of the backup verifier, and its problems."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations when the class is created
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.components.backup import VERIFIER
from infra.components.backup.pod_programs.backup_selection import Backup  # noqa: TC001 - pydantic reads it
from infra.components.component_health import PodUnreachableError, query_first_reachable
from services.contracts.backup_verification import MAX_BACKUP_AGE_SECONDS

if TYPE_CHECKING:
    from infra.components.component_health import PodClient

REPORT = "/tmp/report.json"  # noqa: S108 - in the verifier's pod
REPORT_STALE_SECONDS = 300.0
"""The verifier reports once a minute; an older report means that it does not work."""
FIRST_BACKUP_GRACE_SECONDS = 3600.0
"""A database gets its first backup within minutes; after an hour it is overdue."""
ARCHIVE_STALE_SECONDS = 300.0
"""Tolerated unavailability of a repository for WAL archiving."""
_REPOSITORY_NAMES = {1: "the environment's store", 2: "the off-site store"}
_WAL_SEGMENT_DIGITS = 24
"""Length of the name of a WAL segment; names of history and backup files differ."""


class RepositoryState(BaseModel):
    """State of a repository, as reported by pgBackRest.

    Attributes:
        number: number of the repository: 1 for the environment's own store, 2 for the off-site store.
        problem: reason why it cannot be read; empty if it can.
        newest_wal: newest WAL segment in it.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    problem: str = ""
    newest_wal: str | None = None


class DrillState(BaseModel):
    """Result of the last drill.

    Attributes:
        finished_at: end of the drill (UTC).
        succeeded: whether everything that was restored matches the recorded checksums.
        problems: differences, one sentence each.
        rpo_seconds: age of the newest restored heartbeat at the start of the drill.
        rto_seconds: time from the first request until the restored server answered.
        rows_compared: number of compared rows.
    """

    model_config = ConfigDict(frozen=True)

    finished_at: dt.datetime
    succeeded: bool
    problems: list[str] = Field(default_factory=list)
    rpo_seconds: float | None = None
    rto_seconds: float | None = None
    rows_compared: int = 0


class VerifierReport(BaseModel):
    """Report of the backup verifier.

    Attributes:
        reported_at: time of the report (UTC).
        timeline_start: creation or last restore of the database.
        restored_until: newest heartbeat before `timeline_start`; None if there is none.
        last_archived_wal: last WAL segment that was archived.
        last_archived_at: time of that.
        last_archive_failure_at: time of the last archiving failure.
        repositories: state of the repositories.
        backups: usable backups, oldest first.
        drill: the last drill.
        problems: problems of the verifier itself.
    """

    model_config = ConfigDict(frozen=True)

    reported_at: dt.datetime
    timeline_start: dt.datetime
    restored_until: dt.datetime | None = None
    last_archived_wal: str | None = None
    last_archived_at: dt.datetime | None = None
    last_archive_failure_at: dt.datetime | None = None
    repositories: list[RepositoryState]
    backups: list[Backup]
    drill: DrillState | None = None
    problems: list[str] = Field(default_factory=list)


def read_report(pods: PodClient) -> VerifierReport:
    """Read the last report of the verifier.

    Returns:
        The report.

    Raises:
        PodUnreachableError: the verifier is unreachable or has not reported yet.
    """
    text = query_first_reachable(pods.list_pods(VERIFIER), lambda pod: pods.run(pod, "main", ["cat", REPORT]))
    try:
        return VerifierReport.model_validate_json(text)
    except ValidationError as error:
        raise PodUnreachableError(
            f"{VERIFIER}: its report is invalid: {error.error_count()} problems"
        ) from error


def problems(report: VerifierReport, now: dt.datetime) -> list[str]:
    """Return all problems of the backups, one sentence each; backups and drills not yet due are none.

    Args:
        report: report of the verifier.
        now: current time (UTC).
    """
    if (now - report.reported_at).total_seconds() > REPORT_STALE_SECONDS:
        return [f"{VERIFIER} has not reported for {format_age(now - report.reported_at)}"]
    age = (now - report.timeline_start).total_seconds()
    messages = [] if age < FIRST_BACKUP_GRACE_SECONDS else list(report.problems)
    for repository in report.repositories:
        messages += _repository_problems(repository, report, now)
    last_archived_at = report.last_archived_at or report.timeline_start
    if report.last_archive_failure_at and report.last_archive_failure_at > last_archived_at:
        delay = now - last_archived_at
        if delay.total_seconds() > ARCHIVE_STALE_SECONDS:
            messages.append(f"the WAL has not been archived for {format_age(delay)}")
    return messages + _drill_problems(report.drill, age, now)


def _repository_problems(repository: RepositoryState, report: VerifierReport, now: dt.datetime) -> list[str]:
    name = _REPOSITORY_NAMES[repository.number]
    is_new = (now - report.timeline_start).total_seconds() < FIRST_BACKUP_GRACE_SECONDS
    backups = [backup for backup in report.backups if backup.repository == repository.number]
    if repository.problem and not is_new:
        return [f"{name} cannot be read: {repository.problem}"]
    if not backups:
        return [] if is_new else [f"{name} contains no backup"]
    messages = []
    if (now - backups[-1].finished_at).total_seconds() > MAX_BACKUP_AGE_SECONDS:
        age = format_age(now - backups[-1].finished_at)
        messages.append(f"the newest backup in {name} is {age} old")
    wal = report.last_archived_wal or ""
    is_segment = len(wal) == _WAL_SEGMENT_DIGITS
    if repository.newest_wal and is_segment and repository.newest_wal < wal and not is_new:
        messages.append(f"{name} lacks WAL segments: no later time can be restored until the next backup")
    return messages


def _drill_problems(drill: DrillState | None, age: float, now: dt.datetime) -> list[str]:
    if drill is None:
        return ["no drill has verified the backups yet"] if age > MAX_BACKUP_AGE_SECONDS else []
    if not drill.succeeded:
        return [f"the last drill failed: {(drill.problems or ['no reason given'])[0]}"[:400]]
    is_overdue = (now - drill.finished_at).total_seconds() > MAX_BACKUP_AGE_SECONDS
    return [f"the last drill was {format_age(now - drill.finished_at)} ago"] if is_overdue else []


def summary(report: VerifierReport, now: dt.datetime) -> str:
    """Return the state of the backups in one line.

    Args:
        report: report of the verifier.
        now: current time (UTC).
    """
    newest = (
        f"newest {format_age(now - report.backups[-1].finished_at)} old" if report.backups else "none yet"
    )
    archived = (
        f"WAL archived {format_age(now - report.last_archived_at)} ago"
        if report.last_archived_at
        else "WAL not archived yet"
    )
    if report.drill is None:
        return f"{newest}, {archived}, no drill yet"
    result = "passed" if report.drill.succeeded else "failed"
    return f"{newest}, {archived}, drill {result} {format_age(now - report.drill.finished_at)} ago"


def format_age(age: dt.timedelta) -> str:
    """Return an age in one unit, e.g. `7 min`."""
    seconds = max(age.total_seconds(), 0.0)
    for unit, length, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
