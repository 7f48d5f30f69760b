"""The steady state: what must hold after a deploy, before an experiment, and in `esq status`.

It consists of checks of alerts, so that one function decides what is a problem for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.checks import find_check
from runbooks.triage import CHECKS_TIMEOUT_SECONDS, run_checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbooks.check import CheckContext

WARNINGS = ("backup-stale", "backup-drill-failed")
"""Checks of what does not end while somebody waits."""


def find_problems(
    context: CheckContext, slugs: Sequence[str], timeout_seconds: float = CHECKS_TIMEOUT_SECONDS
) -> list[str]:
    """Return the problems that checks find, one sentence each; what cannot be read is one.

    Args:
        context: the environment.
        slugs: slugs of the checks.
        timeout_seconds: longer than the deadline of the context.
    """
    findings, unread = run_checks(context, [find_check(slug) for slug in slugs], timeout_seconds)
    problems = [findings[slug].reason for slug in slugs if slug in findings]
    return problems + [f"{reason}: cannot tell {', '.join(names)}" for reason, names in unread.items()]
