"""Migrations go forward: databases that have applied one never apply its later edits."""

from __future__ import annotations

import hashlib

from tests.unit.project.source_files import PROJECT

DIGESTS = PROJECT / "tests/unit/project/migrations.sha256"
"""As `sha256sum services/*/migrations/*.py` prints them; a new migration gets a line."""


def test_migrations_are_added_and_not_edited() -> None:
    files = sorted(PROJECT.glob("services/*/migrations/*.py"))
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(PROJECT)}" for file in files
    ]
    assert DIGESTS.read_text().splitlines() == lines, "write a new migration, and add its digest"
