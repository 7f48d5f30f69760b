"""What the audit of the dependencies accepts: `policy.yaml`, with a reason for every exception."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FILE = Path(__file__).with_name("policy.yaml")


class LicencePolicy(BaseModel):
    """Accepted licences.

    Attributes:
        allowed: SPDX identifiers.
        names: SPDX identifier by the name that packages give their licence.
        exceptions: reason by name of a component, in which `*` stands for any characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    allowed: frozenset[str]
    names: dict[str, str] = Field(default_factory=dict)
    exceptions: dict[str, str] = Field(default_factory=dict)


class Policy(BaseModel):
    """What is accepted.

    Attributes:
        licences: accepted licences.
        max_megabytes: limit of the installed size of each part in Python.
        imports: reason by name of a package or module for each finding of deptry that is none.
        duplicates: reason by name of a package that several versions of it are installed.
        vulnerabilities: reason by id of an advisory that it does not concern us.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    licences: LicencePolicy
    max_megabytes: dict[str, float]
    imports: dict[str, str] = Field(default_factory=dict)
    duplicates: dict[str, str] = Field(default_factory=dict)
    vulnerabilities: dict[str, str] = Field(default_factory=dict)


def load_policy(file: Path = _FILE) -> Policy:
    """Return the policy of the project."""
    return Policy.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def find_reason(exceptions: Mapping[str, str], name: str) -> str | None:
    """Return the reason of the exception for a name; None if there is none.

    Args:
        exceptions: reason by pattern.
        name: the name.
    """
    return next((reason for pattern, reason in exceptions.items() if fnmatchcase(name, pattern)), None)


def unused_exceptions(exceptions: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the patterns that match none of the names.

    Args:
        exceptions: patterns.
        names: names that needed an exception.
    """
    needed = list(names)
    return [pattern for pattern in exceptions if not any(fnmatchcase(name, pattern) for name in needed)]
