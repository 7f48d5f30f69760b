"""`pgbackrest.conf`, in three variants.

- Member: beside each Postgres; archives its WAL, and serves clients that take backups, which must present the
  client certificate `backup`.
- Backup: a pod that knows all members, finds the primary and copies from a standby.
- Restore: in the restoring pod, into the folder named on the command line.

Each repository is encrypted with its own passphrase before data leaves the pod. The files contain S3 keys, so
they must be stored in a Secret. pgBackRest reads its file at each call, so a change needs no restart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.names import BACKUP_CLIENT, BACKUP_ROLE
from services.contracts.backup_verification import ARCHIVE_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STANZA = "esq"
SERVER_PORT = 8432
REPOSITORY_PATH = "/postgres"
"""Path of a repository in its bucket."""
DATA_DIRECTORY = "/var/lib/postgresql/data/pgdata"
SOCKET_DIRECTORY = "/run/postgresql"
ARCHIVE_QUEUE_LIMIT = "1GiB"
"""WAL kept for an unavailable repository. Beyond it WAL is dropped instead of filling the disk: writes
continue, no later time can be restored until the next backup, and `esq status` reports it."""

ARCHIVE_SCRIPT = "/etc/esq/patroni/pgbackrest-archive.sh"
"""Path of the archive script beside Postgres. A backup requires `pgbackrest` in the archive command."""
ARCHIVE_PARAMETERS = {
    "archive_mode": "on",
    "archive_command": f'{ARCHIVE_SCRIPT} "%p"',
    "archive_timeout": f"{ARCHIVE_TIMEOUT_SECONDS}s",
}
"""Parameters of Postgres."""


@dataclass(frozen=True)
class Repository:
    """A repository of backups.

    Attributes:
        host: host of the S3 store; buckets are addressed by path, so it is no bucket's name.
        port: port of the S3 store.
        region: region of the signature.
        bucket: name of an existing bucket.
        key_id: access key.
        key_secret: secret key.
        cipher_pass: passphrase of the encryption.
        ca_file: file with the CA certificate of the store.
        retention_days: any second of this many days can be restored; older backups are deleted.
    """

    host: str
    port: int
    region: str
    bucket: str
    key_id: str
    key_secret: str = field(repr=False)
    cipher_pass: str = field(repr=False)
    ca_file: str
    retention_days: int


def render_archive_script() -> str:
    """Return the script that archives a WAL segment, or skips an existing segment that is not needed.

    A primary that dies has WAL that no standby has. Before it follows another primary, it archives its
    version of the segment in which its timeline ended. A standby with the same segment, but without that end,
    archives it too when it is
    promoted: pgBackRest rejects the second one (45), and Postgres would retry forever and block all later
        segments.
    Neither is used by a restore, as the next timeline has a segment at that position with all valid records.
    So exactly the segments in which a timeline ended may differ; the history files beside them name these.
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


def render_member_config(repositories: Sequence[Repository]) -> str:
    """Return the file of the pods that run Postgres."""
    tls = {
        "tls-server-address": "0.0.0.0",  # noqa: S104 - the pod's own address is not known beforehand
        "tls-server-port": SERVER_PORT,
        "tls-server-auth": f"{BACKUP_CLIENT}={STANZA}",
        **{f"tls-server-{kind}-file": f"/etc/esq/tls/{file}" for kind, file in _TLS_FILES.items()},
    }
    spool = {
        "archive-async": "y",
        "spool-path": "/var/lib/postgresql/data/spool",
        "archive-push-queue-max": ARCHIVE_QUEUE_LIMIT,
    }
    local_postgres = {
        "pg1-path": DATA_DIRECTORY,
        "pg1-socket-path": SOCKET_DIRECTORY,
        "pg1-user": BACKUP_ROLE,
        "pg1-database": "postgres",
    }
    return _render_sections(_repository_options(repositories) | _COMMON_OPTIONS | tls | spool, local_postgres)


def render_server_script(files: Sequence[str]) -> str:
    """Return the script of the server beside each member: it reads its certificate again after a change.

    Args:
        files: paths of its certificate, key and authorities.
    """
    names = " ".join(files)
    return f"""#!/bin/sh
set -eu
# Before the server reads them: a change in between only makes it read them twice.
loaded=$(cat {names} | cksum)
watch() {{
    while sleep 5; do
        present=$(cat {names} | cksum)
        if [ "$present" != "$loaded" ]; then
            kill -HUP $$
            loaded=$present
        fi
    done
}}
watch &
exec pgbackrest server
"""


def render_backup_config(repositories: Sequence[Repository], hosts: Sequence[str]) -> str:
    """Return the file of the pods that take backups.

    Args:
        repositories: all repositories; the first is preferred by restores.
        hosts: host name of each Postgres pod.
    """
    members: dict[str, object] = {}
    for number, host in enumerate(hosts, 1):
        members |= {
            f"pg{number}-host": host,
            f"pg{number}-host-type": "tls",
            f"pg{number}-host-port": SERVER_PORT,
            **{f"pg{number}-host-{kind}-file": f"/etc/esq/tls/{file}" for kind, file in _TLS_FILES.items()},
            f"pg{number}-path": DATA_DIRECTORY,
            f"pg{number}-socket-path": SOCKET_DIRECTORY,
            f"pg{number}-user": BACKUP_ROLE,
            f"pg{number}-database": "postgres",
        }
    options = _repository_options(repositories) | _COMMON_OPTIONS | {"start-fast": "y"}
    return _render_sections(options, members)


def render_restore_config(repositories: Sequence[Repository]) -> str:
    """Return the file of the pods that restore; `--pg1-path` names the folder."""
    fetch = {"archive-async": "y", "spool-path": "/scratch/spool", "archive-get-queue-max": "128MiB"}
    options = _repository_options(repositories) | _COMMON_OPTIONS | fetch
    return _render_sections(options, {"pg1-path": "/scratch/data"})


_TLS_FILES = {"ca": "ca.crt", "cert": "tls.crt", "key": "tls.key"}
_COMMON_OPTIONS: dict[str, object] = {
    # Low CPU usage matters more than space: the same cores serve messages.
    "compress-type": "lz4",
    "process-max": 1,
    "log-level-console": "info",
    "log-level-file": "off",
    "log-timestamp": "n",
    "lock-path": "/tmp/pgbackrest",  # noqa: S108 - the pod's own
    # An unavailable host must not delay a backup from another one; a checkpoint takes longest.
    "io-timeout": 20,
    "db-timeout": 120,
    "protocol-timeout": 150,
    "archive-timeout": 60,
}


def _repository_options(repositories: Sequence[Repository]) -> dict[str, object]:
    options: dict[str, object] = {}
    for number, repository in enumerate(repositories, 1):
        prefix = f"repo{number}"
        options |= {
            f"{prefix}-type": "s3",
            f"{prefix}-path": REPOSITORY_PATH,
            f"{prefix}-s3-endpoint": repository.host,
            f"{prefix}-storage-port": repository.port,
            f"{prefix}-storage-ca-file": repository.ca_file,
            f"{prefix}-s3-uri-style": "path",
            f"{prefix}-s3-region": repository.region,
            f"{prefix}-s3-bucket": repository.bucket,
            f"{prefix}-s3-key": repository.key_id,
            f"{prefix}-s3-key-secret": repository.key_secret,
            f"{prefix}-cipher-type": "aes-256-cbc",
            f"{prefix}-cipher-pass": repository.cipher_pass,
            # A database has a thousand small files; as separate objects they would take minutes.
            f"{prefix}-bundle": "y",
            f"{prefix}-retention-full-type": "time",
            f"{prefix}-retention-full": repository.retention_days,
        }
    return options


def _render_sections(global_options: Mapping[str, object], stanza_options: Mapping[str, object]) -> str:
    lines = ["[global]", *(f"{name}={value}" for name, value in global_options.items())]
    lines += ["", f"[{STANZA}]", *(f"{name}={value}" for name, value in stanza_options.items())]
    return "\n".join(lines) + "\n"
