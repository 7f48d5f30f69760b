"""Nothing in a zone answers, or its node takes no pods while pods wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import START_CLUSTER, UNDO_FAULTS, WATCH
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from infra.environment_health import NodeHealth
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the zones whose nodes are lost or cordoned."""
    lost = {node: "is not ready" for node in context.nodes() if not node.ready}
    lost |= dict.fromkeys(_cordoned(context), "is cordoned, and pods wait")
    if not lost:
        return None
    problems = tuple(f"node {node.name} {problem}" for node, problem in lost.items())
    return Finding("; ".join(problems), problems, frozenset(node.zone for node in lost))


def _cordoned(context: CheckContext) -> list[NodeHealth]:
    cordoned = [node for node in context.nodes() if node.ready and not node.schedulable]
    if not cordoned or all(pod.zone for pod in context.pods()):
        return []
    return cordoned


CHECK = Check("zone-down", "Whether nothing in a zone answers.", find)
STEPS = (
    *read_steps(CHECK),
    *change_steps(START_CLUSTER, UNDO_FAULTS, WATCH),
    *verify_steps(CHECK),
)
