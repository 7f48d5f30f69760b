"""Backup verifier and drill on a real Postgres: recorded checksums, and detection of losses."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from infra.components.backup.pod_programs import checksum_log, commands, drill, verifier
from infra.components.backup.pod_programs import database as db
from infra.config_files import postgres as postgres_config
from infra.names import VERIFIER_ROLE, login_role
from services.contracts.backup_verification import CHECKSUMMED_TABLES, INVARIANTS, checksum_query
from services.kit.ids import uuid7
from tests.integration.conftest import GENERATION, PASSWORD, apply_accounts
from tests.servers.postgres import BINARIES
from tests.unit.data.test_checksum_log import FakeObjectStorage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration

VERIFIER = login_role(VERIFIER_ROLE, GENERATION)
TEN_MINUTES_AGO = "now() - interval '10 min'"


def initialise(database: TestDatabase, folder: Path) -> None:
    """Run the scripts that Patroni runs on a first primary."""
    apply_accounts(database.server, database.name)
    script = folder / "post_init.sh"
    text = postgres_config.render_post_init_script(database=database.name)
    script.write_text(text.replace(postgres_config.ACCOUNTS_SCRIPT, "true"))
    dsn = f"host=127.0.0.1 port={database.server.port} user=postgres dbname=postgres"
    subprocess.run(["sh", str(script), dsn], env={"PATH": f"{BINARIES}:/usr/bin:/bin"}, check=True)


@pytest.fixture
def verified_database(test_database: TestDatabase, tmp_path: Path) -> Iterator[Any]:
    initialise(test_database, tmp_path)
    role = {"user": VERIFIER, "password": PASSWORD, "dbname": test_database.name}
    with closing(db.connect(host="127.0.0.1", port=test_database.server.port, **role)) as connection:
        yield connection


def fill(database: TestDatabase, contacts: int = 20) -> None:
    """Insert a list, a campaign and its messages, created ten minutes ago."""
    uuid_prefix = (
        "rpad(lpad(to_hex((extract(epoch FROM now() - interval '10 min') * 1000)::bigint), 12, '0'), 16, '0')"
    )
    campaign = uuid7()
    database.execute(
        f"""
INSERT INTO contacts.contacts (company, id, phone, created_at)
SELECT 'acme', gen_random_uuid(), '+55119' || (80000000 + n), {TEN_MINUTES_AGO} FROM generate_series(1, {contacts}) n;
INSERT INTO contacts.lists (company, id, name, member_count) VALUES ('acme', gen_random_uuid(), 'friends', {contacts});
INSERT INTO contacts.list_members SELECT 'acme', l.id, c.id FROM contacts.lists l, contacts.contacts c;
INSERT INTO campaigns.campaigns (company, id, idempotency_key, fingerprint, name, list_name, text, connection, created_at)
VALUES ('acme', '{campaign}', 'k', 'd', 'n', 'friends', 'Oi', 'main', {TEN_MINUTES_AGO});
INSERT INTO campaigns.messages (company, campaign_id, message_id, contact_id)
SELECT 'acme', '{campaign}', ({uuid_prefix} || lpad(to_hex(row_number() OVER ()), 16, '0'))::uuid, id FROM contacts.contacts;
INSERT INTO campaigns.campaign_state_counts VALUES ('acme', '{campaign}', 0, {contacts});
INSERT INTO whatsapp.messages (company, message_id, campaign_id, contact_id, connection, recipient, text, requested_at)
SELECT company, message_id, campaign_id, contact_id, 'main', '+5511', 'Oi', {TEN_MINUTES_AGO} FROM campaigns.messages;
INSERT INTO simulator.received_messages SELECT gen_random_uuid(), message_id::text, '1', 'w', {TEN_MINUTES_AGO} FROM whatsapp.messages
"""
    )


def recorded_rows(storage: FakeObjectStorage) -> dict[str, int]:
    """Return the number of recorded rows of each table."""
    counts: dict[str, int] = {}
    for tables in checksum_log.load(storage).minutes.values():
        for table, (rows, _) in tables.items():
            counts[table] = counts.get(table, 0) + rows
    return counts


def verify(verified_database: Any, storage: FakeObjectStorage) -> drill.RestoredCopy:
    """Verify the database as if it was restored."""
    copy = drill.RestoredCopy("latest")
    db.write_heartbeat(verified_database)
    drill.verify(copy, verified_database, checksum_log.load(storage), None)
    return copy


def test_every_table_is_recorded_and_verified(test_database: TestDatabase, verified_database: Any) -> None:
    fill(test_database)
    storage = FakeObjectStorage()
    verifier.record_checksums(verified_database, storage)
    rows = recorded_rows(storage)
    assert rows == {
        table.label: 1 if table.name == "campaigns.campaigns" else 20 for table in CHECKSUMMED_TABLES
    }
    copy = verify(verified_database, storage)
    assert copy.problems == []
    assert copy.rows_compared == 81


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            (
                "DELETE FROM simulator.received_messages"
                " WHERE id = (SELECT min(id::text)::uuid FROM simulator.received_messages)"
            ),
            "19 rows",
        ),
        ("UPDATE whatsapp.messages SET text = 'Ola' WHERE recipient = '+5511'", "whatsapp.messages"),
        ("UPDATE campaigns.campaign_state_counts SET messages = 19", "state counters"),
        (
            "DELETE FROM contacts.list_members WHERE contact_id = (SELECT min(id::text)::uuid FROM contacts.contacts)",
            "members",
        ),
        ("DELETE FROM campaigns.campaigns", "belongs to a campaign"),
    ],
)
def test_loss_is_detected(
    test_database: TestDatabase, verified_database: Any, damage: str, problem: str
) -> None:
    fill(test_database)
    storage = FakeObjectStorage()
    verifier.record_checksums(verified_database, storage)
    test_database.execute("SET session_replication_role = replica; " + damage)
    assert any(problem in message for message in verify(verified_database, storage).problems)


def test_changed_checksum_is_detected(test_database: TestDatabase, verified_database: Any) -> None:
    fill(test_database)
    storage = FakeObjectStorage()
    verifier.record_checksums(verified_database, storage)
    recorded = checksum_log.load(storage)
    minute = min(recorded.minutes)
    table, (rows, total) = next(iter(recorded.minutes[minute].items()))
    recorded.minutes[minute][table] = (rows, str(int(total) + 1))
    copy = drill.RestoredCopy("latest")
    db.write_heartbeat(verified_database)
    drill.verify(copy, verified_database, recorded, None)
    assert copy.problems


def test_open_transaction_delays_the_watermark(test_database: TestDatabase, verified_database: Any) -> None:
    connection_parameters = {
        "host": "127.0.0.1",
        "port": test_database.server.port,
        "dbname": test_database.name,
    }
    with closing(psycopg2.connect(user="postgres", **connection_parameters)) as writer:
        with writer.cursor() as cursor:
            cursor.execute("SELECT now()")
            started_at = cursor.fetchone()[0]
        assert db.checksum_watermark(verified_database) <= started_at
        watermark = db.checksum_watermark(verified_database)
        writer.rollback()
    assert watermark <= started_at
    ((now,),) = db.query(verified_database, "SELECT now()")
    assert (
        dt.timedelta(seconds=59) < now - db.checksum_watermark(verified_database) < dt.timedelta(seconds=121)
    )


def test_recording_continues_at_the_watermark(test_database: TestDatabase, verified_database: Any) -> None:
    storage = FakeObjectStorage()
    verifier.record_checksums(verified_database, storage)
    fill(test_database)
    db.query(verified_database, "UPDATE esq_backup.watermarks SET until = until - interval '1 hour'")
    verifier.record_checksums(verified_database, storage)
    assert recorded_rows(storage)["contacts.contacts"] == 20
    writes = storage.writes
    verifier.record_checksums(verified_database, storage)
    assert storage.writes == writes


def test_post_init_script_is_idempotent(
    test_database: TestDatabase, verified_database: Any, tmp_path: Path
) -> None:
    first = db.timeline_start(verified_database)
    initialise(test_database, tmp_path)
    assert db.timeline_start(verified_database) > first


def test_verifier_may_read_but_not_write(test_database: TestDatabase, verified_database: Any) -> None:
    fill(test_database)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        db.query(verified_database, "DELETE FROM contacts.contacts")


def test_report_is_written(verified_database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "pgbackrest_info", list)
    file, storage = tmp_path / "report.json", FakeObjectStorage()
    db.write_heartbeat(verified_database)
    verifier.BackupVerifier({}, [storage], file).check_once(verified_database)
    report = json.loads(file.read_text())
    assert report["problems"] == []
    assert report["drill"] is None
    assert dt.datetime.fromisoformat(report["timeline_start"]).tzinfo is not None


def test_every_invariant_query_runs(verified_database: Any) -> None:
    for invariant in INVARIANTS:
        assert db.query(verified_database, invariant.violations_query) == []


def test_checksum_query_uses_an_index(verified_database: Any) -> None:
    """It runs once a minute on millions of rows: only the blocks of that minute may be read."""
    since = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)
    until = since + dt.timedelta(minutes=1)
    db.query(verified_database, "SET enable_seqscan = off")
    for table in CHECKSUMMED_TABLES:
        if table.name == "campaigns.campaigns":
            continue  # A few rows a day.
        plan = db.query(
            verified_database, f"EXPLAIN {checksum_query(table)}", {"since": since, "until": until}
        )
        assert any("Bitmap Index Scan" in line or "Index Scan" in line for (line,) in plan), (
            table.name,
            plan,
        )
