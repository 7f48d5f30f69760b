"""Requests at the edge fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import START_CLUSTER, WATCH, read_logs
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the public endpoints that do not serve."""
    problems = [f"edge {check.path}: {check.problem}" for check in context.endpoints() if check.problem]
    return Finding("; ".join(problems), tuple(problems)) if problems else None


CHECK = Check("api-availability", "Whether a public endpoint does not serve.", find)
STEPS = (
    *read_steps(CHECK),
    *change_steps(WATCH, START_CLUSTER, read_logs("contacts-api", "campaigns-api", "whatsapp-api")),
    *verify_steps(CHECK),
)
