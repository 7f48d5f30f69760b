"""The SQL audit on a real Postgres with a small data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.actions.audit.sql.data_set import open_data_set
from cli.actions.audit.sql.limits import violations
from cli.actions.audit.sql.measurement import measure_all
from cli.actions.audit.sql.statements import Statement, load_statements, query_files
from infra.errors import EsqError
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.contract
ROWS = 12_000
"""More than a table may have that is scanned."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


def steps(progress: RecordingProgress) -> list[str]:
    return [step.name for step in progress.steps]


def test_every_statement_runs_on_the_data_set(cache: Path) -> None:
    statements, progress = load_statements(query_files()), RecordingProgress()

    with open_data_set(cache, ROWS, progress) as server:
        results, table_rows = measure_all(server, statements, lambda _: None)

    assert "generate the data set" in steps(progress)
    assert {s.id: m.error for s, m in zip(statements, results, strict=True) if m.error} == {}
    assert [s.id for s, m in zip(statements, results, strict=True) if not s.utility and not m.plan] == []
    assert [s.id for s, m in zip(statements, results, strict=True) if m.calls == 0] == []
    assert table_rows["campaigns.messages"] == pytest.approx(ROWS, rel=0.01)


def test_data_set_is_generated_once_and_scans_are_reported(cache: Path) -> None:
    progress = RecordingProgress()
    query = "SELECT count(*) FROM messages WHERE state = $1"
    scan = Statement("campaigns", "scan", "", f"/* scan */ {query}", ("10",), max_milliseconds=1e6)
    invalid = Statement("campaigns", "invalid", "", "/* invalid */ SELECT missing FROM messages", ())

    with open_data_set(cache, ROWS, progress) as server:
        (measured, failed), table_rows = measure_all(server, [scan, invalid], lambda _: None)

    assert steps(progress) == ["data set"]
    assert measured.plan is not None
    assert measured.plan.blocks > 0
    assert list(violations(scan, measured, table_rows, {scan.id: list(measured.plan.shape)})) == [
        f"scans all {table_rows['campaigns.messages']} rows of messages"
    ]
    assert "UndefinedColumnError" in failed.error


def test_statement_without_a_result_in_time_fails_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.actions.audit.sql.measurement.STATEMENT_TIMEOUT_SECONDS", 1.0)
    endless = Statement("campaigns", "endless", "", "/* endless */ SELECT pg_sleep($1)", ("60",))

    with open_data_set(cache, ROWS, RecordingProgress()) as server:
        (failed,), _ = measure_all(server, [endless], lambda _: None)

    assert failed.error == "no result within 1 s"


def test_second_audit_of_the_same_data_is_refused(cache: Path) -> None:
    with (
        open_data_set(cache, ROWS, RecordingProgress()),
        pytest.raises(EsqError, match="another audit uses"),
        open_data_set(cache, ROWS, RecordingProgress()),
    ):
        pass
