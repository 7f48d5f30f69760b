"""Partitions of Kafka lack a replica."""

from __future__ import annotations

from functools import partial

from runbooks.actions import START_CLUSTER, WATCH, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import lost_redundancy

CHECK = Check(
    "kafka-under-replicated",
    "Whether partitions of Kafka lack a replica.",
    partial(lost_redundancy, component="kafka"),
)
STEPS = (*read_steps(CHECK), *change_steps(WATCH, START_CLUSTER, read_logs("kafka")), *verify_steps(CHECK))
