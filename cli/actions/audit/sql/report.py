"""Report of an SQL audit: each statement with its figures, its plan and what exceeds the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from cli.actions.audit.sql.limits import violations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.actions.audit.sql.measurement import Measured
    from cli.actions.audit.sql.plans import Plan
    from cli.actions.audit.sql.statements import Statement


class StatementReport(BaseModel):
    """A statement with the parameters of one case.

    Attributes:
        id: service, name and case.
        hot: whether it is on the path of messages or requests.
        sql: the statement.
        calls: executions that were timed.
        min_ms: shortest execution in milliseconds.
        max_ms: longest execution in milliseconds.
        rows: rows returned or changed.
        wal_bytes: bytes of write-ahead log.
        blocks: blocks of 8 KiB read from memory or disk.
        discarded_rows: rows read and then removed by a condition.
        scanned_tables: tables read from beginning to end.
        temporary_blocks: blocks written to temporary files.
        plan: a line for each node of the plan.
        plan_for_values: the plan for these values, where Postgres prefers one for all values; else empty.
        accepts: reason for which a large scan is accepted.
        violations: what exceeds the limits.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    hot: bool
    sql: str
    calls: int
    min_ms: float
    max_ms: float
    rows: float
    wal_bytes: int
    blocks: int = 0
    discarded_rows: int = 0
    scanned_tables: tuple[str, ...] = ()
    temporary_blocks: int = 0
    plan: tuple[str, ...] = ()
    plan_for_values: tuple[str, ...] = ()
    accepts: str = ""
    violations: tuple[str, ...] = ()


class SqlReport(BaseModel):
    """Report of an SQL audit.

    Attributes:
        started_at: start of the audit (ISO 8601, UTC).
        rows: messages in the data set.
        has_committed_plans: whether there are committed plans for this number of rows to compare with.
        statements: all statements, those with violations first, then by duration.
        command: command line.
        commit: commit of the code.
        versions: versions of the software.
        host: facts of the machine.
    """

    model_config = ConfigDict(frozen=True)

    started_at: str
    rows: int
    has_committed_plans: bool
    statements: tuple[StatementReport, ...]
    command: str
    commit: str
    versions: dict[str, str]
    host: dict[str, str | float]

    @property
    def violations(self) -> list[str]:
        """All violations, each with its statement."""
        return [f"{statement.id}: {text}" for statement in self.statements for text in statement.violations]

    @property
    def plans(self) -> dict[str, list[str]]:
        """The plan of each statement that has one."""
        return {
            item.id: list(item.plan)
            for item in sorted(self.statements, key=lambda item: item.id)
            if item.plan
        }


def report_statement(
    statement: Statement,
    measured: Measured,
    table_rows: Mapping[str, int],
    committed_plans: Mapping[str, list[str]] | None,
) -> StatementReport:
    """Return the report of a statement.

    Args:
        statement: the statement.
        measured: its figures.
        table_rows: rows of each table, as `schema.table`.
        committed_plans: plan by id of the statement; None if there are none for this size.
    """
    report = StatementReport(
        id=statement.id,
        hot=statement.max_milliseconds is not None,
        sql=statement.sql,
        calls=measured.calls,
        min_ms=measured.min_ms,
        max_ms=measured.max_ms,
        rows=measured.rows,
        wal_bytes=measured.wal_bytes,
        accepts=statement.accepts,
        violations=tuple(violations(statement, measured, table_rows, committed_plans)),
    )
    return (
        report if measured.plan is None else report.model_copy(update=_plan_figures(measured.plan, measured))
    )


def _plan_figures(plan: Plan, measured: Measured) -> dict[str, object]:
    first_plan = measured.first_plan
    return {
        "blocks": plan.blocks,
        "discarded_rows": plan.discarded_rows,
        "scanned_tables": plan.scanned_tables,
        "temporary_blocks": plan.temporary_blocks,
        "plan": plan.shape,
        "plan_for_values": first_plan.shape if first_plan and first_plan.shape != plan.shape else (),
    }
