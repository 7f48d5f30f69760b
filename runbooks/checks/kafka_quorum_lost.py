"""The controllers of Kafka have no active leader."""

from __future__ import annotations

from runbooks.actions import START_CLUSTER, WATCH, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import no_quorum_leader

CHECK = Check("kafka-quorum-lost", "Whether no controller of Kafka leads.", no_quorum_leader)
STEPS = (*read_steps(CHECK), *change_steps(WATCH, START_CLUSTER, read_logs("kafka")), *verify_steps(CHECK))
