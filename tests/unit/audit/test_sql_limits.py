"""Limits of the SQL audit, on plans as Postgres reports them."""

from __future__ import annotations

from dataclasses import replace

from cli.actions.audit.sql.limits import violations
from cli.actions.audit.sql.measurement import Measured
from cli.actions.audit.sql.plans import parse_plan
from cli.actions.audit.sql.statements import Statement

SCAN = {
    "Node Type": "Seq Scan",
    "Relation Name": "messages",
    "Actual Loops": 1,
    "Rows Removed by Filter": 90_000,
}
LOOKUP = {
    "Node Type": "Index Scan",
    "Relation Name": "messages",
    "Index Name": "messages_pkey",
    "Actual Loops": 3,
    "Rows Removed by Filter": 2,
    "Shared Hit Blocks": 10,
    "Shared Read Blocks": 5,
}
STATEMENT = Statement("campaigns", "one", "", "SELECT 1", (), max_milliseconds=5, max_blocks=20)
ROWS = {"campaigns.messages": 100_000, "whatsapp.messages": 5}


def reasons(statement: Statement, *plans: dict, committed: dict[str, list[str]] | None = None) -> list[str]:
    parsed = [parse_plan({"Plan": plan}) for plan in plans]
    measured = Measured(calls=7, min_ms=1.0, plan=parsed[0], first_plan=parsed[-1])
    return list(violations(statement, measured, ROWS, committed))


def test_plan_is_reduced_to_its_shape_and_figures() -> None:
    nested = {"Node Type": "Nested Loop", "Join Type": "Inner", "Actual Loops": 1, "Plans": [SCAN, LOOKUP]}

    plan = parse_plan({"Plan": nested})

    assert plan.shape == (
        "Inner Nested Loop",
        "  Seq Scan on messages",
        "  Index Scan on messages, messages_pkey",
    )
    assert plan.scanned_tables == ("messages",)
    assert plan.discarded_rows == 90_000 + 6


def test_scan_of_a_large_table_is_a_violation() -> None:
    assert reasons(STATEMENT, SCAN) == [
        "scans all 100000 rows of messages",
        "discards 90000 of the rows that it reads",
    ]


def test_scan_of_a_small_table_and_one_that_never_ran_are_none() -> None:
    assert reasons(replace(STATEMENT, service="whatsapp"), SCAN | {"Rows Removed by Filter": 4}) == []
    assert reasons(STATEMENT, SCAN | {"Actual Loops": 0}) == []


def test_scan_of_the_plan_for_the_values_counts_too() -> None:
    assert "scans all 100000 rows of messages" in reasons(STATEMENT, LOOKUP, SCAN)


def test_accepted_scan_is_no_violation() -> None:
    assert reasons(replace(STATEMENT, accepts="It counts all."), SCAN) == []


def test_hot_statement_has_limits_of_time_and_blocks() -> None:
    slow = Measured(calls=7, min_ms=6.0, plan=parse_plan({"Plan": LOOKUP | {"Shared Read Blocks": 11}}))

    assert list(violations(STATEMENT, slow, ROWS, None)) == [
        "takes 6.0 ms, limit 5 ms",
        "reads 21 blocks, limit 20",
    ]


def test_changed_plan_is_a_violation_of_hot_statements_only() -> None:
    committed = {"campaigns.one": ["Index Scan on messages, other"]}

    assert reasons(STATEMENT, LOOKUP, committed=committed) == [
        "has another plan than the committed one, Index Scan on messages, other"
    ]
    assert (
        reasons(STATEMENT, LOOKUP, committed={"campaigns.one": ["Index Scan on messages, messages_pkey"]})
        == []
    )
    assert reasons(STATEMENT, LOOKUP, committed={}) == [
        "has no committed plan: run the audit with --accept-plans and commit them"
    ]
    cold = replace(STATEMENT, max_milliseconds=None, max_blocks=None)
    assert reasons(cold, LOOKUP, committed=committed) == []


def test_failed_statement_is_a_violation() -> None:
    assert list(violations(STATEMENT, Measured(error="UndefinedTableError"), ROWS, None)) == [
        "failed: UndefinedTableError"
    ]
