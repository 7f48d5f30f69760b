"""`patroni.yml` and the script that fills a new database cluster.

The timing is the plan "fast": ttl 20 s, loop 5 s, retry 5 s. Patroni wants loop_wait + 2 * retry_timeout <=
ttl, and 20 s is its floor for ttl; a lost zone then costs 16 to 29 s of writes. Shorter loops ask the API
server more often and demote a primary over a short stall; the promise of no false failover under stalls of
5 s needs the rest of the ttl.

What is under `bootstrap.dcs` lives in Kubernetes: the first member puts it there, and each new primary brings
it up to date (see components/postgres/member.py). What is under `postgresql` is read at every start.

The first member makes a new database cluster or, when a file in `/etc/esq/restore` asks for it, restores
one: two files for Patroni that differ in this only, and a script that chooses between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from infra.render.pgbackrest import ARCHIVING, STANZA
from services.contracts.backups import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

TTL = 20
"""Seconds after which an unrenewed leader lock is free."""
LOOP_WAIT = 5
"""Seconds between two passes of a member's loop."""
RETRY_TIMEOUT = 5
"""Seconds a member tries to reach the API server or Postgres before it draws consequences."""

PORT = 5432
REST_PORT = 8008

BACKUP_ROLE = "esq_backup"
WITNESS_ROLE = "esq_witness"
RESTORE = "/etc/esq/restore"
"""Folder of the wish to restore: a file `arguments` for pgBackRest, one a line."""

_PARAMETERS = {
    # Commits wait so long (microseconds) for others to be flushed with, where at least so many are under way:
    # each flush is one here and one on every standby.
    "commit_delay": 5000,
    "commit_siblings": 3,
    # Detects a replica or client whose zone is gone in seconds rather than hours.
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "wal_sender_timeout": "10s",
    "wal_receiver_timeout": "10s",
    # A forgotten transaction holds back vacuum and a migration's locks.
    "idle_in_transaction_session_timeout": "60s",
    # Short statements only: compiling them costs more than it saves.
    "jit": "off",
    # A page is logged whole when it changes first after a checkpoint: a third of the log where campaigns run
    # and there is one every two minutes. A standby takes over without replaying what lies between.
    "max_wal_size": "1GB",
    # Log is sent to two standbys and to the archive, and replayed: less of it for little processor.
    "wal_compression": "lz4",
    "password_encryption": "scram-sha-256",
    "ssl": "on",
    "ssl_min_protocol_version": "TLSv1.2",
    "ssl_cert_file": "/etc/esq/tls/tls.crt",
    "ssl_key_file": "/etc/esq/tls/tls.key",
    "ssl_ca_file": "/etc/esq/tls/ca.crt",
    "unix_socket_directories": "/run/postgresql",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %q%u@%d %h ",
    "log_lock_waits": "on",
    "log_min_duration_statement": "500ms",
}

_NEW = {"initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"]}
_RESTORED = {
    "method": "restore",
    "restore": {
        "command": "/etc/esq/patroni/restore.sh",
        "no_params": True,
        # pgBackRest writes down where to stop and how to get the log.
        "keep_existing_recovery_conf": True,
    },
}

_HBA = (
    "local all all scram-sha-256",
    "local replication all scram-sha-256",
    "hostssl replication replicator all scram-sha-256",
    "hostssl all all all scram-sha-256",
    # All that is left: connections without TLS.
    "hostnossl all all all reject",
)


def patroni(
    *,
    scope: str,
    labels: Mapping[str, str],
    shared_buffers: str,
    max_connections: int,
    restoring: bool = False,
) -> str:
    """Return `patroni.yml`; names, addresses and passwords of a member come from its environment.

    Args:
        scope: name of the database cluster: of its Services and, as label `cluster-name`, of its pods.
        labels: further labels that the members' pods carry.
        shared_buffers: Postgres's own cache, e.g. `64MB`.
        max_connections: connections for clients.
        restoring: the first member restores a backup instead of making a new database cluster.
    """
    config = {
        "scope": scope,
        "restapi": _restapi(),
        "ctl": {"cacert": "/etc/esq/tls/ca.crt"},
        "kubernetes": {
            # One update moves the lock and the address that clients use; with config maps it would take two.
            "use_endpoints": True,
            "labels": dict(labels),
            "scope_label": "cluster-name",
            "role_label": "role",
            "leader_label_value": "primary",
            "follower_label_value": "replica",
            "ports": [{"name": "postgres", "port": PORT}],
        },
        "bootstrap": {
            "dcs": _shared(max_connections),
            **(_RESTORED if restoring else _NEW),
            "post_init": "/etc/esq/patroni/post_init.sh",
        },
        "postgresql": {
            "listen": f"*:{PORT}",
            "use_unix_socket": True,
            "use_unix_socket_repl": True,
            "data_dir": "/var/lib/postgresql/data/pgdata",
            "bin_dir": "/usr/lib/postgresql/15/bin",
            "pgpass": "/run/postgresql/pgpass",
            "parameters": {"shared_buffers": shared_buffers, **_PARAMETERS, **ARCHIVING},
            "pg_hba": list(_HBA),
            # A new standby must not wait for the primary's next checkpoint, minutes away.
            "basebackup": [{"checkpoint": "fast"}],
            # A former primary that cannot be rewound is copied anew rather than left standing.
            "remove_data_directory_on_rewind_failure": True,
            "remove_data_directory_on_diverged_timelines": True,
        },
        "log": {"level": "INFO"},
    }
    return yaml.safe_dump(config, sort_keys=False, width=1000)


def _restapi() -> dict[str, object]:
    return {
        "listen": f"0.0.0.0:{REST_PORT}",
        "certfile": "/etc/esq/tls/tls.crt",
        "keyfile": "/etc/esq/tls/tls.key",
        "cafile": "/etc/esq/tls/ca.crt",
    }


def _shared(max_connections: int) -> dict[str, object]:
    return {
        "ttl": TTL,
        "loop_wait": LOOP_WAIT,
        "retry_timeout": RETRY_TIMEOUT,
        # Any one standby may acknowledge a commit, and only one that surely has all of them is promoted.
        # Strict: with no standby left writes wait, for an acknowledged write must not depend on one disk.
        # What Patroni lacks for that is in components/postgres/member.py.
        "synchronous_mode": "quorum",
        "synchronous_mode_strict": True,
        "synchronous_node_count": 1,
        # The quorum decides who may follow. What a primary cut off from its standbys wrote and could not
        # commit counts as lag as well, and with the default of 1 MiB nobody would take over from it (bytes).
        "maximum_lag_on_failover": 1 << 30,
        # A crashed Postgres may recover by itself for this long (seconds); the default would hold writes 5
        # minutes.
        "primary_start_timeout": 10,
        # The API server being away is no reason to stop a primary that reaches all its standbys.
        "failsafe_mode": True,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": {
                "max_connections": max_connections,
                # A former primary that is rewound starts at the redo point before it parted, and has only
                # what the new primary still keeps: ten minutes at 200 messages a second, half an hour at
                # rest, as segments are closed every half a minute. Patroni takes it from here alone.
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


def start() -> str:
    """Return the script that starts Patroni, with the file that says how a first member begins."""
    return f"""#!/bin/sh
set -eu
how=new
if [ -s {RESTORE}/arguments ]; then how=restored; fi
exec python3 /etc/esq/patroni/member.py "/etc/esq/patroni/$how.yml"
"""


def restore() -> str:
    """Return the script that brings back the data of the first member."""
    return f"""#!/bin/sh
set -eu
exec xargs -d '\\n' pgbackrest --stanza={STANZA} restore < {RESTORE}/arguments
"""


def post_init(*, database: str, admin: str) -> str:
    """Return the script that Patroni runs on a first primary, new or restored: it may find its work done.

    Args:
        database: name of the database.
        admin: role that owns it and may make roles. The passwords come from ESQ_ADMIN_PASSWORD,
            ESQ_BACKUP_PASSWORD and ESQ_WITNESS_PASSWORD.
    """
    return f"""#!/bin/sh
# Patroni gives the connection of the superuser as the first argument.
set -eu
psql -v ON_ERROR_STOP=1 -d "$1" <<'SQL'
\\getenv admin ESQ_ADMIN_PASSWORD
\\getenv backup ESQ_BACKUP_PASSWORD
\\getenv witness ESQ_WITNESS_PASSWORD
-- Statements with passwords are in no log, however slow or wrong.
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['{admin}', '{BACKUP_ROLE}', '{WITNESS_ROLE}']) AS name
WHERE name NOT IN (SELECT rolname FROM pg_roles) \\gexec
ALTER ROLE {admin} CREATEROLE PASSWORD :'admin';
ALTER ROLE {BACKUP_ROLE} PASSWORD :'backup';
ALTER ROLE {WITNESS_ROLE} PASSWORD :'witness';
SELECT 'CREATE DATABASE {database} OWNER {admin}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
-- All that taking a backup needs; the files it copies are read by the server's own user.
GRANT pg_read_all_settings, pg_checkpoint TO {BACKUP_ROLE};
GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean),
    pg_create_restore_point(text), pg_switch_wal() TO {BACKUP_ROLE};
-- The witness reads what it takes checksums of, and who has a transaction open.
GRANT pg_read_all_data, pg_read_all_stats TO {WITNESS_ROLE};
GRANT CONNECT ON DATABASE {database} TO {WITNESS_ROLE};
SQL
psql -v ON_ERROR_STOP=1 -d "$1 dbname={database}" <<'SQL'
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.heartbeats (at timestamptz PRIMARY KEY DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS {SCHEMA}.marks (store text PRIMARY KEY, until timestamptz NOT NULL);
-- When this database began, and began again from a backup.
CREATE TABLE IF NOT EXISTS {SCHEMA}.origins (at timestamptz PRIMARY KEY DEFAULT now());
INSERT INTO {SCHEMA}.origins DEFAULT VALUES;
GRANT USAGE ON SCHEMA {SCHEMA} TO {WITNESS_ROLE};
GRANT SELECT, INSERT, DELETE ON {SCHEMA}.heartbeats TO {WITNESS_ROLE};
GRANT SELECT, INSERT, UPDATE ON {SCHEMA}.marks TO {WITNESS_ROLE};
SQL
"""  # noqa: S608 - the names are constants
