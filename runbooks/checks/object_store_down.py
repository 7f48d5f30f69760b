"""The object store has no quorum."""

from __future__ import annotations

from functools import partial

from runbooks.actions import START_CLUSTER, WATCH, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import outage

CHECK = Check(
    "object-store-down", "Whether the object store has no quorum.", partial(outage, component="object-store")
)
STEPS = (
    *read_steps(CHECK),
    *change_steps(WATCH, START_CLUSTER, read_logs("object-store")),
    *verify_steps(CHECK),
)
