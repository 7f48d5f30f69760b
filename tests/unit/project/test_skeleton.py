"""Every domain service has the same skeleton (docs/architecture.md)."""

from __future__ import annotations

import pytest

from tests.unit.project.source_files import PROJECT

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


@pytest.mark.parametrize("domain", DOMAINS)
def test_domain_has_the_required_modules(domain: str) -> None:
    assert sorted(REQUIRED - entries(domain)) == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_domain_has_no_other_modules(domain: str) -> None:
    assert sorted(entries(domain) - REQUIRED - OPTIONAL) == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_domain_has_one_migration(domain: str) -> None:
    migrations = {path.name for path in (PROJECT / "services" / domain / "migrations").glob("0*.py")}

    assert "0001_initial.py" in migrations


@pytest.mark.parametrize("domain", DOMAINS)
def test_routes_are_separate_from_schemas_and_sql(domain: str) -> None:
    api = PROJECT / "services" / domain / "api"
    routes = sorted(api.glob("routes*.py"))

    assert routes
    assert (api / "schemas.py").is_file()
    assert [path.name for path in routes if "load_queries" in path.read_text()] == []
