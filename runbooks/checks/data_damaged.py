"""A replica has damaged data: another damage to the same data would lose it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import REPAIR, SCRUB
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return the damage that the last scrub left."""
    damage = tuple(context.damage())
    return Finding(f"the last scrub left damage: {'; '.join(damage)}", damage) if damage else None


CHECK = Check("data-damaged", "Whether the last scrub left damage.", find)
STEPS = (*read_steps(CHECK), *change_steps(SCRUB, REPAIR), *verify_steps(CHECK))
