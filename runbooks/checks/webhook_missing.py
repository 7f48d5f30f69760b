"""No webhook arrives although messages are sent."""

from __future__ import annotations

from runbooks.actions import read_logs, restart
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("webhook-missing", "Whether no webhook arrives although messages are sent.")
STEPS = (
    *read_steps(CHECK),
    *change_steps(read_logs("whatsapp-webhooks"), restart("deployment/whatsapp-webhooks", "esq-services")),
    *verify_steps(CHECK),
)
