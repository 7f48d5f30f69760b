"""Fields of an environment's definition: read one, and set one in its file.

A change keeps the comments and the order of the file. It is validated first; an invalid one changes nothing.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import yaml
from ruamel.yaml import YAML

from cli.environment import LOCAL, definitions_dir, load_environment
from infra.environment_definition import parse_definition
from infra.errors import UsageError
from infra.files import write_atomically
from infra.validation import suggest

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

_LINE_WIDTH = 10_000
"""No line is folded, however long a reference of an image is."""


def read_field(environment: str, field: str) -> Any:  # noqa: ANN401 - a definition has fields of several types
    """Return the effective value of a field.

    Args:
        environment: name of the environment.
        field: path of the field, e.g. `sizes.postgres.memory`; empty for the whole definition.

    Raises:
        UsageError: there is no such field.
    """
    value: Any = load_environment(environment).definition.model_dump(mode="json")
    for position, name in enumerate(parts := field.split(".") if field else []):
        if not isinstance(value, dict) or name not in value:
            known = list(value) if isinstance(value, dict) else []
            raise UsageError(
                f"`{environment}` has no field {'.'.join(parts[: position + 1])}",
                location="FIELD",
                remedy=f"{suggest(name, known)}See `esq config show {environment}`.",
            )
        value = value[name]
    return value


def set_field(environment: str, field: str, text: str) -> Path:
    """Set a field in the file of a definition; return the file.

    Args:
        environment: name of the environment.
        field: path of the field.
        text: its value as YAML, e.g. `[a, b, c]`; `null` removes it from the file.

    Raises:
        UsageError: `local`, which has no file, or the path leads through a value.
        ProblemsError: the changed definition is invalid; the file was not changed.
    """
    if environment == LOCAL:
        raise UsageError(
            f"`{LOCAL}` is built in and has no file to change",
            location="ENV",
            remedy="Create another environment: `esq env init NAME`.",
        )
    load_environment(environment)
    file = definitions_dir() / f"{environment}.yaml"
    round_trip = YAML()
    round_trip.preserve_quotes = True
    round_trip.width = _LINE_WIDTH
    document = round_trip.load(file.read_text(encoding="utf-8"))
    _assign(document, field, yaml.safe_load(text))
    changed = io.StringIO()
    round_trip.dump(document, changed)
    parse_definition(changed.getvalue(), file)
    write_atomically(file, changed.getvalue(), mode=file.stat().st_mode & 0o777)
    return file


def _assign(document: MutableMapping[str, Any], field: str, value: object) -> None:
    *parents, name = field.split(".")
    mapping = document
    for parent in parents:
        mapping = mapping.setdefault(parent, {})
        if not isinstance(mapping, dict):
            raise UsageError(
                f"{parent} is a value, which has no fields",
                location="FIELD",
                remedy=f"Set all of it: `esq config set ENV {field.partition('.')[0]} VALUE`.",
            )
    if value is None:
        mapping.pop(name, None)
    else:
        mapping[name] = value
