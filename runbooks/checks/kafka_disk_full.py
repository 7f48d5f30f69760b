"""The volume of a broker is almost full."""

from __future__ import annotations

from runbooks.actions import FREE_SPACE, read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.checks.disk_pressure import CHECK as DISK
from runbooks.rules import rule_check

CHECK = rule_check("kafka-disk-full", "Whether the volume of a broker is almost full.")
STEPS = (*read_steps(CHECK, DISK), *change_steps(FREE_SPACE, read_logs("kafka")), *verify_steps(CHECK))
