"""The Kubernetes API does not answer, or nothing is replaced: the controllers or the scheduler do not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import START_CLUSTER, UNDO_FAULTS
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the programs of the control plane that do not work."""
    problems = {program: problem for program, problem in context.control_plane().items() if problem}
    if not problems:
        return None
    evidence = tuple(f"{program}: {problem}" for program, problem in problems.items())
    return Finding(f"the control plane does not work: {', '.join(problems)}", evidence)


CHECK = Check("control-plane-down", "Whether a program of the control plane does not work.", find)
STEPS = (*read_steps(CHECK), *change_steps(START_CLUSTER, UNDO_FAULTS), *verify_steps(CHECK))
