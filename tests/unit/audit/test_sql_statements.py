"""Catalog of the SQL audit: every statement of the services has parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.actions.audit.sql.statements import load_statements, number_parameters, query_files
from infra.errors import ProblemsError
from services.contracts.named_queries import parse_queries
from tests.unit.project.source_files import PROJECT

_UTILITIES = {"SELECT 1", "SET LOCAL lock_timeout", "LOCK TABLE", "TRUNCATE", "SELECT pg_advisory_lock"}
"""Statements without a plan, and those that read no table."""


def write(folder: Path, sql: str, parameters: str) -> list[str]:
    (folder / "queries.sql").write_text(sql)
    (folder / "orders.yaml").write_text(parameters)
    return [
        statement.id for statement in load_statements({"orders": folder / "queries.sql"}, parameters=folder)
    ]


def test_every_statement_of_the_services_is_audited() -> None:
    statements = load_statements(query_files())

    named = {
        f"{service}.{name}"
        for service, file in query_files().items()
        for name in parse_queries(file.read_text(), str(file))
    }
    assert {f"{statement.service}.{statement.name}" for statement in statements} == named
    assert {"campaigns", "contacts", "kit", "simulator", "whatsapp"} == set(query_files())


def test_no_statement_is_hidden_in_code() -> None:
    literals = [
        match[1]
        for path in (PROJECT / "services").rglob("*.py")
        if path.parent.name not in {"migrations", "v1"}
        for match in re.finditer(
            r"(?:\btext|\.execute|\.fetch\w*)\(\s*f?\"([A-Z]{3,} [^\"]*)", path.read_text()
        )
    ]

    assert literals
    assert [text for text in literals if not text.startswith(tuple(_UTILITIES))] == []


def test_statement_without_entry_is_reported_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as error:
        write(tmp_path, "-- name: one\nSELECT 1\n", "defaults: {}\nstatements: {two: {}}\n")

    assert "the statement `one` has no entry" in error.value.detail
    assert "there is no statement `two`" in error.value.detail


def test_parameter_without_value_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError, match="do not fit") as error:
        write(tmp_path, "-- name: one\nSELECT :id\n", "defaults: {}\nstatements: {one: {}}\n")

    assert "the parameter `id` has no value" in error.value.detail


def test_each_case_is_a_statement(tmp_path: Path) -> None:
    parameters = "defaults: {id: 1}\nstatements: {one: {cases: {small: {}, large: {id: 2}}}}\n"

    ids = write(tmp_path, "-- name: one\nSELECT :id\n", parameters)

    assert ids == ["orders.one (large)", "orders.one (small)"]


def test_parameters_are_numbered_and_casts_are_kept() -> None:
    assert number_parameters("SELECT :a, :b, :a, '1'::int") == ("SELECT $1, $2, $1, '1'::int", ["a", "b"])
