"""Serves a restored Postgres beside the running one until the Job is deleted.

The accounts are those of the running one, whatever they were at the time of the backup; TLS only. Inside the
pod every role may log in without a password.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.components.backup.pod_programs import commands, scratch_postgres
from infra.components.backup.pod_programs import database as db

if TYPE_CHECKING:
    from collections.abc import Sequence

TLS_SETTINGS = """\
ssl = on
ssl_cert_file = '/etc/esq/tls/tls.crt'
ssl_key_file = '/etc/esq/tls/tls.key'
ssl_ca_file = '/etc/esq/tls/ca.crt'
password_encryption = 'scram-sha-256'
"""
HBA = "local all all trust\nhostssl all all all scram-sha-256\n"
ACCOUNTS = Path("/etc/esq/tls/accounts.sql")


def main(arguments: Sequence[str]) -> None:
    """Restore with pgBackRest's `arguments`, then replace this process by Postgres."""
    try:
        scratch_postgres.restore_files(arguments)
        with scratch_postgres.running("postgres") as pg_connection:
            db.query(pg_connection, ACCOUNTS.read_text())
    except commands.CommandError as error:
        commands.write_result({"succeeded": False, "problems": [str(error)[-1500:]]})
        sys.exit(1)
    argv = scratch_postgres.write_config(HBA, listen="*", extra_settings=TLS_SETTINGS)
    os.execvp(argv[0], argv)  # noqa: S606 - Postgres is to be the container's process


if __name__ == "__main__":
    main(sys.argv[1:])
