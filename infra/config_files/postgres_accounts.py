"""SQL that declares the accounts of Postgres, its database and schemas (ADR 41).

Whoever owns or may read something is a role without login, e.g. `campaigns`. One logs in as a member of it,
`campaigns_a` or `campaigns_b`, which becomes that role at once. The two generations have passwords of their
own, so that servers and clients never change a password at the same moment. Roles of both generations always
exist; only accepted ones may log in.

The SQL is idempotent: the first primary applies it, and every later one after its promotion and after a
change. It also corrects the accounts of a restored backup. It contains SCRAM secrets instead of passwords,
because Postgres shows statements to administrators, and logs them, in more ways than can be switched off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.config_files.scram import scram_secret
from infra.names import (
    ADMIN_ROLE,
    BACKUP_ROLE,
    PROBE_ROLE,
    REPLICATION_ROLE,
    REWIND_ROLE,
    SERVICES,
    VERIFIER_ROLE,
    login_role,
)
from services.contracts.backup_verification import SCHEMA as VERIFIER_SCHEMA
from services.contracts.kafka_access import GENERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROBE_SCHEMA = "esq_chaos"

LOCAL_ROLES = (ADMIN_ROLE, BACKUP_ROLE)
"""Roles without a password: they log in as the operating system's user of the server."""
NETWORK_ROLES = (REPLICATION_ROLE, REWIND_ROLE, VERIFIER_ROLE, PROBE_ROLE, *SERVICES)

_MEMBERSHIPS = (
    # All that taking a backup needs; the copied files are read by the server's own user.
    (BACKUP_ROLE, "pg_read_all_settings"),
    (BACKUP_ROLE, "pg_checkpoint"),
    # The verifier reads the tables for checksums, and the open transactions.
    (VERIFIER_ROLE, "pg_read_all_data"),
    (VERIFIER_ROLE, "pg_read_all_stats"),
    *((ADMIN_ROLE, service) for service in SERVICES),
    *((login_role(role, generation), role) for role in NETWORK_ROLES for generation in GENERATIONS),
)
"""Member and role. All others are revoked from these members."""

_FUNCTIONS = {
    BACKUP_ROLE: (
        "pg_backup_start(text, boolean)",
        "pg_backup_stop(boolean)",
        "pg_create_restore_point(text)",
        "pg_switch_wal()",
    ),
    # https://www.postgresql.org/docs/15/app-pgrewind.html
    REWIND_ROLE: (
        "pg_ls_dir(text, boolean, boolean)",
        "pg_stat_file(text, boolean)",
        "pg_read_binary_file(text)",
        "pg_read_binary_file(text, bigint, bigint, boolean)",
    ),
}


def _literal(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


def _values(rows: Iterable[tuple[str | None, ...]]) -> str:
    return ",\n        ".join(f"({', '.join(map(_literal, row))})" for row in rows)


def _role(name: str, *, can_login: bool, secret: str | None = None) -> tuple[str | None, ...]:
    login = "LOGIN" if can_login else "NOLOGIN"
    # The attribute is not inherited from a role.
    replication = "REPLICATION" if name.startswith(f"{REPLICATION_ROLE}_") else "NOREPLICATION"
    return name, f"{login} {replication}", secret


def _roles(logins: Mapping[str, str]) -> list[tuple[str | None, ...]]:
    """Return name, attributes and SCRAM secret of every role."""
    return [
        *(_role(role, can_login=True) for role in LOCAL_ROLES),
        *(_role(role, can_login=False) for role in NETWORK_ROLES),
        *(
            _role(name, can_login=name in logins, secret=_secret(name, logins))
            for name, _ in _login_roles(NETWORK_ROLES)
        ),
    ]


def _secret(name: str, logins: Mapping[str, str]) -> str | None:
    return scram_secret(name, logins[name]) if name in logins else None


def _login_roles(roles: Iterable[str]) -> list[tuple[str, str]]:
    return [(login_role(role, generation), role) for role in roles for generation in GENERATIONS]


def render_accounts_sql(logins: Mapping[str, str]) -> str:
    """Return the SQL that creates and corrects all roles, for one connection of the superuser.

    Args:
        logins: password by accepted login role.
    """
    roles = _values(_roles(logins))
    names = ", ".join(_literal(name) for name, *_ in _roles(logins))
    memberships = _values(_MEMBERSHIPS)
    # A replication connection has no settings of its role.
    assumed = _values(_login_roles(role for role in NETWORK_ROLES if role != REPLICATION_ROLE))
    grants = "\n".join(
        f"GRANT EXECUTE ON FUNCTION {', '.join(functions)} TO {role};"
        for role, functions in _FUNCTIONS.items()
    )
    return f"""\
-- Not even SCRAM secrets need to be in a log: of a slow, waiting or failed statement, or as its context.
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET log_error_verbosity = 'terse';
SET client_min_messages = 'warning';
SET lock_timeout = '10s';
DO $accounts$
DECLARE
    entry record;
BEGIN
    FOR entry IN SELECT * FROM (VALUES
        {roles}) AS roles (name, attributes, secret)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = entry.name) THEN
            EXECUTE format('CREATE ROLE %I', entry.name);
        END IF;
        EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS INHERIT %s PASSWORD %L',
                       entry.name, entry.attributes, entry.secret);
    END LOOP;
    CREATE TEMPORARY TABLE declared (member text, role text) ON COMMIT DROP;
    INSERT INTO declared VALUES
        {memberships};
    FOR entry IN
        SELECT member.rolname::text AS member, role.rolname::text AS role FROM pg_auth_members AS m
        JOIN pg_roles AS member ON member.oid = m.member JOIN pg_roles AS role ON role.oid = m.roleid
        WHERE member.rolname IN ({names})
        EXCEPT SELECT member, role FROM declared
    LOOP
        EXECUTE format('REVOKE %I FROM %I', entry.role, entry.member);
    END LOOP;
    FOR entry IN SELECT * FROM declared LOOP
        EXECUTE format('GRANT %I TO %I', entry.role, entry.member);
    END LOOP;
    FOR entry IN SELECT * FROM (VALUES
        {assumed}) AS logins (name, role)
    LOOP
        EXECUTE format('ALTER ROLE %I SET role = %L', entry.name, entry.role);
        EXECUTE format('ALTER ROLE %I SET search_path = %I', entry.name, entry.role);
    END LOOP;
END
$accounts$;
{grants}
-- Sessions of roles that may not log in any more.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_roles ON pg_roles.oid = usesysid
WHERE NOT rolcanlogin AND rolname IN ({names});
"""  # noqa: S608 - names are constants, secrets are quoted


def render_database_sql(database: str) -> str:
    """Return the script for psql that creates the database, and the schemas in it.

    Args:
        database: name of the database.
    """
    services = ", ".join(SERVICES)
    schemas = "\n".join(f"CREATE SCHEMA IF NOT EXISTS {name} AUTHORIZATION {name};" for name in SERVICES)
    return f"""\
SET client_min_messages = 'warning';
SELECT 'CREATE DATABASE {database} OWNER {ADMIN_ROLE}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
-- COPY uses temporary tables.
GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {services};
GRANT CONNECT ON DATABASE {database} TO {VERIFIER_ROLE}, {PROBE_ROLE};
\\connect {database}
SET client_min_messages = 'warning';
{schemas}
CREATE SCHEMA IF NOT EXISTS {VERIFIER_SCHEMA};
CREATE TABLE IF NOT EXISTS {VERIFIER_SCHEMA}.heartbeats (
    at timestamptz PRIMARY KEY DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS {VERIFIER_SCHEMA}.watermarks (store text PRIMARY KEY, until timestamptz NOT NULL);
-- When this database was created, and when it was restored from a backup.
CREATE TABLE IF NOT EXISTS {VERIFIER_SCHEMA}.timelines (at timestamptz PRIMARY KEY DEFAULT now());
GRANT USAGE ON SCHEMA {VERIFIER_SCHEMA} TO {VERIFIER_ROLE};
GRANT SELECT, INSERT, DELETE ON {VERIFIER_SCHEMA}.heartbeats TO {VERIFIER_ROLE};
GRANT SELECT, INSERT, UPDATE ON {VERIFIER_SCHEMA}.watermarks TO {VERIFIER_ROLE};
CREATE SCHEMA IF NOT EXISTS {PROBE_SCHEMA};
CREATE TABLE IF NOT EXISTS {PROBE_SCHEMA}.writes (
    run text NOT NULL, sequence int NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (run, sequence));
GRANT USAGE ON SCHEMA {PROBE_SCHEMA} TO {PROBE_ROLE};
GRANT SELECT, INSERT, DELETE ON {PROBE_SCHEMA}.writes TO {PROBE_ROLE};
"""  # noqa: S608 - the names are constants


def render_accounts_script(accounts: str, database: str) -> str:
    """Return the script that applies both files; its argument is the superuser's connection string.

    Args:
        accounts: path of the SQL of the roles.
        database: path of the script for psql of the database.
    """
    return f"""#!/bin/sh
set -eu
exec psql -Xq -o /dev/null -v ON_ERROR_STOP=1 -v SHOW_CONTEXT=never -d "$1" -f {accounts} -f {database}
"""
