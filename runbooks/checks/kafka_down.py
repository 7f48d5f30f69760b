"""Partitions of Kafka have no leader."""

from __future__ import annotations

from functools import partial

from runbooks.actions import START_CLUSTER, WATCH, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import outage

CHECK = Check("kafka-down", "Whether partitions of Kafka have no leader.", partial(outage, component="kafka"))
STEPS = (*read_steps(CHECK), *change_steps(WATCH, START_CLUSTER, read_logs("kafka")), *verify_steps(CHECK))
