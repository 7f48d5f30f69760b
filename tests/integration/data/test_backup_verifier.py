"""Witness and drill on a real Postgres: what is recorded, and that a loss is noticed."""

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
from infra.config_files import postgres as render
from services.contracts.backup_verification import CHECKSUMMED_TABLES, INVARIANTS, checksum_query
from services.kit.ids import uuid7
from tests.controllers.postgres import BINARIES
from tests.unit.data.test_backup_records import FakeObjectStorage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration

ADMIN = "esq_test_admin"
LONG_AGO = "now() - interval '10 min'"


def initialise(database: TestDatabase, folder: Path) -> None:
    """Run the very script that Patroni runs on a first primary."""
    script = folder / "post_init.sh"
    script.write_text(render.render_post_init_script(database=database.name, admin_role=ADMIN))
    where = f"host=127.0.0.1 port={database.server.port} user=postgres dbname=postgres"
    words = {f"ESQ_{name}_PASSWORD": "of-a-test" for name in ("ADMIN", "BACKUP", "WITNESS")}
    subprocess.run(["sh", str(script), where], env={"PATH": f"{BINARIES}:/usr/bin:/bin", **words}, check=True)


@pytest.fixture
def watched(test_database: TestDatabase, tmp_path: Path) -> Iterator[Any]:
    initialise(test_database, tmp_path)
    role = {"user": render.VERIFIER_ROLE, "password": "of-a-test", "dbname": test_database.name}
    with closing(db.connect(host="127.0.0.1", port=test_database.server.port, **role)) as connection:
        yield connection


def fill(database: TestDatabase, contacts: int = 20) -> None:
    """A list, a campaign and its messages, all made ten minutes ago."""
    born = (
        "rpad(lpad(to_hex((extract(epoch FROM now() - interval '10 min') * 1000)::bigint), 12, '0'), 16, '0')"
    )
    campaign = uuid7()
    database.execute(
        f"""
INSERT INTO contacts.contacts (company, id, phone, created_at)
SELECT 'acme', gen_random_uuid(), '+55119' || (80000000 + n), {LONG_AGO} FROM generate_series(1, {contacts}) n;
INSERT INTO contacts.lists (company, id, name, member_count) VALUES ('acme', gen_random_uuid(), 'friends', {contacts});
INSERT INTO contacts.list_members SELECT 'acme', l.id, c.id FROM contacts.lists l, contacts.contacts c;
INSERT INTO campaigns.campaigns (company, id, idempotency_key, fingerprint, name, list_name, text, connection, created_at)
VALUES ('acme', '{campaign}', 'k', 'd', 'n', 'friends', 'Oi', 'main', {LONG_AGO});
INSERT INTO campaigns.messages (company, campaign_id, message_id, contact_id)
SELECT 'acme', '{campaign}', ({born} || lpad(to_hex(row_number() OVER ()), 16, '0'))::uuid, id FROM contacts.contacts;
INSERT INTO campaigns.campaign_state_counts VALUES ('acme', '{campaign}', 0, {contacts});
INSERT INTO whatsapp.messages (company, message_id, campaign_id, contact_id, connection, recipient, body, requested_at)
SELECT company, message_id, campaign_id, contact_id, 'main', '+5511', 'Oi', {LONG_AGO} FROM campaigns.messages;
INSERT INTO simulator.sends SELECT gen_random_uuid(), message_id::text, '1', 'w', {LONG_AGO} FROM whatsapp.messages
"""
    )


def recorded(shelf: FakeObjectStorage) -> dict[str, int]:
    """How many rows were recorded of each table."""
    counted: dict[str, int] = {}
    for tables in checksum_log.load(shelf).minutes.values():
        for table, (rows, _) in tables.items():
            counted[table] = counted.get(table, 0) + rows
    return counted


def judged(watched: Any, shelf: FakeObjectStorage) -> drill.RestoredCopy:
    """Judge the database as if it had been restored."""
    copy = drill.RestoredCopy("latest")
    db.write_heartbeat(watched)
    drill.verify(copy, watched, checksum_log.load(shelf), None)
    return copy


def test_every_table_is_recorded_and_found_again(test_database: TestDatabase, watched: Any) -> None:
    fill(test_database)
    shelf = FakeObjectStorage()
    verifier.record_checksums(watched, shelf)
    rows = recorded(shelf)
    assert rows == {
        table.label: 1 if table.name == "campaigns.campaigns" else 20 for table in CHECKSUMMED_TABLES
    }
    copy = judged(watched, shelf)
    assert copy.problems == []
    assert copy.rows_compared == 81


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (
            "DELETE FROM simulator.sends WHERE id = (SELECT min(id::text)::uuid FROM simulator.sends)",
            "19 rows",
        ),
        ("UPDATE whatsapp.messages SET body = 'Ola' WHERE recipient = '+5511'", "whatsapp.messages"),
        ("UPDATE campaigns.campaign_state_counts SET messages = 19", "counts per state"),
        (
            "DELETE FROM contacts.list_members WHERE contact_id = (SELECT min(id::text)::uuid FROM contacts.contacts)",
            "members",
        ),
        ("DELETE FROM campaigns.campaigns", "belongs to a campaign"),
    ],
)
def test_a_loss_is_noticed(test_database: TestDatabase, watched: Any, damage: str, fault: str) -> None:
    fill(test_database)
    shelf = FakeObjectStorage()
    verifier.record_checksums(watched, shelf)
    test_database.execute("SET session_replication_role = replica; " + damage)
    assert any(fault in each for each in judged(watched, shelf).problems)


def test_a_tampered_record_is_noticed(test_database: TestDatabase, watched: Any) -> None:
    fill(test_database)
    shelf = FakeObjectStorage()
    verifier.record_checksums(watched, shelf)
    found = checksum_log.load(shelf)
    minute = min(found.minutes)
    table, (rows, total) = next(iter(found.minutes[minute].items()))
    found.minutes[minute][table] = (rows, str(int(total) + 1))
    copy = drill.RestoredCopy("latest")
    db.write_heartbeat(watched)
    drill.verify(copy, watched, found, None)
    assert copy.problems


def test_an_open_transaction_holds_its_minute_back(test_database: TestDatabase, watched: Any) -> None:
    where = {"host": "127.0.0.1", "port": test_database.server.port, "dbname": test_database.name}
    with closing(psycopg2.connect(user="postgres", **where)) as writer:
        with writer.cursor() as cursor:
            cursor.execute("SELECT now()")
            began = cursor.fetchone()[0]
        assert db.checksum_watermark(watched) <= began
        held = db.checksum_watermark(watched)
        writer.rollback()
    assert held <= began
    ((now,),) = db.query(watched, "SELECT now()")
    assert dt.timedelta(seconds=59) < now - db.checksum_watermark(watched) < dt.timedelta(seconds=121)


def test_recording_goes_on_where_it_was(test_database: TestDatabase, watched: Any) -> None:
    shelf = FakeObjectStorage()
    verifier.record_checksums(watched, shelf)
    fill(test_database)
    db.query(watched, "UPDATE esq_backup.marks SET until = until - interval '1 hour'")
    verifier.record_checksums(watched, shelf)
    assert recorded(shelf)["contacts.contacts"] == 20
    writes = shelf.writes
    verifier.record_checksums(watched, shelf)
    assert shelf.writes == writes


def test_the_script_may_find_its_work_done(test_database: TestDatabase, watched: Any, tmp_path: Path) -> None:
    first = db.timeline_start(watched)
    initialise(test_database, tmp_path)
    assert db.timeline_start(watched) > first


def test_the_witness_may_read_and_not_write(test_database: TestDatabase, watched: Any) -> None:
    fill(test_database)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        db.query(watched, "DELETE FROM contacts.contacts")


def test_the_report_is_written_for_status(
    watched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "info", list)
    file, shelf = tmp_path / "report.json", FakeObjectStorage()
    db.write_heartbeat(watched)
    verifier.BackupVerifier({}, [shelf], file).check_once(watched)
    told = json.loads(file.read_text())
    assert told["troubles"] == []
    assert told["drill"] is None
    assert dt.datetime.fromisoformat(told["origin"]).tzinfo is not None


def test_every_truth_is_a_query_that_runs(watched: Any) -> None:
    for invariant in INVARIANTS:
        assert db.query(watched, invariant.violations_query) == []


def test_a_checksum_is_answered_by_an_index(watched: Any) -> None:
    """Once a minute over millions of rows: only the blocks of that minute may be read."""
    since = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)
    until = since + dt.timedelta(minutes=1)
    db.query(watched, "SET enable_seqscan = off")
    for table in CHECKSUMMED_TABLES:
        if table.name == "campaigns.campaigns":
            continue  # A few rows a day.
        plan = db.query(watched, f"EXPLAIN {checksum_query(table)}", {"since": since, "until": until})
        assert any("Bitmap Index Scan" in line or "Index Scan" in line for (line,) in plan), (
            table.name,
            plan,
        )
