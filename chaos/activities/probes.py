"""Probes of the steady state."""

from __future__ import annotations

from chaos import safety
from chaos.context import current

__all__ = ["system_is_healthy"]


def system_is_healthy(timeout: float = 0.0) -> bool:
    """Return whether every node, replica, service and endpoint of the edge is healthy.

    Args:
        timeout: longest wait for a healthy state in seconds.
    """
    return not safety.wait_until_healthy(current().target, current().step, timeout)
