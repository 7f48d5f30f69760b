"""The backup verifier: records checksums of the database, and reports the state of the backups.

Every ten seconds it writes a heartbeat row, which shows how far a restored database reaches. Once a minute it
records, outside of Postgres, the checksums of minutes to which no transaction can add rows any more, and
writes a report to its disk for `esq status`, and serves it as metrics.

The watermark of the recorded checksums is stored in the database itself: after a restore to an earlier time
the watermark is of that time too, and the checksums of the abandoned timeline are overwritten.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from infra.components.backup.pod_programs import (
    backup_selection,
    checksum_log,
    commands,
    report_metrics,
    s3,
)
from infra.components.backup.pod_programs import database as db
from infra.components.pod_programs import probe_server
from services.contracts.backup_verification import HEARTBEAT_INTERVAL_SECONDS, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

    from infra.components.backup.pod_programs.checksum_log import ObjectStorage

REPORT = Path("/tmp/report.json")  # noqa: S108 - the pod's own folder
DRILL = "drills/latest.json"
POLL_INTERVAL_SECONDS = 60.0
_RETRY_INTERVAL_SECONDS = 2.0
_ARCHIVER = """SELECT last_archived_wal, last_archived_time, last_failed_time FROM pg_stat_archiver"""


def record_checksums(pg_connection: Connection, storage: ObjectStorage) -> None:
    """Record the minutes that were closed since the last call.

    Args:
        pg_connection: connection to the database.
        storage: bucket of the checksum log.

    Raises:
        OSError: the store is unavailable; the next call catches up.
        psycopg2.Error: the database is unavailable.
    """
    parameters = {"store": storage.name}
    watermarks = db.query(
        pg_connection,
        f"SELECT until FROM {SCHEMA}.watermarks WHERE store = %(store)s",  # noqa: S608 - own constant
        parameters,
    )
    since = watermarks[0][0] if watermarks else db.EPOCH
    until = db.checksum_watermark(pg_connection)
    if until <= since:
        return
    ((now,),) = db.query(pg_connection, "SELECT now()")
    checksum_log.write(storage, db.row_checksums(pg_connection, since, until), since, until, now)
    db.query(
        pg_connection,
        f"""INSERT INTO {SCHEMA}.watermarks (store, until) VALUES (%(store)s, %(until)s)
ON CONFLICT (store) DO UPDATE SET until = excluded.until""",  # noqa: S608 - own constant
        {**parameters, "until": until},
    )


def build_report(
    pg_connection: Connection, storages: Sequence[ObjectStorage], problems: Sequence[str]
) -> dict[str, Any]:
    """Return the state of the backups.

    Args:
        pg_connection: connection to the database.
        storages: buckets with drill results.
        problems: problems of this pass of the verifier.

    Raises:
        psycopg2.Error: the database is unavailable.
    """
    ((last_wal, last_archived_at, last_failure_at),) = db.query(pg_connection, _ARCHIVER)
    timeline_start = db.timeline_start(pg_connection)
    all_problems = list(problems)
    info: list[dict[str, Any]] = []
    try:
        info = commands.pgbackrest_info()
    except (commands.CommandError, ValueError) as error:
        all_problems.append(f"pgbackrest cannot list the backups: {error}"[:300])
    return {
        "reported_at": dt.datetime.now(dt.UTC),
        "timeline_start": timeline_start,
        "restored_until": db.newest_heartbeat(pg_connection, timeline_start),
        "last_archived_wal": last_wal,
        "last_archived_at": last_archived_at,
        "last_archive_failure_at": last_failure_at,
        "repositories": _repositories(info),
        "backups": [vars(backup) for backup in backup_selection.list_backups(info)],
        "drill": _last_drill(storages, all_problems),
        "problems": all_problems,
    }


def _repositories(info: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    newest_wal = {
        archive["database"]["repo-key"]: archive["max"]
        for stanza in info
        for archive in sorted(stanza["archive"], key=lambda archive: archive["id"])
    }
    return [
        {
            "number": repository["key"],
            "problem": ""
            if repository["status"]["code"] in _VALID_STATUS
            else repository["status"]["message"],
            "newest_wal": newest_wal.get(repository["key"]),
        }
        for stanza in info
        for repository in stanza["repo"]
    ]


_VALID_STATUS = (0, 1, 2)
"""Status codes of pgBackRest: the repository is valid, is empty, or has no backup yet."""


def _last_drill(storages: Sequence[ObjectStorage], problems: list[str]) -> dict[str, Any] | None:
    for storage in storages:
        try:
            data = storage.get(DRILL)
        except OSError as error:
            problems.append(f"{storage.name}: {error}"[:200])
            continue
        if data is not None:
            return dict(json.loads(data))
    return None


class BackupVerifier:
    """Two loops with a connection each, so that a hanging store does not delay the heartbeat.

    Args:
        connection_parameters: connection parameters of psycopg2.
        storages: buckets of the checksum log.
        file: path of the report.
    """

    def __init__(
        self,
        connection_parameters: Mapping[str, object],
        storages: Sequence[ObjectStorage],
        file: Path = REPORT,
    ) -> None:
        self._connection_parameters = connection_parameters
        self._storages = storages
        self._file = file

    def run_heartbeat(self) -> None:
        """Write heartbeats until the database is unavailable.

        Raises:
            psycopg2.Error: the database is unavailable.
        """
        with closing(db.connect(**self._connection_parameters)) as pg_connection:
            while True:
                db.write_heartbeat(pg_connection)
                time.sleep(HEARTBEAT_INTERVAL_SECONDS)

    def run_checks(self) -> None:
        """Record checksums and write reports until the database is unavailable.

        Raises:
            psycopg2.Error: the database is unavailable.
        """
        with closing(db.connect(**self._connection_parameters)) as pg_connection:
            while True:
                self.check_once(pg_connection)
                time.sleep(POLL_INTERVAL_SECONDS)

    def check_once(self, pg_connection: Connection) -> None:
        """Record the closed minutes and write the report."""
        problems = []
        for storage in self._storages:
            try:
                record_checksums(pg_connection, storage)
            except OSError as error:
                problems.append(f"the backup verifier cannot write to {storage.name}: {error}"[:200])
                sys.stderr.write(problems[-1] + "\n")
        temporary = self._file.with_suffix(".new")
        report = build_report(pg_connection, self._storages, problems)
        temporary.write_text(json.dumps(report, default=_serialize))
        temporary.replace(self._file)


def _serialize(value: object) -> str:
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)


def retry_forever(action: Callable[[], None]) -> None:
    """Run `action` again whenever the database is unavailable."""
    while True:
        try:
            action()
        except psycopg2.Error as error:
            sys.stderr.write(f"the database is unavailable: {error}\n")
            time.sleep(_RETRY_INTERVAL_SECONDS)


def main() -> None:
    """Run until terminated."""
    connection_parameters = {
        "host": os.environ["ESQ_DATABASE_HOST"],
        "dbname": os.environ["ESQ_DATABASE"],
        "user": os.environ["ESQ_DATABASE_USER"],
        "password": os.environ["PGPASSWORD"],
        "sslmode": "verify-full",
        "sslrootcert": "/etc/esq/tls/ca.crt",
    }
    buckets = s3.load_buckets()
    storages = [buckets[name] for name in os.environ["ESQ_CHECKSUM_BUCKETS"].split(",")]
    verifier = BackupVerifier(connection_parameters, storages)
    # Exit on unexpected errors; a partial verifier must not report.
    threading.excepthook = lambda args: (threading.__excepthook__(args), os._exit(1))[0]
    threading.Thread(target=retry_forever, args=(verifier.run_heartbeat,), name="heartbeat").start()
    certificate = ("/etc/esq/tls/tls.crt", "/etc/esq/tls/tls.key")
    metrics = partial(report_metrics.read, REPORT)
    threading.Thread(target=probe_server.serve, args=({}, metrics, *certificate), name="metrics").start()
    retry_forever(verifier.run_checks)


if __name__ == "__main__":
    main()
