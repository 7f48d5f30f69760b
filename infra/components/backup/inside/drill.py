"""The drill: restores the latest state and a random second, and holds both against what was recorded.

It proves that the files come back, that Postgres starts on them, that no page is damaged, that every minute
the witness has written down is there to the last row, and that the application's truths hold. It measures how
much would have been lost at the moment it began (RPO: the age of the newest heartbeat that was restored) and
how long restoring took (RTO: from the first request until the restored server answers).
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

from infra.components.backup.inside import database as db
from infra.components.backup.inside import records, restored, s3, selection, tools
from infra.components.backup.inside.witness import DRILL
from services.contracts.backups import RPO_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.components.backup.inside.records import Recorded
    from infra.components.backup.inside.s3 import Store
    from infra.components.backup.inside.selection import Backup, Choice

SYSTEM = random.SystemRandom()
_FAULTS = 8
"""Shown of each restored copy; the termination message is short."""


@dataclass
class Copy:
    """A restored copy, and what was found.

    Attributes:
        wish: `latest` or the time that was restored.
        repository: where it came from.
        backup: label of the backup it began with.
        reached: the newest heartbeat in it.
        rto_seconds: until it answered.
        checked_seconds: the whole examination.
        rows: of the minutes that were compared.
        minutes: that were compared.
        pages: whose checksum was checked.
        faults: what is wrong, a sentence each.
    """

    wish: str
    repository: int = 0
    backup: str = ""
    reached: dt.datetime | None = None
    rto_seconds: float = 0.0
    checked_seconds: float = 0.0
    rows: int = 0
    minutes: int = 0
    pages: str = ""
    faults: list[str] = field(default_factory=list)


def judge(copy: Copy, database: Any, recorded: Recorded, moment: dt.datetime | None) -> None:  # noqa: ANN401 - psycopg2 has no types
    """Hold a restored database against what was recorded before `moment`, or before what it reaches."""
    copy.reached = db.newest_heartbeat(database)
    if copy.reached is None:
        copy.faults.append("there is no heartbeat in it")
        return
    expected = recorded.before(min(moment or copy.reached, copy.reached))
    copy.minutes = len(expected)
    copy.rows = sum(rows for tables in expected.values() for rows, _ in tables.values())
    if expected:
        found = db.sums(database, min(expected), max(expected) + dt.timedelta(minutes=1))
        copy.faults += db.differences(expected, found)
    copy.faults += db.breaches(database)


def examine(choice: Choice, recorded: Recorded, wish: str, name: str) -> tuple[Copy, dt.datetime | None, str]:
    """Restore and judge; return what was found, when the copy's database began, and Postgres' version."""
    copy, begun = Copy(wish), time.monotonic()
    if choice.backup is not None:
        copy.repository, copy.backup = choice.backup.repository, choice.backup.label
    origin, version = None, ""
    try:
        restored.fetch(choice.arguments)
        with restored.serving(name) as database:
            origin = db.origin(database)
            version = db.ask(database, "SHOW server_version")[0][0]
            copy.rto_seconds = round(time.monotonic() - begun, 1)
            judge(copy, database, recorded, None if wish == selection.LATEST else selection.moment(wish))
        copy.pages = restored.pages()
    except tools.ToolError as error:
        copy.faults.append(str(error)[-600:])
    copy.checked_seconds = round(time.monotonic() - begun, 1)
    return copy, origin, version


def some_second(found: Sequence[Backup], origin: dt.datetime, until: dt.datetime) -> dt.datetime | None:
    """Return a random moment that can be restored; None when there is none yet.

    Nothing before `origin` counts: the database was set back there, and earlier backups may belong to a past
    that is no more.
    """
    ends = [each.ended for each in found if each.begun > origin and each.ended < until]
    if not ends:
        return None
    first = min(ends) + dt.timedelta(seconds=1)
    return first + SYSTEM.random() * (until - first) if until > first else None


def result(began: dt.datetime, copies: Sequence[Copy], versions: dict[str, str]) -> dict[str, Any]:
    """Return the verdict over all copies, as plain values."""
    latest = copies[0]
    rpo = round((began - latest.reached).total_seconds(), 1) if latest.reached else None
    faults = [f"{copy.wish}: {fault}" for copy in copies for fault in copy.faults[:_FAULTS]]
    if rpo is not None and rpo > RPO_SECONDS:
        faults.append(
            f"the last {rpo:g} s before the drill would have been lost, {RPO_SECONDS} s are promised"
        )
    return {
        "began": began,
        "ended": dt.datetime.now(dt.UTC),
        "good": not faults,
        "faults": faults,
        "rpo_seconds": rpo,
        "rto_seconds": latest.rto_seconds,
        "rows": sum(copy.rows for copy in copies),
        "minutes": sum(copy.minutes for copy in copies),
        "versions": versions,
        "copies": [{**asdict(copy), "faults": len(copy.faults)} for copy in copies],
    }


def drill(shelves: Sequence[Store], name: str) -> dict[str, Any]:
    """Do it.

    Raises:
        NotRestorableError: there is no backup yet.
        OSError: no store answers.
    """
    began = dt.datetime.now(dt.UTC)
    found = selection.backups(tools.info())
    recorded = records.load(shelves[-1])
    choice = selection.choose(found, selection.LATEST)
    first, origin, version = examine(choice, recorded, selection.LATEST, name)
    copies = [first]
    second = some_second(found, origin, first.reached) if origin and first.reached else None
    if second is not None:
        wish = second.isoformat(timespec="milliseconds")
        choice = selection.choose(found, wish, origin=origin)
        copies.append(examine(choice, recorded, wish, name)[0])
    versions = {"postgres": version, "pgbackrest": tools.run("pgbackrest", "version", timeout=10).split()[-1]}
    return result(began, copies, versions)


def keep(shelves: Sequence[Store], told: dict[str, Any]) -> None:
    """Write the result to every store that answers."""
    data = json.dumps(told, default=str).encode()
    for shelf in shelves:
        try:
            shelf.put(DRILL, data)
            shelf.put(f"drills/{told['began']:%Y%m%dT%H%M%SZ}.json", data)
        except OSError as error:
            sys.stderr.write(f"{shelf.name}: {error}\n")


def main() -> None:
    """Run the drill; exit code 1 when it found a fault."""
    shelves = [s3.stores()[name] for name in os.environ["ESQ_WITNESSES"].split(",")]
    began = dt.datetime.now(dt.UTC)
    try:
        told = drill(shelves, os.environ["ESQ_DATABASE"])
    except (selection.NotRestorableError, tools.ToolError, OSError) as error:
        told = {
            "began": began,
            "ended": dt.datetime.now(dt.UTC),
            "good": False,
            "faults": [str(error)[-1000:]],
        }
    keep(shelves, told)
    tools.tell(told)
    sys.exit(0 if told["good"] else 1)


if __name__ == "__main__":
    main()
