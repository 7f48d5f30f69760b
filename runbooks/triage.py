"""Triage: from what is broken now to its cause, the runbook and the first safe action.

All checks run at the same time. A finding that another one explains is a symptom; what remains are causes.
What cannot be read is reported, and never taken for good. Where nothing is broken any more, containers that
ended in the last minutes tell what was.
"""

from __future__ import annotations

import time
from collections import defaultdict
from concurrent.futures import wait
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from infra.alerts.catalog import ALERT_BY_SLUG, Severity
from infra.daemon_calls import start
from infra.errors import EsqError
from runbooks import checks as registry
from runbooks.causes import SYMPTOMS, explains
from runbooks.recovered import recovered_causes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from runbooks.check import Action, Check, CheckContext, Finding

CHECKS_TIMEOUT_SECONDS = 6.0
"""A context returns within its own deadline, which is less."""
UNKNOWN = "unknown-outage"
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


@dataclass(frozen=True)
class Cause:
    """A problem that no other one explains.

    Attributes:
        check: slug of its check, which is that of its alert.
        finding: what was read.
        symptoms: the reasons of the findings that it explains, by slug.
    """

    check: str
    finding: Finding
    symptoms: Mapping[str, str] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """Severity of its alert."""
        return ALERT_BY_SLUG[self.check].severity


@dataclass(frozen=True)
class Diagnosis:
    """Result of a triage.

    Attributes:
        environment: name of the environment.
        causes: what is wrong, the most important first.
        recovered: what was wrong in the last minutes and is not any more; only if nothing is wrong.
        unread: slugs of the checks by the reason why they could not be made.
        action: the first action to propose; None if nothing is wrong.
        seconds: duration of the triage.
    """

    environment: str
    causes: tuple[Cause, ...]
    recovered: tuple[Cause, ...]
    unread: Mapping[str, tuple[str, ...]]
    action: Action | None
    seconds: float

    @property
    def runbook(self) -> str:
        """Slug of the runbook to open; empty if nothing is or was wrong."""
        if self.is_unknown or self.is_blind:
            return UNKNOWN
        causes = self.causes or self.recovered
        return causes[0].check if causes else ""

    @property
    def is_unknown(self) -> bool:
        """Whether something is wrong, and only its symptoms are known."""
        return bool(self.causes) and all(cause.check in SYMPTOMS for cause in self.causes)

    @property
    def is_blind(self) -> bool:
        """Whether nothing is known to be wrong because what users need cannot be read."""
        return not self.causes and any(slug in OUTAGES for slugs in self.unread.values() for slug in slugs)

    @property
    def named(self) -> frozenset[str]:
        """Slugs of the causes that it names."""
        return frozenset(cause.check for cause in self.causes or self.recovered)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "environment": self.environment,
            "healthy": not self.causes and not self.is_blind,
            "causes": [_to_dict(cause) for cause in self.causes],
            "recovered": [_to_dict(cause) for cause in self.recovered],
            "runbook": self.runbook,
            "unknown": self.is_unknown,
            "action": self.action
            and {
                **asdict(self.action),
                "command": list(self.action.argv(self.environment)),
                "dry_run": list(self.action.argv(self.environment, dry=True))
                if self.action.dry_run
                else None,
            },
            "unread": {reason: list(slugs) for reason, slugs in self.unread.items()},
            "seconds": round(self.seconds, 3),
        }


def _to_dict(cause: Cause) -> dict[str, Any]:
    return {
        "check": cause.check,
        "severity": cause.severity.value,
        "reason": cause.finding.reason,
        "evidence": list(cause.finding.evidence),
        "zones": sorted(cause.finding.zones),
        "symptoms": dict(cause.symptoms),
    }


def diagnose(
    context: CheckContext,
    checks: Sequence[Check] = (),
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Diagnosis:
    """Run checks, and name the causes of what they find.

    Args:
        context: the environment.
        checks: the checks; those of all alerts by default.
        clock: monotonic time in seconds.

    Returns:
        The diagnosis.
    """
    started_at = clock()
    findings, unread = run_checks(context, checks or registry.all_checks())
    causes = find_causes(findings)
    recovered = () if causes else recovered_findings(context)
    return Diagnosis(
        environment=context.environment,
        causes=causes,
        recovered=recovered,
        unread=unread,
        action=first_action(causes, is_embedded=context.is_embedded),
        seconds=clock() - started_at,
    )


def run_checks(
    context: CheckContext, checks: Sequence[Check], timeout_seconds: float = CHECKS_TIMEOUT_SECONDS
) -> tuple[dict[str, Finding], dict[str, tuple[str, ...]]]:
    """Run checks at the same time.

    Args:
        context: the environment.
        checks: the checks.
        timeout_seconds: longer than the deadline of the context.

    Returns:
        The findings by slug, and the slugs of the checks that could not be made by reason.
    """
    calls = {check.id: start(check.function, context) for check in checks}
    wait(calls.values(), timeout_seconds)
    findings: dict[str, Finding] = {}
    unread: defaultdict[str, list[str]] = defaultdict(list)
    for slug, call in calls.items():
        if problem := _problem(call):
            unread[problem].append(slug)
        elif finding := call.result():
            findings[slug] = finding
    return findings, {reason: tuple(slugs) for reason, slugs in unread.items()}


def _problem(call: Future[Finding | None]) -> str:
    """Return why a check could not be made; empty if it could. A defect of one must not hide the others."""
    if not call.done():
        return "no answer in time"
    error = call.exception()
    if error is None:
        return ""
    return error.message if isinstance(error, EsqError) else f"internal error: {error!r}"


def find_causes(findings: Mapping[str, Finding]) -> tuple[Cause, ...]:
    """Return the findings that no other one explains, with those that they explain; pages first.

    Args:
        findings: the findings by slug.
    """
    explained = {
        symptom: [cause for cause, finding in findings.items() if explains(cause, finding, symptom, other)]
        for symptom, other in findings.items()
    }
    roots = [slug for slug, causes in explained.items() if not causes]
    causes = [
        Cause(root, findings[root], {slug: findings[slug].reason for slug in _below(root, explained)})
        for root in roots
    ]
    return tuple(sorted(causes, key=_importance))


def _below(root: str, explained: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the symptoms of a cause, and their symptoms."""
    below: list[str] = []
    pending = [root]
    while pending:
        cause = pending.pop()
        direct = [slug for slug, causes in explained.items() if cause in causes and slug not in below]
        below += direct
        pending += direct
    return sorted(below)


def _importance(cause: Cause) -> tuple[bool, bool, int, str]:
    """Return the key by which causes are sorted: what pages, explains much, and is no mere symptom, first."""
    return (
        cause.check in SYMPTOMS,
        cause.severity is not Severity.PAGE,
        -len(cause.symptoms),
        cause.check,
    )


def first_action(causes: Sequence[Cause], *, is_embedded: bool) -> Action | None:
    """Return the action to propose for the first cause: the first safe one, or else the first one.

    Args:
        causes: the causes, the most important first.
        is_embedded: whether the cluster is the embedded one.
    """
    if not causes:
        return None
    slug = UNKNOWN if all(cause.check in SYMPTOMS for cause in causes) else causes[0].check
    actions = [step.action for step in registry.find_steps(slug) if step.action]
    usable = [action for action in actions if is_embedded or not action.embedded_only]
    return next((action for action in usable if action.risk == "safe"), usable[0] if usable else None)


def recovered_findings(context: CheckContext) -> tuple[Cause, ...]:
    """Return what was wrong in the last minutes; nothing if that cannot be read."""
    try:
        findings = recovered_causes(context.pods(), context.now)
    except EsqError:
        return ()
    return tuple(sorted((Cause(slug, finding) for slug, finding in findings.items()), key=_importance))
