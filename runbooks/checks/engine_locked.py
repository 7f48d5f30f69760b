"""A command has ended and left its lock: no other command can change the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import COMPARE, UNLOCK
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the lock of a command that does not run any more."""
    left = [deploy for deploy in context.deploys() if deploy.state == "left"]
    if not left:
        return None
    evidence = tuple(f"{deploy.command} by {deploy.holder}" for deploy in left)
    return Finding(f"a lock is left: {'; '.join(evidence)}", evidence)


CHECK = Check("engine-locked", "Whether a command that has ended left its lock.", find)
STEPS = (*read_steps(CHECK), *change_steps(COMPARE, UNLOCK), *verify_steps(CHECK))
