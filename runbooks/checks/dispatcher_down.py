"""No dispatcher is ready: no message is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import DEPLOY, WATCH, read_logs
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps
from runbooks.checks.service_down import DISPATCHER, missing_replicas

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return a finding if no dispatcher is ready."""
    services = [service for service in context.services() if not service.ready and service.name == DISPATCHER]
    return missing_replicas(context, services)


CHECK = Check("dispatcher-down", "Whether no dispatcher is ready.", find)
STEPS = (*read_steps(CHECK), *change_steps(WATCH, read_logs(DISPATCHER), DEPLOY), *verify_steps(CHECK))
