"""The certificate authority expires soon: a rotation replaces it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import COMPARE, ROTATE
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps
from runbooks.checks.certificate_expiring import expiring

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return a finding if an authority that a process trusts expires."""
    return expiring(context, "ca", "the certificate authority")


CHECK = Check("ca-expiring", "Whether the certificate authority expires soon.", find)
STEPS = (*read_steps(CHECK), *change_steps(COMPARE, ROTATE), *verify_steps(CHECK))
