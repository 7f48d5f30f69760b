"""Probes: whether all is well, and who leads what."""

from __future__ import annotations

from chaos import guard
from chaos.context import current

__all__ = ["all_is_well", "wait"]


def all_is_well(within: float = 0.0) -> bool:
    """Tell whether every node, replica, service and door of the edge does its part.

    Args:
        within: seconds that this may take to become true.
    """
    current().troubles = guard.await_well(current().target, current().step, within)
    return not current().troubles


def wait(seconds: float, why: str) -> None:
    """Let time pass.

    Args:
        seconds: how long.
        why: for whoever watches.
    """
    current().hold(seconds, why)
