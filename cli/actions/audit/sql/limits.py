"""Limits of the SQL audit. Pure.

Every statement: no sequential scan of a large table, few discarded rows. A hot statement also has limits of
time and blocks, and a committed plan, so that a change of its plan is a decision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.actions.audit.sql.measurement import Measured
    from cli.actions.audit.sql.plans import Plan
    from cli.actions.audit.sql.statements import Statement

MAX_SCANNED_ROWS = 10_000
"""A table of this size may be read from beginning to end: it takes about a millisecond."""
MAX_DISCARDED_ROWS = 50_000
"""Rows that a statement may read in vain."""


def violations(
    statement: Statement,
    measured: Measured,
    table_rows: Mapping[str, int],
    committed_plans: Mapping[str, list[str]] | None,
) -> Iterator[str]:
    """Yield what exceeds the limits, as a sentence each.

    Args:
        statement: the statement.
        measured: its figures.
        table_rows: rows of each table, as `schema.table`.
        committed_plans: plan by id of the statement; None if there are none to compare with.
    """
    if measured.error:
        yield f"failed: {measured.error}"
        return
    if measured.plan is None:
        return
    for plan in {measured.plan, measured.first_plan or measured.plan} if not statement.accepts else ():
        yield from _wasted_work(plan, statement.schema, table_rows)
    if statement.max_milliseconds is not None and measured.min_ms > statement.max_milliseconds:
        yield f"takes {measured.min_ms:.1f} ms, limit {statement.max_milliseconds:g} ms"
    if statement.max_blocks is not None and measured.plan.blocks > statement.max_blocks:
        yield f"reads {measured.plan.blocks} blocks, limit {statement.max_blocks}"
    if statement.max_milliseconds is not None and committed_plans is not None:
        yield from _changed_plan(statement, measured.plan, committed_plans)


def _wasted_work(plan: Plan, schema: str, table_rows: Mapping[str, int]) -> Iterator[str]:
    for table in plan.scanned_tables:
        rows = table_rows.get(f"{schema}.{table}", 0)
        if rows > MAX_SCANNED_ROWS:
            yield f"scans all {rows} rows of {table}"
    if plan.discarded_rows > MAX_DISCARDED_ROWS:
        yield f"discards {plan.discarded_rows} of the rows that it reads"


def _changed_plan(
    statement: Statement, plan: Plan, committed_plans: Mapping[str, list[str]]
) -> Iterator[str]:
    committed = committed_plans.get(statement.id)
    if committed is None:
        yield "has no committed plan: run the audit with --accept-plans and commit them"
    elif list(plan.shape) != committed:
        yield f"has another plan than the committed one, {' / '.join(line.strip() for line in committed)}"
