"""The declared accounts on a real Postgres: what they may not do, and two generations of passwords."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from infra.config_files import postgres as postgres_config
from infra.config_files.postgres_accounts import LOCAL_ROLES, NETWORK_ROLES, PROBE_SCHEMA
from infra.credentials import Credentials, complete_credentials
from infra.names import ADMIN_ROLE, PROBE_ROLE, REWIND_ROLE, SERVICES, VERIFIER_ROLE
from tests.integration.conftest import apply_accounts
from tests.servers.postgres import Postgres
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

DATABASE = "esq"
OLD = complete_credentials()
NEW = complete_credentials().model_copy(update={"generation": "b"})
PREDEFINED = ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files")


@pytest.fixture(scope="module")
def started_server() -> Iterator[Postgres]:
    """A server with the rendered rules of who may log in, except that it has no TLS."""
    started = Postgres()
    try:
        started.start()
        apply(started, OLD)
        hba = [rule.replace("hostssl", "host") for rule in postgres_config._HBA]
        local_superuser = "host all postgres 127.0.0.1/32 trust"
        rules = [local_superuser, *(rule for rule in hba if "hostnossl" not in rule)]
        (started.folder / "data" / "pg_hba.conf").write_text("\n".join(rules) + "\n")
        identities = [line.replace(" postgres ", " root ", 1) for line in postgres_config._IDENT]
        (started.folder / "data" / "pg_ident.conf").write_text("\n".join(identities) + "\n")
        started.execute("SELECT pg_reload_conf()")
        wait_until("the rules", lambda: not may_log_in(started, OLD, "campaigns", password="wrong"), 10)
        yield started
    finally:
        started.stop()


@pytest.fixture
def server(started_server: Postgres) -> Iterator[Postgres]:
    """The server with the accounts of the first generation, without tables of another test."""
    apply(started_server, OLD)
    yield started_server
    tables = ", ".join(f"{service}.things" for service in SERVICES)
    started_server.execute(f"DROP TABLE IF EXISTS {tables}", DATABASE)


def apply(server: Postgres, credentials: Credentials) -> None:
    apply_accounts(server, DATABASE, credentials.postgres_logins)


def connect(
    server: Postgres, user: str, password: str = "", *, host: str = "127.0.0.1", database: str = DATABASE
) -> Any:
    parameters: dict[str, Any] = {"user": user, "password": password, "dbname": database}
    connection = psycopg2.connect(host=host, port=server.port, connect_timeout=5, **parameters)
    connection.autocommit = True
    return connection


def query(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def log_in(server: Postgres, credentials: Credentials, role: str) -> Any:
    password = credentials.postgres.by_role[role]
    return connect(server, f"{role}_{credentials.generation}", password)


def may_log_in(server: Postgres, credentials: Credentials, role: str, *, password: str = "") -> bool:
    password = password or credentials.postgres.by_role[role]
    try:
        connect(server, f"{role}_{credentials.generation}", password, database="postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def test_administrator_cannot_reach_the_host(server: Postgres) -> None:
    with closing(connect(server, ADMIN_ROLE, host=str(server.folder))) as admin:
        for role in (*PREDEFINED, "postgres"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                query(admin, f"GRANT {role} TO {ADMIN_ROLE}")
        for statement in (
            f"ALTER ROLE {ADMIN_ROLE} SUPERUSER",
            f"ALTER ROLE {ADMIN_ROLE} CREATEROLE",
            "CREATE ROLE another SUPERUSER",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "SELECT pg_read_file('/etc/passwd')",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                query(admin, statement)
        assert query(admin, "SELECT current_user") == [(ADMIN_ROLE,)]
        assert query(admin, "CREATE TABLE contacts.repaired (x int); DROP TABLE contacts.repaired") == []


@pytest.mark.parametrize("role", LOCAL_ROLES)
def test_local_roles_do_not_log_in_over_the_network(server: Postgres, role: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match="rejects connection"):
        connect(server, role, "any")


def test_services_use_only_their_own_schema(server: Postgres) -> None:
    for service in SERVICES:
        with closing(log_in(server, OLD, service)) as connection:
            assert query(connection, "SELECT current_user, session_user") == [(service, f"{service}_a")]
            query(connection, "CREATE TABLE things (x int)")
            query(connection, "RESET ROLE")
            assert query(connection, "SELECT current_user") == [(service,)]
    for service in SERVICES:
        with closing(log_in(server, OLD, service)) as connection:
            for other in {*SERVICES} - {service}:
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    query(connection, f"SELECT * FROM {other}.things")
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    query(connection, f"SET ROLE {other}")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                query(connection, f"SELECT * FROM {PROBE_SCHEMA}.writes")


def test_probe_uses_its_table_and_nothing_else(server: Postgres) -> None:
    with closing(log_in(server, OLD, "contacts")) as connection:
        query(connection, "CREATE TABLE things (x int)")
    with closing(log_in(server, OLD, PROBE_ROLE)) as connection:
        query(connection, f"INSERT INTO {PROBE_SCHEMA}.writes (run, sequence) VALUES ('r', 1)")
        assert query(connection, f"SELECT sequence FROM {PROBE_SCHEMA}.writes") == [(1,)]
        query(connection, f"DELETE FROM {PROBE_SCHEMA}.writes")
        for statement in (
            "SELECT * FROM contacts.things",
            "CREATE SCHEMA another",
            f"CREATE TABLE {PROBE_SCHEMA}.another (x int)",
            f"DROP TABLE {PROBE_SCHEMA}.writes",
            "CREATE ROLE another",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                query(connection, statement)


def test_rotation_accepts_both_generations_until_the_old_one_ends(server: Postgres) -> None:
    rotated = NEW.model_copy(update={"alternate": OLD})
    for accepted in (OLD.model_copy(update={"alternate": NEW}), rotated):
        apply(server, accepted)
        for role in NETWORK_ROLES:
            # Replication connections have other rules.
            if role != "replicator":
                assert may_log_in(server, OLD, role), role
                assert may_log_in(server, NEW, role), role
    with closing(log_in(server, OLD, "campaigns")) as old, closing(log_in(server, NEW, "campaigns")) as new:
        query(old, "CREATE TABLE things (x int)")
        query(new, "INSERT INTO things VALUES (1); ALTER TABLE things ADD y int")
        apply(server, NEW)
        with pytest.raises(psycopg2.OperationalError):
            query(old, "SELECT 1")
        assert query(new, "SELECT x FROM campaigns.things") == [(1,)]
    assert not may_log_in(server, OLD, "campaigns")
    assert not may_log_in(server, OLD, VERIFIER_ROLE)
    apply(server, OLD)
    assert may_log_in(server, OLD, "campaigns"), "the first generation is used again after the second"


def test_rewind_reads_files_and_nothing_else(server: Postgres) -> None:
    """The functions that pg_rewind calls (https://www.postgresql.org/docs/15/app-pgrewind.html)."""
    password = OLD.postgres.by_role[REWIND_ROLE]
    with closing(connect(server, f"{REWIND_ROLE}_a", password, database="postgres")) as connection:
        query(connection, "SELECT pg_ls_dir('.', true, false), pg_stat_file('PG_VERSION', true)")
        query(connection, "SELECT pg_read_binary_file('PG_VERSION', 0, 1, true)")
        for statement in (
            "SELECT pg_read_file('PG_VERSION')",
            "SELECT * FROM pg_authid",
            "CREATE ROLE another",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                query(connection, statement)
    with pytest.raises(psycopg2.OperationalError, match="CONNECT"):
        connect(server, f"{REWIND_ROLE}_a", password)


def test_replication_accepts_its_own_roles_only(server: Postgres) -> None:
    for role, refused in (("replicator", False), ("contacts", True)):
        dsn = {"user": f"{role}_a", "password": OLD.postgres.by_role[role], "replication": "true"}
        try:
            psycopg2.connect(host="127.0.0.1", port=server.port, dbname="", **dsn).close()
            assert not refused
        except psycopg2.OperationalError:
            assert refused, role


def test_accounts_of_a_restored_backup_are_corrected(server: Postgres) -> None:
    """Roles that log in themselves, and rights that somebody granted."""
    server.execute("ALTER ROLE campaigns LOGIN PASSWORD 'old'; ALTER ROLE campaigns_a PASSWORD 'old'")
    server.execute(f"ALTER ROLE {ADMIN_ROLE} CREATEROLE; GRANT {', '.join(PREDEFINED)} TO {ADMIN_ROLE}")
    server.execute("GRANT contacts TO campaigns_a")
    with closing(connect(server, "campaigns", "old")) as session:
        apply(server, OLD)
        with pytest.raises(psycopg2.OperationalError):
            query(session, "SELECT 1")
    assert may_log_in(server, OLD, "campaigns")
    memberships = server.execute(
        "SELECT roleid::regrole FROM pg_auth_members"
        f" WHERE member IN ('{ADMIN_ROLE}'::regrole, 'campaigns_a'::regrole) ORDER BY 1"
    )
    assert {*memberships.split()} == {*SERVICES}
    attributes = f"SELECT rolcreaterole FROM pg_roles WHERE rolname = '{ADMIN_ROLE}'"
    assert server.execute(attributes) == "f"


def test_passwords_are_not_logged(server: Postgres) -> None:
    server.execute("ALTER SYSTEM SET log_min_duration_statement = 0")
    server.execute("SELECT pg_reload_conf()")
    apply(server, OLD)
    assert not secrets_in((server.folder / "log").read_text())


def test_passwords_are_not_shown_while_and_after_their_statement_waits(
    server: Postgres, capfd: pytest.CaptureFixture[str]
) -> None:
    """A failed statement inside a block is logged as its context, and psql shows it."""
    server.execute("ALTER SYSTEM SET log_lock_waits = on")
    server.execute("ALTER SYSTEM SET deadlock_timeout = '10ms'")
    server.execute("SELECT pg_reload_conf()")
    with closing(connect(server, "postgres")) as holder, ThreadPoolExecutor() as pool:
        query(holder, "BEGIN; ALTER ROLE campaigns_a CONNECTION LIMIT 9")
        applied = pool.submit(apply, server, OLD)
        waiting = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'psql'"
        wait_until("the wait", lambda: "still waiting" in (server.folder / "log").read_text(), 20)
        shown = server.execute(f"SELECT query {waiting}")
        server.execute(f"SELECT pg_cancel_backend(pid) {waiting}")
        assert isinstance(applied.exception(timeout=20), subprocess.CalledProcessError)
        query(holder, "ROLLBACK")
    errors = capfd.readouterr().err
    assert "canceling statement" in errors
    log = (server.folder / "log").read_text()
    assert "canceling statement" in log
    assert not secrets_in(log + errors)
    assert not [password for password in OLD.postgres_logins.values() if password in shown]


def secrets_in(text: str) -> list[str]:
    return [password for password in (*OLD.postgres_logins.values(), "SCRAM-SHA-256$") if password in text]
