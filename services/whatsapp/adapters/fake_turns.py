"""Turns in memory; for tests. See `ports.Turns`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.whatsapp.domain import Turn


class FakeTurns:
    """Keeps turns in the order they came, each once; all of them are due at once."""

    def __init__(self) -> None:
        self.waiting: dict[Turn, float] = {}

    async def take(self, most: int) -> list[Turn]:
        """See `Turns`."""
        taken = list(self.waiting)[:most]
        for turn in taken:
            del self.waiting[turn]
        return taken

    async def give(self, turns: Sequence[tuple[Turn, float]]) -> None:
        """See `Turns`."""
        for turn, seconds in turns:
            self.waiting.setdefault(turn, seconds)

    async def arrival(self, seconds: float) -> None:
        """See `Turns`."""
        await asyncio.sleep(0 if self.waiting else seconds)
