"""Objects have fewer than three copies."""

from __future__ import annotations

from functools import partial

from runbooks.actions import START_CLUSTER, WATCH, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import lost_redundancy

CHECK = Check(
    "object-store-resync-lag",
    "Whether a node of the object store is missing.",
    partial(lost_redundancy, component="object-store"),
)
STEPS = (
    *read_steps(CHECK),
    *change_steps(WATCH, START_CLUSTER, read_logs("object-store")),
    *verify_steps(CHECK),
)
