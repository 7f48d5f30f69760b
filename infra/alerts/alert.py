"""One alert: what it means, who is told, and how it is found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


class Severity(StrEnum):
    """Who is told, and how fast."""

    PAGE = "page"
    """Users are affected now, or data is at risk: a person is woken."""
    TICKET = "ticket"
    """A cause or a risk that can wait for working hours."""


class Source(StrEnum):
    """What finds an alert."""

    RULE = "rule"
    """vmalert evaluates its expression."""
    COMMAND = "command"
    """A command of the toolkit reports it: it has a runbook, but no rule."""


class Owner(StrEnum):
    """The team that answers."""

    DATA = "data"
    PLATFORM = "platform"
    MESSAGING = "messaging"
    SECURITY = "security"


@dataclass(frozen=True)
class Alert:
    """An alert.

    Attributes:
        name: CamelCase name; names the rule, the runbook and its checks.
        severity: who is told.
        owner: team that answers.
        summary: one sentence; may contain labels of the expression, `{{ $labels.x }}`.
        impact: what users notice, and what is at risk.
        experiment: experiment of `chaos/experiments` that makes it fire; None without one.
        unproven: why no experiment makes it fire; empty with one.
        slo: SLO whose violation it announces; None without one.
        expression: MetricsQL; one firing alert per series of its result. Empty for commands and for burn
            rates, which are derived from their objective.
        for_seconds: the expression must be true this long.
        inhibits: names of alerts that are its consequences: they are not sent while it is new.
        source: what finds it.
    """

    name: str
    severity: Severity
    owner: Owner
    summary: str
    impact: str
    experiment: str | None = None
    unproven: str = ""
    slo: str | None = None
    expression: str = ""
    for_seconds: int = 0
    inhibits: tuple[str, ...] = ()
    source: Source = Source.RULE

    @property
    def slug(self) -> str:
        """Name of its runbook, `runbooks/SLUG.md`."""
        return alert_slug(self.name)


def alert_slug(name: str) -> str:
    """Return the name of an alert's runbook: `postgres-down` for `PostgresDown`."""
    return _WORD_START.sub("-", name).lower()
