"""The steady state: what must hold after a deploy, before an experiment, and in `esq status`.

It consists of checks of alerts, so that one function decides what is a problem for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.checks import find_check
from runbooks.triage import run_checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbooks.check import CheckContext

OUTAGES = (
    "zone-down",
    *("postgres-down", "postgres-split-brain", "postgres-replication-lag"),
    *("redis-down", "redis-split-brain", "redis-replication-lag"),
    *("kafka-down", "kafka-quorum-lost", "kafka-under-replicated"),
    *("object-store-down", "object-store-resync-lag"),
    *("service-down", "dispatcher-down", "recovery-slow"),
    "api-availability",
)
"""Checks of what can end by itself, so that a deploy waits for it."""
WARNINGS = ("backup-stale", "backup-drill-failed")
"""Checks of what does not end while somebody waits."""


def find_problems(context: CheckContext, slugs: Sequence[str]) -> list[str]:
    """Return the problems that checks find, one sentence each; what cannot be read is one.

    Args:
        context: the environment.
        slugs: slugs of the checks.
    """
    findings, unread = run_checks(context, [find_check(slug) for slug in slugs])
    problems = [findings[slug].reason for slug in slugs if slug in findings]
    return problems + [f"{reason}: cannot tell {', '.join(names)}" for reason, names in unread.items()]
