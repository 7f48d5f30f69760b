"""`pgbackrest.conf`, in the three forms that are needed.

- beside each Postgres: pushes its log, and serves whoever takes a backup, which must show the certificate
  `backup`;
- where backups are taken: a pod that knows all members, finds the primary and copies from a standby;
- where backups are restored: on the spot, to whatever folder is named on the command line.

Each repository is encrypted with a pass of its own before anything leaves the pod. The files hold S3 keys, so
they belong into a Secret. pgBackRest reads its file at each call, so a change needs no restart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.contracts.backups import ARCHIVE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STANZA = "esq"
SERVER_PORT = 8432
CLIENT = "backup"
"""Common name of the certificate that the servers beside Postgres obey."""
ROLE = "esq_backup"
PREFIX = "/postgres"
"""Path of a repository in its bucket."""
DATA = "/var/lib/postgresql/data/pgdata"
SOCKETS = "/run/postgresql"
QUEUE = "1GiB"
"""Log kept for a repository that is away. Beyond it the log is dropped rather than the disk filled: writes go
on, no second after that can be restored until the next backup, and `esq status` tells."""

ARCHIVE = "/etc/esq/patroni/pgbackrest-archive.sh"
"""Where `archive` stands beside Postgres. A backup refuses a command without `pgbackrest` in it."""
ARCHIVING = {
    "archive_mode": "on",
    "archive_command": f'{ARCHIVE} "%p"',
    "archive_timeout": f"{ARCHIVE_SECONDS}s",
}
"""Parameters of Postgres."""


@dataclass(frozen=True)
class Repository:
    """A place for backups.

    Attributes:
        host: of the S3 store; requests are by path, so it is no bucket's name.
        port: of the S3 store.
        region: signatures cover it.
        bucket: that is there already.
        key_id: access key.
        key_secret: its secret.
        cipher: pass that everything is encrypted with.
        authority: file of the authority that signed the store's certificate.
        days: backups that are needed to restore any second of so many days are kept.
    """

    host: str
    port: int
    region: str
    bucket: str
    key_id: str
    key_secret: str = field(repr=False)
    cipher: str = field(repr=False)
    authority: str
    days: int


def archive() -> str:
    """Return the script that archives a segment, or passes over one that is there and needed by nobody.

    A primary that dies has log that no standby has. Before it follows another, it archives the segment in
    which its timeline ended, as it has it. A standby that has the same segment without that end archives it
    too when it becomes primary: pgBackRest refuses the second (45), and Postgres would try for ever, with
    everything after it waiting. Nothing is restored from either, as the next timeline has a segment of that
    place with all that is valid. So exactly the segments in which a timeline ended, which the history files
    beside them tell, may differ.
    """
    return f"""\
#!/bin/sh
set -u
pgbackrest --stanza={STANZA} archive-push "$1" && exit 0
code=$?
[ "$code" = 45 ] || exit "$code"
for history in "${{1%/*}}"/*.history; do
    [ -e "$history" ] || continue
    while read -r timeline position _; do
        case "$position" in */*) ;; *) continue ;; esac
        high="${{position%/*}}" low="${{position#*/}}"
        ended=$(printf '%08X%08X%08X' "$timeline" "0x$high" "$((0x$low >> 24))")
        [ "$ended" != "${{1##*/}}" ] || exit 0
    done < "$history"
done
exit "$code"
"""


def member(repositories: Sequence[Repository]) -> str:
    """Return the file of the pods that run Postgres."""
    tls = {
        "tls-server-address": "0.0.0.0",  # noqa: S104 - the pod's own address is not known beforehand
        "tls-server-port": SERVER_PORT,
        "tls-server-auth": f"{CLIENT}={STANZA}",
        **{f"tls-server-{kind}-file": f"/etc/esq/tls/{file}" for kind, file in _FILES.items()},
    }
    spool = {
        "archive-async": "y",
        "spool-path": "/var/lib/postgresql/data/spool",
        "archive-push-queue-max": QUEUE,
    }
    here = {"pg1-path": DATA, "pg1-socket-path": SOCKETS, "pg1-user": ROLE, "pg1-database": "postgres"}
    return _file(_repositories(repositories) | _COMMON | tls | spool, here)


def runner(repositories: Sequence[Repository], hosts: Sequence[str]) -> str:
    """Return the file of the pods that take backups.

    Args:
        repositories: the first is preferred when restoring.
        hosts: name of each Postgres pod.
    """
    members: dict[str, object] = {}
    for number, host in enumerate(hosts, 1):
        members |= {
            f"pg{number}-host": host,
            f"pg{number}-host-type": "tls",
            f"pg{number}-host-port": SERVER_PORT,
            **{f"pg{number}-host-{kind}-file": f"/etc/esq/tls/{file}" for kind, file in _FILES.items()},
            f"pg{number}-path": DATA,
            f"pg{number}-socket-path": SOCKETS,
            f"pg{number}-user": ROLE,
            f"pg{number}-database": "postgres",
        }
    return _file(_repositories(repositories) | _COMMON | {"start-fast": "y"}, members)


def restorer(repositories: Sequence[Repository]) -> str:
    """Return the file of the pods that restore; the folder comes by `--pg1-path`."""
    fetch = {"archive-async": "y", "spool-path": "/scratch/spool", "archive-get-queue-max": "128MiB"}
    return _file(_repositories(repositories) | _COMMON | fetch, {"pg1-path": "/scratch/data"})


_FILES = {"ca": "ca.crt", "cert": "tls.crt", "key": "tls.key"}
_COMMON: dict[str, object] = {
    # Little CPU is better here than little space: the same cores serve messages.
    "compress-type": "lz4",
    "process-max": 1,
    "log-level-console": "info",
    "log-level-file": "off",
    "log-timestamp": "n",
    "lock-path": "/tmp/pgbackrest",  # noqa: S108 - the pod's own
    # A host that is away must not hold up a backup from another; the longest answer is a checkpoint's.
    "io-timeout": 20,
    "db-timeout": 120,
    "protocol-timeout": 150,
    "archive-timeout": 60,
}


def _repositories(repositories: Sequence[Repository]) -> dict[str, object]:
    values: dict[str, object] = {}
    for number, repository in enumerate(repositories, 1):
        of = f"repo{number}"
        values |= {
            f"{of}-type": "s3",
            f"{of}-path": PREFIX,
            f"{of}-s3-endpoint": repository.host,
            f"{of}-storage-port": repository.port,
            f"{of}-storage-ca-file": repository.authority,
            f"{of}-s3-uri-style": "path",
            f"{of}-s3-region": repository.region,
            f"{of}-s3-bucket": repository.bucket,
            f"{of}-s3-key": repository.key_id,
            f"{of}-s3-key-secret": repository.key_secret,
            f"{of}-cipher-type": "aes-256-cbc",
            f"{of}-cipher-pass": repository.cipher,
            # A database has a thousand small files; as an object each, they would take minutes.
            f"{of}-bundle": "y",
            f"{of}-retention-full-type": "time",
            f"{of}-retention-full": repository.days,
        }
    return values


def _file(everywhere: Mapping[str, object], stanza: Mapping[str, object]) -> str:
    lines = ["[global]", *(f"{name}={value}" for name, value in everywhere.items())]
    lines += ["", f"[{STANZA}]", *(f"{name}={value}" for name, value in stanza.items())]
    return "\n".join(lines) + "\n"
