"""A zone is lost: its node reports nothing, or takes no pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.check import Action, Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the zones whose nodes are not ready."""
    nodes = context.nodes()
    lost = [node for node in nodes if not node.ready]
    if not lost:
        return None
    zones = frozenset(node.zone for node in lost)
    evidence = tuple(f"node {node.name} ({node.zone}) is not ready" for node in lost)
    return Finding(
        f"{len(lost)} of {len(nodes)} nodes are not ready: {', '.join(sorted(zones))}", evidence, zones
    )


CHECK = Check("zone-down", "Whether a node is not ready.", find)
START = Action(
    "start-zones",
    "Starts what does not run of the embedded cluster, and restores its network links.",
    ("esq", "cluster", "up"),
    "safe",
    dry_run=("esq", "cluster", "status"),
)
STEPS = (*read_steps(CHECK), *change_steps(START), *verify_steps(CHECK))
