"""What the dispatcher needs from outside: an engine that sends, and a store that claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.whatsapp.domain import Claim, Claimed, Outcome, Result, Turn


class Engine(Protocol):
    """Sends one message by whatever WhatsApp there is."""

    async def send(self, claim: Claim) -> Outcome:
        """Make one attempt and say what is known of it.

        Never raises for what the provider or the network does: that is an outcome. `Refused` and `NotReached`
        promise that the message did not go out; in doubt the outcome is `Unknown`.
        """
        ...


class Due(Protocol):
    """Knows which connections have something to send."""

    async def look(self, most: int) -> list[Turn]:
        """Return turns that are due, replies before campaigns, those first that waited longest.

        Raises:
            TemporaryError: the store is away.
        """
        ...


class Turns(Protocol):
    """Says whose messages are sent next. Raises nothing for a Redis that is away."""

    async def take(self, most: int) -> list[Turn]:
        """Take turns; a turn that was taken is in nobody's hands but ours."""
        ...

    async def give(self, turns: Sequence[tuple[Turn, float]]) -> None:
        """Have turns come, each after so many seconds; one that waits already stays as it is."""
        ...

    async def arrival(self, seconds: float) -> None:
        """Return when a turn may have come, or after so many seconds."""
        ...


class Claims(Protocol):
    """Hands out messages, each to one dispatcher. All raise `TemporaryError` when the store is away."""

    async def claim(self, turns: Sequence[Turn], most: int) -> Claimed:
        """Take due messages of these connections, as the numbers' buckets allow, to be sent at once.

        When this returns it is written that their attempts begin now: nobody else makes them.
        """
        ...

    async def settle(self, results: Sequence[Result]) -> int:
        """Write what came of attempts, with their events; return how many were still ours to write."""
        ...
