"""The dispatcher: claim, call, settle. It may be killed at any moment.

Claims and calls are made in small batches, so that a death leaves few messages uncertain. Results are written
in batches with their events. When the database is away no new call is made (no claim can be written), and
results wait in memory until it is back: they are never more than the calls that were under way.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from services.kit.errors import TemporaryError
from services.kit.retry import pause_before, wait_or_stop
from services.whatsapp.domain import Result, Unknown
from services.whatsapp.outcomes import decide

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from services.whatsapp.domain import Claim, Turn
    from services.whatsapp.ports import Claims, Engine, Turns
    from services.whatsapp.settings import DispatcherSettings

IDLE_SECONDS = 0.1
"""Between two looks where nothing tells of arrivals."""
ARRIVAL_SECONDS = 0.5
"""Longest wait for a turn; one that arrives ends it."""
PER_TURN = 32
"""Messages that a turn is worth on average: so many fewer turns are taken than there is room for."""
PACE_SECONDS = 0.25
"""Between two claims: lets slots gather, so that batches are worth their transactions."""
GATHER_SECONDS = 0.2
"""Results wait so long for others to be written with; nobody waits for them."""
RESULTS = 500
"""Most results in one transaction."""
ATTEMPTS = Counter("esq_dispatch_attempts", "Calls of the engine by what they led to", ["state"])
SECONDS = Histogram("esq_dispatch_call_seconds", "How long a call of the engine took")
FLYING = Gauge("esq_dispatch_calls_under_way", "Calls of the engine under way")
STALE = Counter("esq_dispatch_stale_results", "Results that were no longer ours to write")
log = logging.getLogger(__name__)


class Dispatcher:
    """Two tasks: `run` claims and calls, `settle` writes what came of it."""

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        claims: Claims,
        turns: Turns,
        engine: Engine,
        settings: DispatcherSettings,
        rng: Random,
        *,
        room: Callable[[int], int],
    ) -> None:
        """Put it together.

        Args:
            claims: where messages are claimed.
            turns: say from which connections.
            engine: what sends them.
            settings: its limits.
            rng: spreads retries over time.
            room: how many of some messages to claim now: fewer while the provider is in trouble.
        """
        self._claims = claims
        self._turns = turns
        self._engine = engine
        self._settings = settings
        self._rng = rng
        self._room = room
        self._calls: set[asyncio.Task[None]] = set()
        self._results: list[Result] = []
        self._arrived = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Claim and call until told to stop; calls under way are then awaited.

        Raises:
            TemporaryError: the store is away; calls under way go on.
        """
        while not stop.is_set():
            free = self._settings.concurrency - len(self._calls) - len(self._results)
            most = self._room(min(free, self._settings.batch)) if free > 0 else 0
            turns = await self._turns.take(max(1, most // PER_TURN)) if most > 0 else []
            for claim in await self._claim(turns, most) if turns else []:
                call = asyncio.create_task(self._call(claim))
                self._calls.add(call)
                call.add_done_callback(self._ended)
            if most > 0 and not turns:
                await self._turns.arrival(ARRIVAL_SECONDS)
            else:
                await wait_or_stop(stop, PACE_SECONDS if turns or free <= 0 else IDLE_SECONDS)
        if self._calls:
            await asyncio.wait(self._calls)

    async def _claim(self, turns: Sequence[Turn], most: int) -> Sequence[Claim]:
        """Claim what is sent now. Turns that are lost here come again by the sweep."""
        claimed = await self._claims.claim(turns, most)
        await self._turns.give(claimed.again)
        return claimed.claims

    async def _call(self, claim: Claim) -> None:
        """Make one attempt and remember what came of it."""
        began = asyncio.get_running_loop().time()
        try:
            outcome = await self._engine.send(claim)
        except Exception as error:
            log.exception("The engine failed on message %s", claim.message_id, extra={"action": "send"})
            outcome = Unknown(f"the engine failed: {type(error).__name__}")
        SECONDS.observe(asyncio.get_running_loop().time() - began)
        decision = decide(outcome, claim.attempts, self._settings.most_attempts, self._rng)
        ATTEMPTS.labels(decision.verdict.state.value).inc()
        if decision.hold:
            log.error(
                "Connection %s is held for %.0f s: %s",
                claim.connection,
                decision.hold,
                decision.verdict.reason,
                extra={"action": "hold", "company": claim.company, "code": decision.verdict.code},
            )
        self._results.append(Result(claim, decision))
        self._arrived.set()

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        FLYING.set(len(self._calls))

    async def settle(self, stop: asyncio.Event) -> None:
        """Write results until told to stop and none can come any more."""
        while not stop.is_set() or self._calls or self._results:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(GATHER_SECONDS)
            batch = self._results[:RESULTS]
            await self._settle_at_last(batch)
            del self._results[: len(batch)]
            if not self._results:
                self._arrived.clear()

    async def _settle_at_last(self, batch: Sequence[Result]) -> None:
        """Write a batch, however long the store is away."""
        attempt = 1
        while True:
            try:
                written = await self._claims.settle(batch)
            except TemporaryError as error:
                attempt += 1
                log.warning("%d results wait: %s", len(batch), error, extra={"action": "settle"})
                await asyncio.sleep(pause_before(attempt))
            else:
                STALE.inc(len(batch) - written)
                return
