"""The last command that changes the environment did not complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import COMPARE, DEPLOY
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the command that did not complete."""
    incomplete = [deploy for deploy in context.deploys() if deploy.state == "incomplete"]
    if not incomplete:
        return None
    restore = context.unfinished_restore()
    evidence = (f"an in-place restore is not complete; to resume: {restore}",) if restore else ()
    return Finding("the last deploy did not complete", evidence)


CHECK = Check("deploy-failed", "Whether the last deploy did not complete.", find)
STEPS = (*read_steps(CHECK), *change_steps(COMPARE, DEPLOY), *verify_steps(CHECK))
