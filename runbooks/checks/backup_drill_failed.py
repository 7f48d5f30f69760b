"""The last restore drill failed, or is too long ago: it is not known whether the backups can be restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import DRILL
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def is_about_drill(problem: str) -> bool:
    """Return whether a problem of the backups is one of the drill; see `backup.status.problems`."""
    return "drill" in problem


def find(context: CheckContext) -> Finding | None:
    """Return the problems of the drill."""
    backups = context.backups()
    problems = tuple(f"backups: {problem}" for problem in backups.problems if is_about_drill(problem))
    return Finding("; ".join(problems), (*problems, backups.summary)) if problems else None


CHECK = Check("backup-drill-failed", "Whether no recent drill has verified the backups.", find)
STEPS = (*read_steps(CHECK), *change_steps(DRILL), *verify_steps(CHECK))
