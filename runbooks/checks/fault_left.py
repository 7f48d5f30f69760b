"""A fault of an experiment is not undone, and nobody is about to undo it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import UNDO_FAULTS
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the faults that are left; a running experiment undoes its own."""
    left = [fault for fault in context.faults() if fault.is_left]
    if not left:
        return None
    evidence = tuple(
        f"{fault.description} by {fault.experiment}, since {fault.opened_at:%H:%M:%S}" for fault in left
    )
    return Finding(f"a fault is left: {'; '.join(fault.description for fault in left)}", evidence)


CHECK = Check("fault-left", "Whether a fault of an experiment is left.", find)
STEPS = (*read_steps(CHECK), *change_steps(UNDO_FAULTS), *verify_steps(CHECK))
