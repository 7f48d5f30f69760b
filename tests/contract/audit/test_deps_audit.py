"""The dependency audit with deptry and the CycloneDX library."""

from __future__ import annotations

from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from cli.actions.audit.deps.imports import ImportFinding, check_imports
from cli.actions.audit.deps.inventory import GO, MAVEN, PYPI, Component, Part
from cli.actions.audit.deps.sbom import render_sbom
from cli.actions.audit.extras import require_module, require_program
from infra.errors import UsageError

pytestmark = pytest.mark.contract


def test_sbom_follows_the_schema() -> None:
    components = (
        Component(PYPI, "flask", "2.0.1", ("a" * 64,)),
        Component(GO, "github.com/a/b", "v1.0.0"),
        Component(MAVEN, "org.a:lib", "1.0"),
    )

    sbom = render_sbom(Part("image services", components), {components[0]: "MIT", components[1]: None})

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom) is None
    for url in ("pkg:pypi/flask@2.0.1", "pkg:golang/github.com/a/b@v1.0.0", "pkg:maven/org.a/lib@1.0"):
        assert url in sbom


def test_unused_and_undeclared_dependencies_are_found(tmp_path: Path) -> None:
    for package in ("cli", "stacks", "chaos", "loadtests", "runbooks", "infra", "services"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "cli/main.py").write_text("import httpx\nimport yaml\nfrom infra import names\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "0"\ndependencies = ["httpx", "rich"]\n'
        "[project.optional-dependencies]\naudit = []\naws = []\n"
        '[dependency-groups]\npatroni = []\nservices = ["aiohttp"]\n'
    )

    assert check_imports(tmp_path) == [
        ImportFinding("toolkit", "unused", "rich"),
        ImportFinding("toolkit", "not declared", "yaml", "cli/main.py:2"),
        ImportFinding("services", "unused", "aiohttp"),
    ]


def test_missing_extra_names_the_command_that_installs_it() -> None:
    for require in (require_module, require_program):
        with pytest.raises(UsageError, match="extra `audit`") as error:
            require("esq_missing_tool")
        assert "pip install 'esq[audit]'" in error.value.remedy
