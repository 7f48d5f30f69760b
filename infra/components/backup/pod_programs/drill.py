"""The restore drill: restores the latest state and a random second, and verifies both.

It proves that the files can be restored, that Postgres starts on them, that no page is corrupt, that every
minute recorded by the verifier is complete, and that the application's invariants hold. It measures the RPO
(age of the newest restored heartbeat at the start of the drill) and the RTO (from the first request until the
restored server answers).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from infra.components.backup.pod_programs import (
    backup_selection,
    checksum_log,
    commands,
    s3,
    scratch_postgres,
)
from infra.components.backup.pod_programs import database as db
from infra.components.backup.pod_programs.verifier import DRILL
from services.contracts.backup_verification import RPO_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.components.backup.pod_programs.backup_selection import Backup, RestorePlan
    from infra.components.backup.pod_programs.checksum_log import RecordedChecksums
    from infra.components.backup.pod_programs.s3 import S3Bucket

SYSTEM_RANDOM = random.SystemRandom()
_MAX_PROBLEMS = 8
"""Reported problems of each restored copy; the termination message is short."""


@dataclass
class RestoredCopy:
    """Result of the verification of a restored copy.

    Attributes:
        target: `latest` or the restored time.
        repository: number of the repository.
        backup: label of the backup that was restored.
        last_heartbeat: newest heartbeat in the copy.
        rto_seconds: seconds until the server answered.
        total_seconds: duration of restore and verification.
        rows_compared: rows in the compared minutes.
        minutes_compared: compared minutes.
        pages_verified: pages whose checksum was verified.
        problems: all problems, one sentence each.
    """

    target: str
    repository: int = 0
    backup: str = ""
    last_heartbeat: dt.datetime | None = None
    rto_seconds: float = 0.0
    total_seconds: float = 0.0
    rows_compared: int = 0
    minutes_compared: int = 0
    pages_verified: str = ""
    problems: list[str] = field(default_factory=list)


def verify(
    copy: RestoredCopy,
    pg_connection: Any,  # noqa: ANN401 - psycopg2 has no types
    recorded: RecordedChecksums,
    target_time: dt.datetime | None,
) -> None:
    """Verify a restored database against the recorded checksums and the invariants.

    Args:
        copy: takes the result.
        pg_connection: connection to the restored database.
        recorded: checksums of the verifier.
        target_time: restored time; None for the latest state.
    """
    copy.last_heartbeat = db.newest_heartbeat(pg_connection)
    if copy.last_heartbeat is None:
        copy.problems.append("the copy contains no heartbeat")
        return
    expected = recorded.closed_before(min(target_time or copy.last_heartbeat, copy.last_heartbeat))
    copy.minutes_compared = len(expected)
    copy.rows_compared = sum(rows for tables in expected.values() for rows, _ in tables.values())
    if expected:
        actual = db.row_checksums(pg_connection, min(expected), max(expected) + dt.timedelta(minutes=1))
        copy.problems += db.differences(expected, actual)
    copy.problems += db.invariant_violations(pg_connection)


def restore_and_verify(
    plan: RestorePlan, recorded: RecordedChecksums, target: str, database_name: str
) -> tuple[RestoredCopy, dt.datetime | None, str]:
    """Restore a copy and verify it.

    Args:
        plan: the restore.
        recorded: checksums of the verifier.
        target: `latest` or a time.
        database_name: name of the database.

    Returns:
        The result, the start of the copy's timeline, and the version of Postgres.
    """
    copy, started = RestoredCopy(target), time.monotonic()
    if plan.backup is not None:
        copy.repository, copy.backup = plan.backup.repository, plan.backup.label
    timeline_start, version = None, ""
    try:
        scratch_postgres.restore_files(plan.arguments)
        with scratch_postgres.running(database_name) as pg_connection:
            timeline_start = db.timeline_start(pg_connection)
            version = db.query(pg_connection, "SHOW server_version")[0][0]
            copy.rto_seconds = round(time.monotonic() - started, 1)
            is_latest = target == backup_selection.LATEST
            verify(copy, pg_connection, recorded, None if is_latest else backup_selection.parse_time(target))
        copy.pages_verified = scratch_postgres.verify_page_checksums()
    except commands.CommandError as error:
        copy.problems.append(str(error)[-600:])
    copy.total_seconds = round(time.monotonic() - started, 1)
    return copy, timeline_start, version


def random_target(
    backups: Sequence[Backup], timeline_start: dt.datetime, until: dt.datetime
) -> dt.datetime | None:
    """Return a random time that can be restored; None if there is none yet.

    Args:
        backups: all backups.
        timeline_start: creation or last restore of the database. Earlier backups may belong to an abandoned
            timeline and are ignored.
        until: end of the restorable period.
    """
    ends = [
        backup.finished_at
        for backup in backups
        if backup.started_at > timeline_start and backup.finished_at < until
    ]
    if not ends:
        return None
    first = min(ends) + dt.timedelta(seconds=1)
    return first + SYSTEM_RANDOM.random() * (until - first) if until > first else None


def build_result(
    started_at: dt.datetime, copies: Sequence[RestoredCopy], versions: dict[str, str]
) -> dict[str, Any]:
    """Return the result of the drill as plain values.

    Args:
        started_at: start of the drill.
        copies: all restored copies; the first is of the latest state.
        versions: versions by program.
    """
    latest = copies[0]
    rpo = round((started_at - latest.last_heartbeat).total_seconds(), 1) if latest.last_heartbeat else None
    problems = [f"{copy.target}: {problem}" for copy in copies for problem in copy.problems[:_MAX_PROBLEMS]]
    if rpo is not None and rpo > RPO_SECONDS:
        problems.append(f"measured RPO {rpo:g} s exceeds the objective of {RPO_SECONDS} s")
    return {
        "started_at": started_at,
        "finished_at": dt.datetime.now(dt.UTC),
        "succeeded": not problems,
        "problems": problems,
        "rpo_seconds": rpo,
        "rto_seconds": latest.rto_seconds,
        "rows_compared": sum(copy.rows_compared for copy in copies),
        "minutes_compared": sum(copy.minutes_compared for copy in copies),
        "versions": versions,
        "copies": [{**asdict(copy), "problems": len(copy.problems)} for copy in copies],
    }


def run_drill(buckets: Sequence[S3Bucket], database_name: str) -> dict[str, Any]:
    """Run the restore drill.

    Args:
        buckets: buckets with recorded checksums; those of the last are used.
        database_name: name of the database.

    Returns:
        The result of the drill, see `build_result`.

    Raises:
        NoUsableBackupError: there is no backup yet.
        OSError: no store is available.
    """
    started_at = dt.datetime.now(dt.UTC)
    backups = backup_selection.list_backups(commands.pgbackrest_info())
    recorded = checksum_log.load(buckets[-1])
    plan = backup_selection.plan_restore(backups, backup_selection.LATEST)
    latest, timeline_start, version = restore_and_verify(
        plan, recorded, backup_selection.LATEST, database_name
    )
    copies = [latest]
    target_time = (
        random_target(backups, timeline_start, latest.last_heartbeat)
        if timeline_start and latest.last_heartbeat
        else None
    )
    if target_time is not None:
        target = target_time.isoformat(timespec="milliseconds")
        plan = backup_selection.plan_restore(backups, target, timeline_start=timeline_start)
        copies.append(restore_and_verify(plan, recorded, target, database_name)[0])
    pgbackrest_version = commands.run("pgbackrest", "version", timeout=10).split()[-1]
    return build_result(started_at, copies, {"postgres": version, "pgbackrest": pgbackrest_version})


def save_result(buckets: Sequence[S3Bucket], result: dict[str, Any]) -> None:
    """Write the result to every available bucket.

    Args:
        buckets: the buckets.
        result: result of the drill.
    """
    data = json.dumps(result, default=str).encode()
    for bucket in buckets:
        try:
            bucket.put(DRILL, data)
            bucket.put(f"drills/{result['started_at']:%Y%m%dT%H%M%SZ}.json", data)
        except OSError as error:
            sys.stderr.write(f"{bucket.name}: {error}\n")


def main() -> None:
    """Run the drill; exit with code 1 if it found a problem."""
    buckets = [s3.load_buckets()[name] for name in os.environ["ESQ_CHECKSUM_BUCKETS"].split(",")]
    started_at = dt.datetime.now(dt.UTC)
    try:
        result = run_drill(buckets, os.environ["ESQ_DATABASE"])
    except (backup_selection.NoUsableBackupError, commands.CommandError, OSError) as error:
        result = {
            "started_at": started_at,
            "finished_at": dt.datetime.now(dt.UTC),
            "succeeded": False,
            "problems": [str(error)[-1000:]],
        }
    save_result(buckets, result)
    commands.write_result(result)
    sys.exit(0 if result["succeeded"] else 1)


if __name__ == "__main__":
    main()
