"""The provider rejects or does not answer calls."""

from __future__ import annotations

from runbooks.actions import read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("provider-outage", "Whether the provider rejects or does not answer calls.")
STEPS = (*read_steps(CHECK), *change_steps(read_logs("whatsapp-dispatcher")), *verify_steps(CHECK))
