"""Pod programs import only modules that exist in their pods."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPONENTS = Path(__file__).parents[3] / "infra" / "components"
CONTRACTS = Path(__file__).parents[3] / "services" / "contracts"
BACKUP_MODULES = {"psycopg2", "infra.components.backup.pod_programs", "infra.components.pod_programs"}
SPAN_MODULES = {"google.protobuf", "opentelemetry.proto"}
SHARED_CONTRACTS = {"services.contracts.backup_verification", "services.contracts.topics"}

ALLOWED = {
    "pod_programs": set[str](),
    "kafka/pod_programs": set[str](),
    "redis/pod_programs": set[str](),
    "object_store/pod_programs": set[str](),
    "postgres/pod_programs": {"patroni"},
    "backup/pod_programs": BACKUP_MODULES | SHARED_CONTRACTS,
    "observability/pod_programs": {"infra.components.observability.pod_programs", *SPAN_MODULES},
}
"""Allowed modules besides the standard library, by folder."""


def runtime_imports(file: Path) -> Iterator[str]:
    """Return the modules that a file imports, without those for type checking only."""
    module = ast.parse(file.read_text(encoding="utf-8"))
    for statement in module.body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield str(statement.module)


def external(file: Path, allowed: set[str]) -> list[str]:
    """Return the imported modules that are neither allowed nor in the standard library."""
    prefixes = tuple(f"{name}." for name in allowed)
    return [
        name
        for name in runtime_imports(file)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and name not in allowed
        and not name.startswith(prefixes)
    ]


@pytest.mark.parametrize("folder", ALLOWED)
def test_pod_programs_import_only_modules_of_their_pods(folder: str) -> None:
    files = sorted((COMPONENTS / folder).glob("*.py"))
    assert len(files) > 1
    assert {file.name: names for file in files if (names := external(file, ALLOWED[folder]))} == {}


@pytest.mark.parametrize("module", sorted(SHARED_CONTRACTS))
def test_contracts_in_pods_import_the_standard_library_only(module: str) -> None:
    assert external(CONTRACTS / f"{module.rpartition('.')[2]}.py", set()) == []


def test_every_folder_of_pod_programs_is_checked() -> None:
    folders = {
        path.relative_to(COMPONENTS).as_posix() for path in COMPONENTS.rglob("pod_programs") if path.is_dir()
    }
    assert folders == set(ALLOWED)
