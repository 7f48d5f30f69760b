"""Replicas of a service are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.check import Action, Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from collections.abc import Collection

    from runbooks.check import CheckContext

DISPATCHER = "whatsapp-dispatcher"


def missing_replicas(context: CheckContext, names: Collection[str]) -> Finding | None:
    """Return a finding if replicas of process types are missing, or all of them are in one zone.

    Args:
        context: the environment.
        names: names of the Deployments.
    """
    services = [service for service in context.services() if service.name in names and not service.healthy]
    if not services:
        return None
    down = {service.name for service in services}
    pods = [pod for pod in context.pods() if pod.workload in down and not pod.ready]
    evidence = [
        f"{service.name}: {service.ready} of {service.desired} ready in {len(service.zones)} zones"
        for service in services
    ]
    evidence += [f"{pod.name} ({pod.zone or 'no zone'}): {pod.reason or 'not ready'}" for pod in pods]
    is_located = bool(pods) and all(pod.zone for pod in pods)
    zones = frozenset(pod.zone for pod in pods) if is_located else frozenset()
    return Finding(f"replicas are missing: {', '.join(sorted(down))}", tuple(evidence), zones)


def find(context: CheckContext) -> Finding | None:
    """Return the process types without all their replicas; the dispatcher has its own check."""
    names = {service.name for service in context.services()} - {DISPATCHER}
    return missing_replicas(context, names)


CHECK = Check("service-down", "Whether replicas of a service are missing.", find)
ROLLBACK = Action(
    "deploy",
    "Deploys what the definition declares: restores Secrets, images and replicas that were changed.",
    ("esq", "deploy", "{env}"),
    "disruptive",
    dry_run=("esq", "preview", "{env}"),
)
STEPS = (*read_steps(CHECK), *change_steps(ROLLBACK), *verify_steps(CHECK))
