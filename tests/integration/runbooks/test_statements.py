"""Every SQL statement of a runbook runs on the schema of the services."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from runbooks import references
from runbooks.page import RUNBOOKS_DIR

PAGES = sorted(RUNBOOKS_DIR.rglob("*.md"))
_STATEMENT = re.compile(r'psql .*-c "([^"]+)"')


def statements(page: Path) -> list[str]:
    commands = references.commands(re.sub(r"\{\{ kubectl \}\}", "kubectl", page.read_text()))
    return [match[1] for line in commands if (match := _STATEMENT.search(line))]


def test_statements_of_runbooks_run_on_the_schema_of_the_services(test_database: Any) -> None:
    checked = {(page.stem, statement) for page in PAGES for statement in statements(page)}
    assert len(checked) > 20
    failures = []
    for name, statement in sorted(checked):
        try:
            test_database.execute(f"BEGIN; {statement}; ROLLBACK")
        except Exception as error:  # noqa: BLE001 - all failures are reported together
            failures.append(f"{name}: {statement}: {error}")
    assert failures == []


def test_statement_with_an_unknown_column_fails(test_database: Any) -> None:
    with pytest.raises(Exception, match="no_such_column"):
        test_database.execute("BEGIN; SELECT no_such_column FROM whatsapp.messages; ROLLBACK")
