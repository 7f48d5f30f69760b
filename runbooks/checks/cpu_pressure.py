"""A pod waits for CPU time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import UNDO_FAULTS, WATCH, hand_over
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps
from runbooks.usage import require_all_nodes

if TYPE_CHECKING:
    from runbooks.check import CheckContext
    from runbooks.readings import ContainerUsage

MAX_STALLED = 0.7
"""Share of the time in which a process of the container waits for CPU time."""
FACTOR = 1.3
"""How many times longer than busy containers it must wait: on a busy host all of them wait."""
BUSY_QUANTILE = 0.9
"""Share of the containers that wait less than a busy one."""


def find(context: CheckContext) -> Finding | None:
    """Return the containers that wait for CPU time, and far longer than the others."""
    known = [use for usage in context.usage() for use in usage.containers if use.cpu_stalled is not None]
    ordered = sorted(_stalled(use) for use in known)
    busy = ordered[int(BUSY_QUANTILE * (len(ordered) - 1))] if ordered else 0.0
    waiting = [use for use in known if _stalled(use) > max(MAX_STALLED, FACTOR * busy)]
    if not waiting:
        require_all_nodes(context)
        return None
    evidence = tuple(
        f"{use.pod}/{use.container} ({use.zone}): waits {_stalled(use):.0%} of the time" for use in waiting
    )
    zones = frozenset(use.zone for use in waiting)
    return Finding(
        f"pods wait for CPU time: {'; '.join(evidence)}",
        (*evidence, f"a busy container waits {busy:.0%} of the time"),
        zones,
    )


def _stalled(use: ContainerUsage) -> float:
    return use.cpu_stalled or 0.0


CHECK = Check("cpu-pressure", "Whether a pod waits for CPU time far longer than the others.", find)
STEPS = (*read_steps(CHECK), *change_steps(UNDO_FAULTS, WATCH, hand_over()), *verify_steps(CHECK))
