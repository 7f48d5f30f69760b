"""Postgres has no working primary: writes fail."""

from __future__ import annotations

from functools import partial

from runbooks.check import Action, Check, change_steps, read_steps, verify_steps
from runbooks.components import primary_lost

CHECK = Check(
    "postgres-down",
    "Whether Postgres has no working primary.",
    partial(primary_lost, component="postgres"),
)
WAIT = Action(
    "wait-for-failover",
    "Patroni restarts a crashed primary within 10 s, or promotes a standby within 30 s: wait for it first.",
    ("esq", "status", "{env}"),
    "safe",
)
STEPS = (*read_steps(CHECK), *change_steps(WAIT), *verify_steps(CHECK))
