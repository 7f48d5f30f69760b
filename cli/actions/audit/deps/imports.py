"""Unused and missing dependencies: deptry compares what is declared with what the code imports."""

from __future__ import annotations

import json
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.actions.audit.extras import require_program
from infra.subprocesses import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEPTRY_TIMEOUT_SECONDS = 300.0
TOOLKIT = ("cli", "stacks", "chaos", "loadtests", "runbooks", "infra")
SERVICES = ("services",)
_PROJECT = Path(__file__).resolve().parents[4]
_KINDS = {"DEP001": "missing", "DEP002": "unused", "DEP003": "not declared"}


@dataclass(frozen=True)
class ImportFinding:
    """A difference between the declared dependencies and the imports.

    Attributes:
        part: `toolkit` or `services`.
        kind: `missing`, `unused` or `not declared` (it comes with another package).
        name: name of the package or module.
        location: file that imports it; empty if nothing does.
    """

    part: str
    kind: str
    name: str
    location: str = ""


def check_imports(project: Path = _PROJECT) -> list[ImportFinding]:
    """Return the differences of the toolkit and of the services.

    Args:
        project: the checkout.

    Raises:
        UsageError: deptry is not installed.
    """
    document = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    declared, extras = document["project"], document["project"]["optional-dependencies"]
    # Programs in pods are part of the toolkit's code; what they import is installed in their image.
    toolkit = [*declared["dependencies"], *extras["audit"], *extras["aws"], *_group(document, "patroni")]
    return [
        *_findings("toolkit", toolkit, TOOLKIT, project),
        *_findings("services", _group(document, "services"), SERVICES, project),
    ]


def _group(document: Mapping[str, Any], name: str) -> list[str]:
    return [item for item in document["dependency-groups"][name] if isinstance(item, str)]


def _findings(
    part: str, dependencies: Sequence[str], packages: Sequence[str], project: Path
) -> list[ImportFinding]:
    """Run deptry with a project file that declares only the dependencies of this part."""
    with tempfile.TemporaryDirectory(prefix="esq-audit-") as folder:
        config, result = Path(folder) / "pyproject.toml", Path(folder) / "result.json"
        config.write_text(
            f'[project]\nname = "{part}"\nversion = "0"\ndependencies = {json.dumps(list(dependencies))}\n'
        )
        first_party = [option for name in (*TOOLKIT, *SERVICES) for option in ("--known-first-party", name)]
        argv = [require_program("deptry"), *packages, "--config", str(config), "--json-output", str(result)]
        run([*argv, "--no-ansi", *first_party], cwd=project, timeout=DEPTRY_TIMEOUT_SECONDS, check=False)
        return [_finding(part, item) for item in json.loads(result.read_text(encoding="utf-8"))]


def _finding(part: str, item: Mapping[str, Any]) -> ImportFinding:
    kind = _KINDS.get(item["error"]["code"], item["error"]["message"])
    location = (
        "" if item["error"]["code"] == "DEP002" else f"{item['location']['file']}:{item['location']['line']}"
    )
    return ImportFinding(part, kind, item["module"], location)
