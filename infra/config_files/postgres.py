"""`patroni.yml`, and the scripts that start Patroni and initialise a database cluster.

The timing: ttl 20 s, loop 5 s, retry 5 s. Patroni requires loop_wait + 2 * retry_timeout <= ttl, and a ttl of
at least 20 s; a lost zone then interrupts writes for 16 to 29 s. Shorter loops query the API server more
often and demote a primary after a short stall; the SLO of no false failover under stalls of 5 s needs the
rest of the ttl.

The dynamic configuration (`bootstrap.dcs`) is stored in Kubernetes: the first member writes it, and each new
primary updates it (see components/postgres/pod_programs/strict_patroni.py). The `postgresql` section is read
at every start.

The first member creates a new database cluster or, if a file in `/etc/esq/recovery-target` requests it,
restores one. Two files for Patroni differ in this only, and a script selects one of them.

The accounts of the members are in a file of their own, because a member must be able to read them again
(ADR 49): environment variables never change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from infra.config_files.pgbackrest import ARCHIVE_PARAMETERS, STANZA
from infra.config_files.postgres_accounts import LOCAL_ROLES
from infra.names import REPLICATION_ROLE
from services.contracts.backup_verification import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

TTL = 20
"""Seconds after which a leader lock that is not renewed is free."""
LOOP_WAIT = 5
"""Seconds between two passes of a member's loop."""
RETRY_TIMEOUT = 5
"""Seconds during which a member retries the API server or Postgres before it acts on the failure."""

HANDOVER_TIMEOUT_SECONDS = 10
"""Longest wait for a new primary before a primary is stopped, within the grace period of its pod."""

MAJOR_VERSION = 15
"""Version of Debian's Postgres."""
BINARIES = f"/usr/lib/postgresql/{MAJOR_VERSION}/bin"
PORT = 5432
REST_PORT = 8008

SUPERUSER = "postgres"
"""Has no password: only Patroni and the programs in a Postgres pod log in with it."""
SUPERUSER_DSN = f"host=/run/postgresql user={SUPERUSER} dbname=postgres connect_timeout=5"
ACCOUNTS_DIRECTORY = "/etc/esq/accounts"
ACCOUNTS_FILE = f"{ACCOUNTS_DIRECTORY}/accounts.sql"
AUTHENTICATION_FILE = f"{ACCOUNTS_DIRECTORY}/authentication.yml"
TLS_DIRECTORY = "/etc/esq/tls"
PATRONI_DIRECTORY = "/run/postgresql/patroni"
"""Patroni merges the files of this folder."""
RELOADED_FILES = (
    ACCOUNTS_FILE,
    AUTHENTICATION_FILE,
    *(f"{TLS_DIRECTORY}/{name}" for name in ("tls.crt", "tls.key", "ca.crt")),
)
"""Credentials that a running member applies when the kubelet replaces their files."""
ACCOUNTS_SCRIPT = "/etc/esq/patroni/accounts.sh"
RECOVERY_TARGET_DIRECTORY = "/etc/esq/recovery-target"
"""Folder of a requested restore: a file `arguments` for pgBackRest, one argument per line."""

PLANNER_PARAMETERS = {
    # Short statements only: JIT compilation costs more than it saves.
    "jit": "off",
}
"""Parameters that decide the plans of statements; `esq audit sql` runs with them."""
_PARAMETERS = {
    # A commit waits up to this long (microseconds) to share its flush, if this many transactions are active:
    # each flush is one here and one on every standby.
    "commit_delay": 5000,
    "commit_siblings": 3,
    # Detect a replica or client in a lost zone within seconds rather than hours.
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "wal_sender_timeout": "10s",
    "wal_receiver_timeout": "10s",
    # An abandoned transaction delays vacuum and the locks of a migration.
    "idle_in_transaction_session_timeout": "60s",
    **PLANNER_PARAMETERS,
    # The first change of a page after a checkpoint logs the whole page: a third of the WAL where campaigns
    # run with a checkpoint every two minutes. A standby is promoted without replaying the WAL in between.
    "max_wal_size": "1GB",
    # WAL is sent to two standbys and to the archive, and replayed; compression reduces it at low CPU cost.
    "wal_compression": "lz4",
    "password_encryption": "scram-sha-256",
    "ssl": "on",
    "ssl_min_protocol_version": "TLSv1.2",
    "ssl_cert_file": f"{TLS_DIRECTORY}/tls.crt",
    "ssl_key_file": f"{TLS_DIRECTORY}/tls.key",
    "ssl_ca_file": f"{TLS_DIRECTORY}/ca.crt",
    "unix_socket_directories": "/run/postgresql",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %q%u@%d %h ",
    "log_lock_waits": "on",
    "log_min_duration_statement": "500ms",
}

_BOOTSTRAP_INITDB = {"initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"]}
_BOOTSTRAP_RESTORE = {
    "method": "restore",
    "restore": {
        "command": "/etc/esq/patroni/restore.sh",
        "no_params": True,
        # pgBackRest writes the recovery target and the restore command.
        "keep_existing_recovery_conf": True,
    },
}

_LOCAL_ONLY = (SUPERUSER, *LOCAL_ROLES)
_IDENTITY_MAP = "esq"
_HBA = (
    # The containers of the pod run as the user that owns the data.
    f"local all {','.join(_LOCAL_ONLY)} peer map={_IDENTITY_MAP}",
    "local all all scram-sha-256",
    # Backups to nowhere, which verify all pages (components/postgres/scrub.py).
    f"local replication {SUPERUSER} peer map={_IDENTITY_MAP}",
    "local replication all scram-sha-256",
    f"hostssl all,replication {','.join(_LOCAL_ONLY)} all reject",
    f"hostssl replication +{REPLICATION_ROLE} all scram-sha-256",
    "hostssl all all all scram-sha-256",
    # All other connections without TLS.
    "hostnossl all all all reject",
)
_IDENT = tuple(f"{_IDENTITY_MAP} postgres {role}" for role in _LOCAL_ONLY)


def render_patroni_yaml(
    *,
    scope: str,
    labels: Mapping[str, str],
    shared_buffers: str,
    max_connections: int,
    restore: bool = False,
) -> str:
    """Return `patroni.yml`; names, addresses and passwords of a member come from its environment.

    Args:
        scope: name of the database cluster: of its Services and, as label `cluster-name`, of its pods.
        labels: further labels of the members' pods.
        shared_buffers: cache of Postgres, e.g. `64MB`.
        max_connections: connections for clients.
        restore: whether the first member restores a backup instead of creating a database cluster.
    """
    config = {
        "scope": scope,
        "restapi": _restapi_section(),
        "ctl": {"cacert": f"{TLS_DIRECTORY}/ca.crt"},
        "kubernetes": {
            # One update moves both the lock and the address used by clients; with config maps it would take
            # two.
            "use_endpoints": True,
            "labels": dict(labels),
            "scope_label": "cluster-name",
            "role_label": "role",
            "leader_label_value": "primary",
            "follower_label_value": "replica",
            "ports": [{"name": "postgres", "port": PORT}],
        },
        "bootstrap": {
            "dcs": _dynamic_configuration(max_connections),
            **(_BOOTSTRAP_RESTORE if restore else _BOOTSTRAP_INITDB),
            "post_init": "/etc/esq/patroni/post_init.sh",
        },
        "postgresql": _postgresql_section(shared_buffers),
        "log": {"level": "INFO"},
    }
    return yaml.safe_dump(config, sort_keys=False, width=1000)


def _restapi_section() -> dict[str, object]:
    return {
        "listen": f"0.0.0.0:{REST_PORT}",
        "certfile": f"{TLS_DIRECTORY}/tls.crt",
        "keyfile": f"{TLS_DIRECTORY}/tls.key",
        "cafile": f"{TLS_DIRECTORY}/ca.crt",
    }


def _postgresql_section(shared_buffers: str) -> dict[str, object]:
    return {
        "listen": f"*:{PORT}",
        "use_unix_socket": True,
        "use_unix_socket_repl": True,
        "data_dir": "/var/lib/postgresql/data/pgdata",
        "bin_dir": BINARIES,
        "pgpass": "/run/postgresql/pgpass",
        "parameters": {"shared_buffers": shared_buffers, **_PARAMETERS, **ARCHIVE_PARAMETERS},
        "pg_hba": list(_HBA),
        "pg_ident": list(_IDENT),
        # A new standby must not wait for the primary's next checkpoint, minutes later.
        "basebackup": [{"checkpoint": "fast"}],
        # A former primary that cannot be rewound is copied again rather than left stopped.
        "remove_data_directory_on_rewind_failure": True,
        "remove_data_directory_on_diverged_timelines": True,
    }


def _dynamic_configuration(max_connections: int) -> dict[str, object]:
    return {
        "ttl": TTL,
        "loop_wait": LOOP_WAIT,
        "retry_timeout": RETRY_TIMEOUT,
        # Any standby may acknowledge a commit, and only a standby that has all acknowledged commits is
        # promoted. Strict: without a standby writes wait, because an acknowledged write must not depend on
        # one disk. components/postgres/pod_programs/strict_patroni.py adds what Patroni lacks for that.
        "synchronous_mode": "quorum",
        "synchronous_mode_strict": True,
        "synchronous_node_count": 1,
        # The quorum decides which standbys may be promoted. Uncommitted WAL of a primary without standbys
        # counts as lag too, and with the default of 1 MiB no standby would be promoted (bytes).
        "maximum_lag_on_failover": 1 << 30,
        # A crashed Postgres may recover by itself for this long (seconds); the default would block writes for
        # 5 minutes.
        "primary_start_timeout": 10,
        # An unavailable API server does not stop a primary that reaches all its standbys.
        "failsafe_mode": True,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": {
                "max_connections": max_connections,
                # A former primary that is rewound starts at the redo point before the divergence and needs
                # the WAL since then from the new primary: ten minutes at 200 messages a second, half an hour
                # when idle, as segments are closed every 30 s. Patroni reads this parameter only here.
                "wal_keep_size": "1GB",
                "max_wal_senders": 8,
                "max_replication_slots": 8,
                "max_worker_processes": 4,
                "wal_level": "replica",
                "hot_standby": "on",
                "wal_log_hints": "on",
            },
        },
    }


def render_authentication_yaml(accounts: Mapping[str, tuple[str, str]], patroni_password: str) -> str:
    """Return the part of Patroni's configuration with the accounts of the members.

    Args:
        accounts: login role and password by use of a member: `replication` and `rewind`.
        patroni_password: password of the REST API.
    """
    rest_api = {"username": "patroni", "password": patroni_password}
    verified = {"sslmode": "verify-full", "sslrootcert": f"{TLS_DIRECTORY}/ca.crt"}
    authentication: dict[str, dict[str, str]] = {
        use: {"username": role, "password": password, **verified}
        for use, (role, password) in accounts.items()
    }
    authentication["superuser"] = {"username": SUPERUSER}
    config = {
        "restapi": {"authentication": rest_api},
        "postgresql": {"authentication": authentication},
    }
    return yaml.safe_dump(config, sort_keys=False, width=1000)


def render_start_script() -> str:
    """Return the script that starts Patroni with the file for a new or a restored database cluster."""
    return f"""#!/bin/sh
set -eu
bootstrap=new
if [ -s {RECOVERY_TARGET_DIRECTORY}/arguments ]; then bootstrap=restored; fi
mkdir -p {PATRONI_DIRECTORY}
# Links, so that a reload finds the present files.
ln -sfn "/etc/esq/patroni/$bootstrap.yml" {PATRONI_DIRECTORY}/1-cluster.yml
ln -sfn {AUTHENTICATION_FILE} {PATRONI_DIRECTORY}/2-authentication.yml
exec python3 /etc/esq/patroni/strict_patroni.py {PATRONI_DIRECTORY}
"""


def render_stop_script() -> str:
    """Return the script that the kubelet runs before it stops a member: a primary hands over first.

    The former primary then still answers while clients find the new one. Without a standby that can take
    over the switchover is refused, and Patroni stops as usual.
    """
    return f"""#!/bin/sh
[ "$(psql -XqAtc 'SELECT pg_is_in_recovery()' -d '{SUPERUSER_DSN}')" = f ] || exit 0
timeout {HANDOVER_TIMEOUT_SECONDS} patronictl switchover --force --primary "$PATRONI_NAME" || exit 0
"""


def render_restore_script() -> str:
    """Return the script that restores the data of the first member."""
    return f"""#!/bin/sh
set -eu
exec xargs -d '\\n' pgbackrest --stanza={STANZA} restore < {RECOVERY_TARGET_DIRECTORY}/arguments
"""


def render_post_init_script(*, database: str) -> str:
    """Return the script that Patroni runs on a first primary, new or restored.

    Args:
        database: name of the database.
    """
    return f"""#!/bin/sh
# Patroni passes the connection string of the superuser as the first argument.
set -eu
{ACCOUNTS_SCRIPT} "$1"
exec psql -Xq -v ON_ERROR_STOP=1 -d "$1 dbname={database}" -c 'INSERT INTO {SCHEMA}.timelines DEFAULT VALUES'
"""
