"""The provider banned connections."""

from __future__ import annotations

from functools import partial

from runbooks.actions import read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.gauges import above
from services.contracts.telemetry import CONNECTIONS

CHECK = Check(
    "connection-banned",
    "Whether the provider banned connections.",
    partial(above, metric=CONNECTIONS, limit=0, reason="connections are banned", state="banned"),
)
STEPS = (*read_steps(CHECK), *change_steps(read_logs("whatsapp-dispatcher")), *verify_steps(CHECK))
