"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How fast examples are drawn says something of the machine and nothing of the code.
settings.register_profile("esq", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("esq")
