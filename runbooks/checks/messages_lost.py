"""Messages have no outcome for longer than any retry."""

from __future__ import annotations

from runbooks.actions import LIST_DEAD_LETTERS, read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("messages-lost", "Whether messages have had no outcome for too long.")
STEPS = (
    *read_steps(CHECK),
    *change_steps(read_logs("whatsapp-dispatcher", "whatsapp-worker"), LIST_DEAD_LETTERS),
    *verify_steps(CHECK),
)
