"""A server refuses the password or the certificate of a service."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runbooks.actions import COMPARE, DEPLOY
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps
from runbooks.components import known_zones

if TYPE_CHECKING:
    from runbooks.check import CheckContext

_REJECTION = re.compile(
    r"password authentication failed|InvalidPassword|SASL authentication|WRONGPASS|NOAUTH|NOPERM"
    r"|authorization failed|InvalidAccessKeyId|SignatureDoesNotMatch|certificate has expired|bad certificate",
    re.IGNORECASE,
)


def find(context: CheckContext) -> Finding | None:
    """Return the pods that are not ready and whose last log lines tell of a rejection."""
    lines = [line for line in context.error_lines() if _REJECTION.search(line.message)]
    if not lines:
        return None
    pods = {line.source for line in lines}
    zones = known_zones(pod.zone for pod in context.pods() if pod.name in pods)
    evidence = tuple(f"{line.source}: {line.message[:300]}" for line in lines)
    return Finding(f"a server rejects the credentials of {', '.join(sorted(pods))}", evidence, zones)


CHECK = Check("credentials-rejected", "Whether a server rejects the credentials of a pod.", find)
STEPS = (*read_steps(CHECK), *change_steps(COMPARE, DEPLOY), *verify_steps(CHECK))
