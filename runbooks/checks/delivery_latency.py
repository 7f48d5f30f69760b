"""Messages are late."""

from __future__ import annotations

from runbooks.actions import WATCH, read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("delivery-latency", "Whether messages are late.")
STEPS = (*read_steps(CHECK), *change_steps(WATCH, read_logs("whatsapp-dispatcher")), *verify_steps(CHECK))
