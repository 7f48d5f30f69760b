"""Runs each statement as the services do: prepared, by the same driver, in a transaction that is rolled back.

Times come from `pg_stat_statements`, plans from `auto_explain`: the plan of a real execution, after as many
executions as Postgres needs to choose between a plan for these values and one for all values.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg

from cli.actions.audit.sql.plans import Plan, parse_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.actions.audit.sql.server import AuditServer
    from cli.actions.audit.sql.statements import Statement

EXECUTIONS = 7
"""Postgres plans the first five executions of a prepared statement for their values, and then compares."""
SLOW_SECONDS = 2.0
"""A statement that takes longer is not repeated: what it writes is rolled back, but its tables grow."""
STATEMENT_TIMEOUT_SECONDS = 300.0
CONNECT_TIMEOUT_SECONDS = 10.0
_EXPLAIN_SETTINGS = {
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
}
_STATISTICS = """
SELECT sum(calls)::int AS calls, min(min_exec_time) AS min_ms, max(max_exec_time) AS max_ms,
       (sum(rows) / sum(calls))::float8 AS rows, (sum(wal_bytes) / sum(calls))::bigint AS wal_bytes
FROM pg_stat_statements WHERE query LIKE $1
"""


@dataclass(frozen=True)
class Measured:
    """What the executions of a statement showed.

    Attributes:
        calls: executions.
        min_ms: shortest execution: the one that others disturbed least.
        max_ms: longest execution; the first one reads from disk.
        rows: rows returned or changed by an execution.
        wal_bytes: bytes of write-ahead log of an execution.
        plan: plan of the last execution; None for utility statements.
        first_plan: plan for these values; differs from `plan` if Postgres prefers one for all values.
        error: why it failed; empty if it did not.
    """

    calls: int = 0
    min_ms: float = 0.0
    max_ms: float = 0.0
    rows: float = 0.0
    wal_bytes: int = 0
    plan: Plan | None = None
    first_plan: Plan | None = None
    error: str = ""


def measure_all(
    server: AuditServer, statements: Sequence[Statement], report: Callable[[str], None]
) -> tuple[list[Measured], dict[str, int]]:
    """Measure all statements.

    Args:
        server: the server with the data set.
        statements: the statements.
        report: called with the id of each statement before it runs.

    Returns:
        The results in the same order, and the number of rows of each table.
    """

    async def run() -> tuple[list[Measured], dict[str, int]]:
        results = []
        for statement in statements:
            report(statement.id)
            results.append(await _measure(server, statement))
        return results, await _table_rows(server)

    return asyncio.run(run())


async def _measure(server: AuditServer, statement: Statement) -> Measured:
    pg_connection = await _connect(server, statement.schema)
    try:
        return await _Session(pg_connection, statement).measure()
    except asyncpg.PostgresError as error:
        return Measured(error=f"{type(error).__name__}: {error}")
    except TimeoutError:  # what a changed plan may need is a finding, not the end of the audit
        return Measured(error=f"no result within {STATEMENT_TIMEOUT_SECONDS:g} s")
    finally:
        await pg_connection.close(timeout=CONNECT_TIMEOUT_SECONDS)


async def _connect(server: AuditServer, schema: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        server.url("postgres").replace("+asyncpg", ""),
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=STATEMENT_TIMEOUT_SECONDS,
        server_settings={"search_path": f"{schema}, public", **_EXPLAIN_SETTINGS},
    )


@dataclass
class _Session:
    """The executions of one statement on a connection of its own."""

    pg_connection: asyncpg.Connection
    statement: Statement
    _plans: list[Plan] = field(default_factory=list)

    async def measure(self) -> Measured:
        """Execute the statement repeatedly, then with its plans."""
        self.pg_connection.add_log_listener(self._record_plan)
        for setup in self.statement.setup:
            await self.pg_connection.execute(setup)
        prepared = await self.pg_connection.prepare(self.statement.sql)
        values = await self._evaluate(prepared)
        await self.pg_connection.execute("SELECT pg_stat_statements_reset()")
        for _ in range(EXECUTIONS):
            seconds = await self._execute(prepared, values)
            if seconds > SLOW_SECONDS:
                break
        statistics = await self.pg_connection.fetchrow(_STATISTICS, f"/* {self.statement.name} */%")
        if self.statement.utility:
            return Measured(**dict(statistics))
        plan = await self._explain(prepared, values, "auto")
        first_plan = (
            await self._explain(prepared, values, "force_custom_plan") if seconds <= SLOW_SECONDS else plan
        )
        return Measured(**dict(statistics), plan=plan, first_plan=first_plan)

    async def _evaluate(self, prepared: Any) -> list[object]:  # noqa: ANN401 - asyncpg has no types
        """Return the values of the parameters, in the types that the statement expects."""
        parameters = zip(self.statement.expressions, prepared.get_parameters(), strict=True)
        casts = [f"CAST({expression} AS {kind.name})" for expression, kind in parameters]
        row = await self.pg_connection.fetchrow(f"SELECT {', '.join(casts)}") if casts else ()
        return list(row)

    async def _execute(self, prepared: Any, values: Sequence[object]) -> float:  # noqa: ANN401 - same
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        transaction = self.pg_connection.transaction()
        await transaction.start()
        try:
            await prepared.fetch(*values)
            return loop.time() - started_at
        finally:
            await transaction.rollback()

    async def _explain(self, prepared: Any, values: Sequence[object], mode: str) -> Plan:  # noqa: ANN401 - same
        self._plans.clear()
        await self.pg_connection.execute(
            f"SET plan_cache_mode = {mode}; SET auto_explain.log_min_duration = 0"
        )
        try:
            await self._execute(prepared, values)
        finally:
            await self.pg_connection.execute("SET auto_explain.log_min_duration = -1")
        return self._plans[-1]

    def _record_plan(self, _: object, message: Any) -> None:  # noqa: ANN401 - asyncpg has no types
        _, separator, document = message.message.partition("plan:\n")
        if separator and f"/* {self.statement.name} */" in document:
            self._plans.append(parse_plan(json.loads(document)))


async def _table_rows(server: AuditServer) -> dict[str, int]:
    """Return the rows of each table as `schema.table`."""
    pg_connection = await _connect(server, "public")
    try:
        rows = await pg_connection.fetch(
            "SELECT relnamespace::regnamespace || '.' || relname AS name, reltuples::bigint AS rows"
            " FROM pg_class WHERE relkind = 'r' AND reltuples >= 0"
        )
        return {row["name"]: row["rows"] for row in rows}
    finally:
        await pg_connection.close(timeout=CONNECT_TIMEOUT_SECONDS)
