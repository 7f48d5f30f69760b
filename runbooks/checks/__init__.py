"""The check and the steps of each alert: a module per alert, named by its slug, with `CHECK` and `STEPS`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from infra.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType

    from runbooks.check import Check, Step


@cache
def slugs() -> tuple[str, ...]:
    """Return the slugs of all alerts with a check, sorted."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))


@cache
def find_check(slug: str) -> Check:
    """Return the check of an alert.

    Raises:
        UsageError: there is none.
    """
    check: Check = _module(slug).CHECK
    return check


@cache
def find_steps(slug: str) -> tuple[Step, ...]:
    """Return the steps of the runbook of an alert.

    Raises:
        UsageError: there are none.
    """
    steps: tuple[Step, ...] = _module(slug).STEPS
    return steps


def all_checks() -> tuple[Check, ...]:
    """Return the checks of all alerts, by slug."""
    return tuple(find_check(slug) for slug in slugs())


def _module(slug: str) -> ModuleType:
    if slug not in slugs():
        raise UsageError(
            f"there is no check `{slug}`", location="runbooks/checks", remedy="See `esq runbook list`."
        )
    return importlib.import_module(f"{__name__}.{slug.replace('-', '_')}")
