"""A pod has used up its memory, or was killed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import UNDO_FAULTS, WATCH
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps
from runbooks.components import known_zones
from runbooks.usage import require_all_nodes

if TYPE_CHECKING:
    from runbooks.check import CheckContext
    from runbooks.readings import ContainerUsage, PodState

MAX_USED = 0.95
MAX_STALLED = 0.2
"""Share of the time in which a process waits for memory, above which the container gets little work done."""
RECENT_SECONDS = 300.0


def find(context: CheckContext) -> Finding | None:
    """Return the containers without memory, and those that were killed for it in the last minutes."""
    containers = [use for usage in context.usage() for use in usage.containers if _is_scarce(use)]
    killed = [pod for pod in context.pods() if _was_killed(context, pod)]
    if not containers and not killed:
        require_all_nodes(context)
        return None
    evidence = [f"{use.pod}/{use.container} ({use.zone}): {_describe(use)}" for use in containers]
    evidence += [f"{pod.name} ({pod.zone}): killed for its memory" for pod in killed]
    zones = known_zones([*(use.zone for use in containers), *(pod.zone for pod in killed)])
    return Finding(f"memory is used up: {'; '.join(evidence)}", tuple(evidence), zones)


def _is_scarce(use: ContainerUsage) -> bool:
    limit = use.memory_limit_bytes
    is_full = limit is not None and use.memory_bytes > MAX_USED * limit
    return is_full or (use.memory_stalled or 0.0) > MAX_STALLED


def _was_killed(context: CheckContext, pod: PodState) -> bool:
    is_recent = pod.ended_at is not None and (context.now - pod.ended_at).total_seconds() < RECENT_SECONDS
    return is_recent and pod.end_reason == "OOMKilled"


def _describe(use: ContainerUsage) -> str:
    limit = f" of {use.memory_limit_bytes >> 20}" if use.memory_limit_bytes else ""
    stalled = f", waits {use.memory_stalled:.0%} of the time" if use.memory_stalled else ""
    return f"{use.memory_bytes >> 20}{limit} MiB{stalled}"


CHECK = Check("memory-pressure", "Whether a pod has used up its memory.", find)
STEPS = (*read_steps(CHECK), *change_steps(UNDO_FAULTS, WATCH), *verify_steps(CHECK))
