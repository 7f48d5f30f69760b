"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# How fast examples are drawn says something of the machine and nothing of the code.
settings.register_profile("esq", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("esq")

# Servers are started as another user, which takes a real fork; gRPC would revive its threads in the child, where
# one of them may find its poller closed and abort the program before it begins (5 of 1,500 were). No test uses
# gRPC in a forked child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
