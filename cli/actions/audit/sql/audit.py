"""`esq audit sql`: runs every statement on the data set and writes the report."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

from cli.actions.audit.report_stores import report_store
from cli.actions.audit.sql.data_set import open_data_set
from cli.actions.audit.sql.measurement import measure_all
from cli.actions.audit.sql.report import SqlReport, report_statement
from cli.actions.audit.sql.statements import load_statements, query_files
from cli.actions.deployment_target import cache_dir
from infra.config_files.postgres import MAJOR_VERSION
from infra.measurements.html import render_page
from infra.measurements.measurements import current_commit, host_facts, package_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.actions.audit.sql.measurement import Measured
    from cli.actions.audit.sql.statements import Statement
    from infra.progress import ProgressReporter

_TEMPLATE = Path(__file__).parents[3] / "html" / "audit_sql.html.j2"
_PLANS = Path(__file__).with_name("plans")


def audit_sql(rows: int, command: str, progress: ProgressReporter) -> tuple[SqlReport, Path]:
    """Audit all statements of the services.

    Args:
        rows: messages in the data set.
        command: command line.
        progress: reports the steps.

    Returns:
        The report and the path of its HTML page.

    Raises:
        EsqError: Postgres is missing or does not start, or the data set cannot be generated.
        ProblemsError: a statement has no parameters.
    """
    started_at, statements = dt.datetime.now(dt.UTC), load_statements(query_files())
    cache = cache_dir() / "audit"
    with open_data_set(cache, rows, progress) as server, progress.step("statements") as step:
        results, table_rows = measure_all(server, statements, step.set_status)
        step.set_result(f"{len(statements)} measured")
    report = _create_report(started_at, rows, statements, results, table_rows, command)
    store = report_store("sql", SqlReport)
    page = store.write(store.create("sql", started_at), report, render_html(report))
    return report, page


def _create_report(  # noqa: PLR0913, PLR0917 - all of it is in the report
    started_at: dt.datetime,
    rows: int,
    statements: Sequence[Statement],
    results: Sequence[Measured],
    table_rows: dict[str, int],
    command: str,
) -> SqlReport:
    committed = committed_plans(rows)
    reports = [
        report_statement(statement, measured, table_rows, committed)
        for statement, measured in zip(statements, results, strict=True)
    ]
    return SqlReport(
        started_at=started_at.isoformat(timespec="seconds"),
        rows=rows,
        has_committed_plans=committed is not None,
        statements=tuple(sorted(reports, key=lambda item: (not item.violations, -item.min_ms))),
        command=command,
        commit=current_commit(),
        versions={**package_versions(("asyncpg",)), "postgres": str(MAJOR_VERSION)},
        host=host_facts(),
    )


def committed_plans(rows: int) -> dict[str, list[str]] | None:
    """Return the committed plans for a number of messages; None if there are none."""
    file = _plans_file(rows)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def accept_plans(report: SqlReport) -> Path:
    """Write the plans of a report to the file that later audits compare with; return its path."""
    file = _plans_file(report.rows)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(report.plans, indent=1) + "\n", encoding="utf-8")
    return file


def _plans_file(rows: int) -> Path:
    return _PLANS / f"{MAJOR_VERSION}-{rows}.json"


def render_html(report: SqlReport) -> str:
    """Return the HTML page of a report."""
    return render_page(_TEMPLATE, report=report, violations=report.violations)
