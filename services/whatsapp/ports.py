"""What the dispatcher needs from outside: an engine that sends, and a store that claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.whatsapp.domain import Claim, Outcome, Result


class Engine(Protocol):
    """Sends one message by whatever WhatsApp there is."""

    async def send(self, claim: Claim) -> Outcome:
        """Make one attempt and say what is known of it.

        Never raises for what the provider or the network does: that is an outcome. `Refused` and `NotReached`
        promise that the message did not go out; in doubt the outcome is `Unknown`.
        """
        ...


class Claims(Protocol):
    """Hands out messages, each to one dispatcher. All raise `TemporaryError` when the store is away."""

    async def claim(self, most: int) -> list[Claim]:
        """Take due messages for a while, as the numbers' buckets allow."""
        ...

    async def begin(self, claims: Sequence[Claim]) -> list[Claim]:
        """Write that the attempts begin now; return those whose claim still holds. Only these may be sent."""
        ...

    async def settle(self, results: Sequence[Result]) -> int:
        """Write what came of attempts, with their events; return how many were still ours to write."""
        ...
