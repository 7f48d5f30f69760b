"""Undo of faults, as an action of the method and as a rollback."""

from __future__ import annotations

from chaos.context import current

__all__ = ["undo"]


def undo(kind: str = "") -> list[str]:
    """Undo open faults of this run, newest first; none if there are none.

    Args:
        kind: kind of the faults, for example `zone-isolation`; all faults if empty.

    Returns:
        The undone faults.
    """
    return current().undo(kind)
