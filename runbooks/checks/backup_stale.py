"""The backups are too old, or cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import BACK_UP, read_logs
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps
from runbooks.checks.backup_drill_failed import is_about_drill

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the problems of the backups, without those of the drill."""
    backups = context.backups()
    problems = tuple(f"backups: {problem}" for problem in backups.problems if not is_about_drill(problem))
    return Finding("; ".join(problems), (*problems, backups.summary)) if problems else None


CHECK = Check("backup-stale", "Whether a backup is too old or unreadable.", find)
STEPS = (*read_steps(CHECK), *change_steps(BACK_UP, read_logs("backup-verifier")), *verify_steps(CHECK))
