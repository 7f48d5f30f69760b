"""Several Postgres servers call themselves primary."""

from __future__ import annotations

from functools import partial

from runbooks.actions import UNDO_FAULTS, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import several_primaries

CHECK = Check(
    "postgres-split-brain",
    "Whether several Postgres servers act as primary.",
    partial(several_primaries, component="postgres"),
)
STEPS = (*read_steps(CHECK), *change_steps(UNDO_FAULTS, read_logs("postgres")), *verify_steps(CHECK))
