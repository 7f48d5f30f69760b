"""Every domain service has the same skeleton (docs/architecture.md)."""

from __future__ import annotations

import ast

import pytest

from tests.unit.project.source_files import PROJECT, modules

SHARED = {"contracts", "kit"}
"""Folders of `services/` that are no domain."""
REQUIRED = {
    "__init__.py",
    "__main__.py",
    "adapters",
    "api",
    "bootstrap.py",
    "commands.py",
    "domain",
    "fakes.py",
    "handlers.py",
    "migrations",
    "ports.py",
    "settings.py",
}
OPTIONAL = {"consumers", "events.py", "jobs"}
DOMAINS = sorted(
    folder.name
    for folder in (PROJECT / "services").iterdir()
    if folder.is_dir() and folder.name not in SHARED and not folder.name.startswith("__")
)


def entries(domain: str) -> set[str]:
    """Return what stands in a domain's folder, with `domain.py` and `domain/` as one."""
    names = {path.name for path in (PROJECT / "services" / domain).iterdir()} - {"__pycache__"}
    return {"domain" if name == "domain.py" else name for name in names}


def imported_names(module: ast.Module) -> set[str]:
    """Return the full names of all imports, also of those for type checking only."""
    names = set()
    for node in ast.walk(module):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def used_names(module: ast.Module) -> set[str]:
    """Return the imported names and all names and attributes in expressions."""
    nodes = list(ast.walk(module))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return names | attributes | imported_names(module)


@pytest.mark.parametrize("domain", DOMAINS)
def test_domain_has_the_required_modules(domain: str) -> None:
    assert sorted(REQUIRED - entries(domain)) == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_domain_has_no_other_modules(domain: str) -> None:
    assert sorted(entries(domain) - REQUIRED - OPTIONAL) == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_domain_has_an_initial_migration(domain: str) -> None:
    assert (PROJECT / "services" / domain / "migrations" / "0001_initial.py").is_file()


@pytest.mark.parametrize("domain", DOMAINS)
def test_routes_are_separate_from_schemas(domain: str) -> None:
    api = PROJECT / "services" / domain / "api"

    assert sorted(api.glob("routes*.py"))
    assert (api / "schemas.py").is_file()


@pytest.mark.parametrize("domain", DOMAINS)
def test_api_uses_no_sql(domain: str) -> None:
    forbidden = ("sqlalchemy", "services.kit.postgres", f"services.{domain}.adapters")
    violations = [
        f"{path}: {name}"
        for path, module in modules().items()
        if path.startswith(f"services/{domain}/api/")
        for name in imported_names(module)
        if any(f"{name}.".startswith(f"{package}.") for package in forbidden)
    ]
    assert violations == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_adapters_define_no_routes(domain: str) -> None:
    violations = [
        path
        for path, module in modules().items()
        if path.startswith(f"services/{domain}/adapters/")
        if any(name.rpartition(".")[2] == "APIRouter" for name in used_names(module))
    ]
    assert violations == []


def test_checks_recognise_imports_and_routers() -> None:
    module = ast.parse(
        "from services.x import adapters\nimport sqlalchemy.orm\nrouter = fastapi.APIRouter()\n"
    )

    assert imported_names(module) == {"services.x.adapters", "sqlalchemy.orm"}
    assert "APIRouter" in used_names(module)
