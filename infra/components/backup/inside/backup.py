"""Takes a backup into every repository. Makes the repositories at the first time.

The files are copied from a standby, so that the primary is left to its work; from the primary when no standby
can be used. A backup that is under way already is waited for.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from infra.components.backup.inside import s3, selection, tools
from services.contracts.topics import TOPICS

BACKUP_SECONDS = 3600.0
STANZA_SECONDS = 120.0
WAIT_SECONDS = 300.0
"""For a Postgres and a store that are still starting, or for a backup of someone else."""
_PAUSE = 5.0
_BUSY = "another backup"


def prepare(deadline: float) -> None:
    """Make the repositories ready for this database, as soon as it is there.

    A repository that holds backups of an earlier database keeps them until their time is over.

    Raises:
        ToolError: not possible before `deadline` (monotonic seconds).
    """
    while True:
        try:
            tools.run("pgbackrest", "stanza-create", timeout=STANZA_SECONDS)
        except tools.ToolError as error:
            last = error
        else:
            return
        if "stanza-upgrade" in str(last):
            tools.run("pgbackrest", "stanza-upgrade", timeout=STANZA_SECONDS)
            return
        if time.monotonic() > deadline:
            raise last
        time.sleep(_PAUSE)


def back_up(kind: str, repository: int, deadline: float) -> str:
    """Take a backup; return where its files were copied from.

    Raises:
        ToolError: neither standby nor primary could be copied.
    """
    while True:
        for source in ("standby", "primary"):
            option = "--backup-standby" if source == "standby" else "--no-backup-standby"
            argv = ("pgbackrest", f"--type={kind}", f"--repo={repository}", option, "backup")
            try:
                tools.run(*argv, timeout=BACKUP_SECONDS)
            except tools.ToolError as error:
                failure = error
            else:
                return source
            if _BUSY in str(failure):
                break
        if _BUSY not in str(failure) or time.monotonic() > deadline:
            raise failure
        time.sleep(_PAUSE)


def main(kind: str) -> None:
    """Back up into all repositories; exit code 1 when one of them could not be."""
    began, clock = dt.datetime.now(dt.UTC), time.monotonic()
    sources: dict[str, str] = {}
    faults: list[str] = []
    try:
        prepare(clock + WAIT_SECONDS)
    except tools.ToolError as error:
        # One that is away makes this fail although the others may be ready.
        faults.append(str(error)[-600:])
    for number in range(1, int(os.environ["ESQ_REPOSITORIES"]) + 1):
        try:
            sources[str(number)] = back_up(kind, number, clock + WAIT_SECONDS)
        except tools.ToolError as error:
            faults.append(f"repository {number}: {str(error)[-600:]}")
    faults += _declare()
    tools.tell(_result(kind, began, time.monotonic() - clock, sources, faults))
    sys.exit(1 if faults else 0)


def _declare() -> list[str]:
    """Write down beside the backups which Kafka topics there are to be; return what went wrong."""
    wrong = []
    data = json.dumps([asdict(topic) for topic in TOPICS], indent=2).encode()
    for name in os.environ["ESQ_WITNESSES"].split(","):
        try:
            s3.stores()[name].put("kafka/topics.json", data)
        except OSError as error:
            wrong.append(f"{name}: {error}"[:200])
    return wrong


def _result(
    kind: str, began: dt.datetime, seconds: float, sources: dict[str, str], faults: list[str]
) -> dict[str, Any]:
    made = []
    try:
        made = [
            each for each in selection.backups(tools.info()) if each.begun >= began.replace(microsecond=0)
        ]
    except (tools.ToolError, ValueError) as error:
        faults.append(str(error)[-300:])
    return {
        "began": began,
        "kind": kind,
        "good": not faults,
        "seconds": round(seconds, 1),
        "faults": faults,
        "copied_from": sources,
        "backups": [vars(each) for each in made],
    }


if __name__ == "__main__":
    main(sys.argv[1])
