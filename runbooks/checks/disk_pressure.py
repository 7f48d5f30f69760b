"""The disk of a node is almost full: all volumes of its zone are on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import FREE_SPACE, UNDO_FAULTS, read_logs
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps
from runbooks.usage import require_all_nodes

if TYPE_CHECKING:
    from runbooks.check import CheckContext

MAX_USED = 0.9
"""Share of the disk above which data services may stop within the time a person needs."""


def find(context: CheckContext) -> Finding | None:
    """Return the zones whose disk is almost full."""
    full = [usage for usage in context.usage() if usage.disk_used > MAX_USED]
    if not full:
        require_all_nodes(context)
        return None
    evidence = tuple(
        f"{usage.zone}: {usage.disk_used:.0%} used, {usage.disk_free_bytes >> 20} MiB free" for usage in full
    )
    return Finding(
        f"a disk is almost full: {'; '.join(evidence)}", evidence, frozenset(usage.zone for usage in full)
    )


CHECK = Check("disk-pressure", "Whether the disk of a node is almost full.", find)
STEPS = (
    *read_steps(CHECK),
    *change_steps(UNDO_FAULTS, read_logs("postgres", "kafka", "backup-verifier"), FREE_SPACE),
    *verify_steps(CHECK),
)
