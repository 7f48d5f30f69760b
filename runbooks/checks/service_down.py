"""No replica of a process type is ready: what it does has stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import COMPARE, DEPLOY, WATCH
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps
from runbooks.components import known_zones

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.environment_health import ServiceHealth
    from runbooks.check import CheckContext

DISPATCHER = "whatsapp-dispatcher"


def find(context: CheckContext) -> Finding | None:
    """Return the process types without a ready replica; the dispatcher has an alert of its own."""
    services = [service for service in context.services() if not service.ready and service.name != DISPATCHER]
    return missing_replicas(context, services)


def missing_replicas(context: CheckContext, services: Sequence[ServiceHealth]) -> Finding | None:
    """Return a finding about process types that lack replicas; None if there are none.

    Args:
        context: the environment.
        services: the process types.
    """
    if not services:
        return None
    names = {service.name for service in services}
    pods = [pod for pod in context.pods() if pod.workload in names and not pod.ready]
    counts = [
        f"{service.name}: {service.ready} of {service.desired} ready in {len(service.zones)} zones"
        for service in services
    ]
    evidence = (*counts, *(f"{pod.name} ({pod.zone or 'no zone'}): {pod.reason}" for pod in pods))
    return Finding("; ".join(counts), evidence, known_zones(pod.zone for pod in pods))


CHECK = Check("service-down", "Whether no replica of a process type is ready.", find)
STEPS = (*read_steps(CHECK), *change_steps(WATCH, COMPARE, DEPLOY), *verify_steps(CHECK))
