"""The witness: a small process that sees what a backup will have to bring back, and how the backups are.

Every ten seconds it writes a heartbeat row, by which a restored database tells how far it reaches. Once a
minute it writes down, outside of Postgres, the checksums of minutes that no transaction can add to any more,
and gathers a report that `esq status` reads from its disk.

How far it has written down is remembered in the database itself: set back to an earlier moment, the database
brings its mark along, and what was recorded of the time that is no more is written over.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from infra.components.backup.inside import database as db
from infra.components.backup.inside import records, s3, selection, tools
from services.contracts.backups import HEARTBEAT_SECONDS, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a small name

    from infra.components.backup.inside.records import Shelf

REPORT = Path("/tmp/report.json")  # noqa: S108 - the pod's own
DRILL = "drills/latest.json"
LOOK_SECONDS = 60.0
_PAUSE = 2.0
_ARCHIVER = """SELECT last_archived_wal, last_archived_time, last_failed_time FROM pg_stat_archiver"""


def record(database: Connection, shelf: Shelf) -> None:
    """Write down what has been closed since the last time.

    Raises:
        OSError: the store does not answer; the next call makes up for it.
        psycopg2.Error: the database does not.
    """
    values = {"store": shelf.name}
    marks = db.ask(database, f"SELECT until FROM {SCHEMA}.marks WHERE store = %(store)s", values)  # noqa: S608 - own constant
    since = marks[0][0] if marks else db.ALWAYS
    until = db.closed_until(database)
    if until <= since:
        return
    ((now,),) = db.ask(database, "SELECT now()")
    records.keep(shelf, db.sums(database, since, until), since, until, now)
    db.ask(
        database,
        f"""INSERT INTO {SCHEMA}.marks (store, until) VALUES (%(store)s, %(until)s)
ON CONFLICT (store) DO UPDATE SET until = excluded.until""",  # noqa: S608 - same
        {**values, "until": until},
    )


def report(database: Connection, shelves: Sequence[Shelf], troubles: Sequence[str]) -> dict[str, Any]:
    """Gather how the backups are.

    Raises:
        psycopg2.Error: the database does not answer.
    """
    ((wal, archived, failed),) = db.ask(database, _ARCHIVER)
    began = db.origin(database)
    said = list(troubles)
    found: list[dict[str, Any]] = []
    try:
        found = tools.info()
    except (tools.ToolError, ValueError) as error:
        said.append(f"pgbackrest cannot tell what there is: {error}"[:300])
    return {
        "at": dt.datetime.now(dt.UTC),
        "origin": began,
        "restored_until": db.newest_heartbeat(database, began),
        "archived_wal": wal,
        "archived_at": archived,
        "archive_failed_at": failed,
        "repositories": _repositories(found),
        "backups": [vars(each) for each in selection.backups(found)],
        "drill": _drill(shelves, said),
        "troubles": said,
    }


def _repositories(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    newest = {
        archive["database"]["repo-key"]: archive["max"]
        for stanza in found
        for archive in sorted(stanza["archive"], key=lambda each: each["id"])
    }
    return [
        {
            "number": repository["key"],
            "trouble": "" if repository["status"]["code"] in _SOUND else repository["status"]["message"],
            "newest_wal": newest.get(repository["key"]),
        }
        for stanza in found
        for repository in stanza["repo"]
    ]


_SOUND = (0, 1, 2)
"""pgBackRest's codes of a repository: it is well, or holds nothing, or has no backup yet."""


def _drill(shelves: Sequence[Shelf], troubles: list[str]) -> dict[str, Any] | None:
    for shelf in shelves:
        try:
            data = shelf.get(DRILL)
        except OSError as error:
            troubles.append(f"{shelf.name}: {error}"[:200])
            continue
        if data is not None:
            return dict(json.loads(data))
    return None


class Witness:
    """Two loops with a connection each, so that a store that hangs never holds up the heart."""

    def __init__(self, where: Mapping[str, object], shelves: Sequence[Shelf], file: Path = REPORT) -> None:
        self._where = where
        self._shelves = shelves
        self._file = file

    def beat(self) -> None:
        """Write heartbeats until the database goes away.

        Raises:
            psycopg2.Error: it did.
        """
        with closing(db.connect(**self._where)) as database:
            while True:
                db.beat(database)
                time.sleep(HEARTBEAT_SECONDS)

    def look(self) -> None:
        """Record and report until the database goes away.

        Raises:
            psycopg2.Error: it did.
        """
        with closing(db.connect(**self._where)) as database:
            while True:
                self.look_once(database)
                time.sleep(LOOK_SECONDS)

    def look_once(self, database: Connection) -> None:
        """Record what was closed, and write the report."""
        troubles = []
        for shelf in self._shelves:
            try:
                record(database, shelf)
            except OSError as error:
                troubles.append(f"the witness cannot write to {shelf.name}: {error}"[:200])
                sys.stderr.write(troubles[-1] + "\n")
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(report(database, self._shelves, troubles), default=_plain))
        fresh.replace(self._file)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)


def again(action: Callable[[], None]) -> None:
    """Run `action`, and again whenever the database went away."""
    while True:
        try:
            action()
        except psycopg2.Error as error:
            sys.stderr.write(f"the database is away: {error}\n")
            time.sleep(_PAUSE)


def main() -> None:
    """Run until ended."""
    where = {
        "host": os.environ["ESQ_DATABASE_HOST"],
        "dbname": os.environ["ESQ_DATABASE"],
        "user": os.environ["ESQ_DATABASE_USER"],
        "password": os.environ["PGPASSWORD"],
        "sslmode": "verify-full",
        "sslrootcert": "/etc/esq/tls/ca.crt",
    }
    found = s3.stores()
    witness = Witness(where, [found[name] for name in os.environ["ESQ_WITNESSES"].split(",")])
    # Whatever nobody thought of ends the process: half a witness would tell half the truth.
    threading.excepthook = lambda told: (threading.__excepthook__(told), os._exit(1))[0]
    threading.Thread(target=again, args=(witness.beat,), name="heart").start()
    again(witness.look)


if __name__ == "__main__":
    main()
