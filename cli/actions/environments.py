"""Definitions of environments: list them, write a new one, generate their JSON schema."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.environment import (
    DEFINITIONS_DIR,
    definitions_dir,
    environment_names,
    load_environment,
    require_valid_name,
)
from infra.environment_definition import json_schema
from infra.errors import ProblemsError, UsageError

if TYPE_CHECKING:
    from cli.environment import Environment

SCHEMA = Path("stacks/environments/schema.json")


@dataclass(frozen=True)
class ListedEnvironment:
    """An environment in a list; without its definition when that is invalid."""

    name: str
    environment: Environment | None
    problems: tuple[str, ...] = ()


def list_environments() -> list[ListedEnvironment]:
    """Return all environments, `local` first."""
    return [_listed(name) for name in environment_names()]


def _listed(name: str) -> ListedEnvironment:
    try:
        return ListedEnvironment(name, load_environment(name))
    except ProblemsError as error:
        return ListedEnvironment(name, None, tuple(str(problem) for problem in error.problems))
    except UsageError as error:
        return ListedEnvironment(name, None, (error.message,))


def write_template(name: str) -> Path:
    """Write a commented definition for a new environment; return its path.

    Raises:
        UsageError: invalid name, or the environment exists.
    """
    require_valid_name(name)
    file = definitions_dir() / f"{name}.yaml"
    if name in environment_names():
        raise UsageError(
            f"the environment `{name}` exists",
            location=str(file),
            remedy=f"See `esq env show {name}`, or use another name.",
        )
    schema = os.path.relpath(DEFINITIONS_DIR / SCHEMA.name, file.parent)
    template = (DEFINITIONS_DIR / "template.txt").read_text(encoding="utf-8")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(template.replace("NAME", name).replace("SCHEMA", schema), encoding="utf-8")
    return file


def write_schema(project: Path) -> Path:
    """Write the JSON schema of definitions, for editors; return its path in the project."""
    (project / SCHEMA).write_text(schema_text(), encoding="utf-8")
    return SCHEMA


def schema_text() -> str:
    """Return the JSON schema of definitions as text."""
    return json.dumps(json_schema(), indent=2) + "\n"
