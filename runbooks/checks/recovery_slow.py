"""A process type lacks a replica, or has all of them in one zone: the next fault may stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import COMPARE, DEPLOY, START_CLUSTER, WATCH
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps
from runbooks.checks.service_down import missing_replicas

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the process types that have a ready replica and are not complete."""
    services = [service for service in context.services() if service.ready and not service.healthy]
    return missing_replicas(context, services)


CHECK = Check("recovery-slow", "Whether a process type lacks a replica.", find)
STEPS = (
    *read_steps(CHECK),
    *change_steps(WATCH, START_CLUSTER, COMPARE, DEPLOY),
    *verify_steps(CHECK),
)
