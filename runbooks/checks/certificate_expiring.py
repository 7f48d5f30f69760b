"""A certificate that a process presents expires soon, or has expired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import COMPARE, DEPLOY
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps
from services.contracts.telemetry import CERTIFICATE_EXPIRY

if TYPE_CHECKING:
    from runbooks.check import CheckContext

MIN_DAYS = 30
"""A deploy renews a certificate with less than 60 days left: with fewer than these, none has run for long."""
_DAY_SECONDS = 86_400.0


def find(context: CheckContext) -> Finding | None:
    """Return the processes whose own certificate expires."""
    return expiring(context, "server", "the certificate")


def expiring(context: CheckContext, certificate: str, name: str) -> Finding | None:
    """Return a finding if a certificate has few days left.

    Args:
        context: the environment.
        certificate: value of the label: `server` or `ca`.
        name: what it is, for the reason.
    """
    left = {
        sample.labels.get("pod", "?"): (sample.value - context.now.timestamp()) / _DAY_SECONDS
        for sample in context.samples(CERTIFICATE_EXPIRY.name)
        if sample.labels.get("certificate") == certificate
    }
    ending = {pod: days for pod, days in left.items() if days < MIN_DAYS}
    if not ending:
        return None
    expired = sorted(pod for pod, days in ending.items() if days <= 0)
    reason = (
        f"{name} of {', '.join(expired)} has expired"
        if expired
        else f"{name} expires in {min(ending.values()):.0f} days"
    )
    return Finding(reason, tuple(f"{pod}: {days:.1f} days left" for pod, days in sorted(ending.items())))


CHECK = Check("certificate-expiring", "Whether the certificate of a process expires soon.", find)
STEPS = (*read_steps(CHECK), *change_steps(COMPARE, DEPLOY), *verify_steps(CHECK))
