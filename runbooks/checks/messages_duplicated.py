"""Messages were sent twice."""

from __future__ import annotations

from runbooks.actions import read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("messages-duplicated", "Whether messages were sent twice.")
STEPS = (
    *read_steps(CHECK),
    *change_steps(read_logs("whatsapp-dispatcher", "whatsapp-worker")),
    *verify_steps(CHECK),
)
