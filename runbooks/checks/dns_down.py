"""Pods do not resolve names: established connections stay, new ones fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import START_CLUSTER, UNDO_FAULTS
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the zones whose pods do not resolve names."""
    problems = {zone: problem for zone, problem in context.name_resolution().items() if problem}
    if not problems:
        return None
    evidence = tuple(f"{zone}: {problem}" for zone, problem in problems.items())
    return Finding(f"pods do not resolve names: {', '.join(problems)}", evidence, frozenset(problems))


CHECK = Check("dns-down", "Whether pods do not resolve names.", find)
STEPS = (*read_steps(CHECK), *change_steps(START_CLUSTER, UNDO_FAULTS), *verify_steps(CHECK))
