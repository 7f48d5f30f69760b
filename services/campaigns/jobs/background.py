"""Background loops: the planner plans campaigns, the scheduler runs their due transitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.campaigns.jobs.planning import plan_next_chunk
from services.campaigns.jobs.scheduling import run_scheduled_transition
from services.contracts import telemetry
from services.kit.observability.metrics import counter, gauge
from services.kit.retry import sleep_unless_stopped

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    from services.campaigns.commands import PlanNextChunk
    from services.campaigns.ports import ContactsClient, UnitOfWorkFactory

PLAN_POLL_INTERVAL_SECONDS = 0.5
"""Pause of the planner while no campaign waits for planning."""
SCHEDULE_POLL_INTERVAL_SECONDS = 1.0
"""Pause of the scheduler while no campaign is due."""
PLANNED = counter(telemetry.PLANNED_MESSAGES)
PLANNING_AGE = gauge(telemetry.PLANNING_AGE)
PLANNING_CAMPAIGNS = gauge(telemetry.PLANNING_CAMPAIGNS)


class Planner:
    """Planning loop. Any number may run: only the holder of a plan's lease works on it.

    `notify_relay` is called after messages were planned, so that the outbox relay publishes them at once.
    """

    def __init__(
        self,
        command: PlanNextChunk,
        uow_factory: UnitOfWorkFactory,
        contacts: ContactsClient,
        notify_relay: Callable[[], None],
    ) -> None:
        self._command = command
        self._uow_factory = uow_factory
        self._contacts = contacts
        self._notify_relay = notify_relay

    async def run(self, stop: asyncio.Event) -> None:
        """Plan until `stop` is set.

        Raises:
            TemporaryError: the database is unavailable; the caller restarts the loop.
        """
        while not stop.is_set():
            planned = await plan_next_chunk(self._command, self._uow_factory, self._contacts)
            if planned is None:
                await sleep_unless_stopped(stop, PLAN_POLL_INTERVAL_SECONDS)
            elif planned:
                PLANNED.inc(planned)
                self._notify_relay()

    async def measure(self) -> None:
        """Export the progress of planning.

        Raises:
            TemporaryError: the database is unavailable.
        """
        async with self._uow_factory() as uow:
            load = await uow.plans.load()
        PLANNING_CAMPAIGNS.set(load.campaigns)
        PLANNING_AGE.set(load.age_seconds)


class Scheduler:
    """Scheduling loop. Any number may run: each campaign is locked while it is checked."""

    def __init__(self, uow_factory: UnitOfWorkFactory, clock: Callable[[], datetime]) -> None:
        self._uow_factory = uow_factory
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Run due transitions until `stop` is set.

        Raises:
            TemporaryError: the database is unavailable; the caller restarts the loop.
        """
        while not stop.is_set():
            if await run_scheduled_transition(self._clock(), self._uow_factory) is None:
                await sleep_unless_stopped(stop, SCHEDULE_POLL_INTERVAL_SECONDS)
