"""Takes a backup into every repository and creates the repositories on the first run.

The files are copied from a standby to spare the primary, or from the primary if no standby is usable. The
program waits for a backup that is already running.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from infra.components.backup.pod_programs import backup_selection, commands, s3
from services.contracts.topics import TOPICS

BACKUP_TIMEOUT_SECONDS = 3600.0
STANZA_TIMEOUT_SECONDS = 120.0
START_TIMEOUT_SECONDS = 300.0
"""Wait for a starting Postgres or store, or for another backup to finish."""
_RETRY_INTERVAL_SECONDS = 5.0
_BACKUP_RUNNING = "another backup"


def create_stanzas(deadline: float) -> None:
    """Create the repositories of this database, as soon as the database is available.

    A repository with backups of an earlier database keeps them until their retention ends.

    Args:
        deadline: deadline in monotonic seconds.

    Raises:
        CommandError: the repositories cannot be created before the deadline.
    """
    while True:
        try:
            commands.run("pgbackrest", "stanza-create", timeout=STANZA_TIMEOUT_SECONDS)
        except commands.CommandError as error:
            failure = error
        else:
            return
        if "stanza-upgrade" in str(failure):
            commands.run("pgbackrest", "stanza-upgrade", timeout=STANZA_TIMEOUT_SECONDS)
            return
        if time.monotonic() > deadline:
            raise failure
        time.sleep(_RETRY_INTERVAL_SECONDS)


def back_up(backup_type: str, repository: int, deadline: float) -> str:
    """Take a backup.

    Args:
        backup_type: `full` or `diff`.
        repository: number of the repository.
        deadline: deadline of the wait for another backup, in monotonic seconds.

    Returns:
        The source of its files: `standby` or `primary`.

    Raises:
        CommandError: neither a standby nor the primary can be copied.
    """
    while True:
        for source in ("standby", "primary"):
            option = "--backup-standby" if source == "standby" else "--no-backup-standby"
            argv = ("pgbackrest", f"--type={backup_type}", f"--repo={repository}", option, "backup")
            try:
                commands.run(*argv, timeout=BACKUP_TIMEOUT_SECONDS)
            except commands.CommandError as error:
                failure = error
            else:
                return source
            if _BACKUP_RUNNING in str(failure):
                break
        if _BACKUP_RUNNING not in str(failure) or time.monotonic() > deadline:
            raise failure
        time.sleep(_RETRY_INTERVAL_SECONDS)


def main(backup_type: str) -> None:
    """Back up into all repositories; exit with code 1 if a repository failed."""
    started_at, started = dt.datetime.now(dt.UTC), time.monotonic()
    sources: dict[str, str] = {}
    problems: list[str] = []
    try:
        create_stanzas(started + START_TIMEOUT_SECONDS)
    except commands.CommandError as error:
        # A single unavailable repository causes this error; the others may be ready.
        problems.append(str(error)[-600:])
    for number in range(1, int(os.environ["ESQ_REPOSITORIES"]) + 1):
        try:
            sources[str(number)] = back_up(backup_type, number, started + START_TIMEOUT_SECONDS)
        except commands.CommandError as error:
            problems.append(f"repository {number}: {str(error)[-600:]}")
    problems += _store_topic_table()
    commands.write_result(_result(backup_type, started_at, time.monotonic() - started, sources, problems))
    sys.exit(1 if problems else 0)


def _store_topic_table() -> list[str]:
    """Store the declared Kafka topics beside the backups and return the problems."""
    problems = []
    data = json.dumps([asdict(topic) for topic in TOPICS], indent=2).encode()
    for name in os.environ["ESQ_CHECKSUM_BUCKETS"].split(","):
        try:
            s3.load_buckets()[name].put("kafka/topics.json", data)
        except OSError as error:
            problems.append(f"{name}: {error}"[:200])
    return problems


def _result(
    backup_type: str, started_at: dt.datetime, seconds: float, sources: dict[str, str], problems: list[str]
) -> dict[str, Any]:
    new_backups = []
    try:
        backups = backup_selection.list_backups(commands.pgbackrest_info())
        new_backups = [backup for backup in backups if backup.started_at >= started_at.replace(microsecond=0)]
    except (commands.CommandError, ValueError) as error:
        problems.append(str(error)[-300:])
    return {
        "started_at": started_at,
        "backup_type": backup_type,
        "succeeded": not problems,
        "seconds": round(seconds, 1),
        "problems": problems,
        "copied_from": sources,
        "backups": [vars(backup) for backup in new_backups],
    }


if __name__ == "__main__":
    main(sys.argv[1])
