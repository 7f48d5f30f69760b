"""An engine in memory, for tests of what stands around engines. It counts what it was handed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from services.whatsapp.domain import Accepted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from services.whatsapp.domain import Claim, Outcome


class FakeEngine:
    """Answers with the given outcomes in turn, then accepts everything.

    Attributes:
        sent: how often each message was handed over.
    """

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._outcomes = list(outcomes)
        self.sent: Counter[UUID] = Counter()

    async def send(self, claim: Claim) -> Outcome:
        """See `Engine`."""
        self.sent[claim.message_id] += 1
        if self._outcomes:
            return self._outcomes.pop(0)
        return Accepted(f"wamid.{claim.message_id.hex}")
