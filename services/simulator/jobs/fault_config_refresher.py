"""The refresher reads the fault configuration that another replica may have set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kit.retry import sleep_unless_stopped

if TYPE_CHECKING:
    import asyncio

    from services.simulator.ports import FaultConfigs

REFRESH_INTERVAL_SECONDS = 1.0
"""A change takes effect in the other replicas within this time, in the one that received it at once."""


class FaultConfigRefresher:
    """Background task that refreshes the fault configuration."""

    def __init__(self, fault_configs: FaultConfigs) -> None:
        self._fault_configs = fault_configs

    async def run(self, stop: asyncio.Event) -> None:
        """Refresh until stopped."""
        while not stop.is_set():
            await self._fault_configs.refresh()
            await sleep_unless_stopped(stop, REFRESH_INTERVAL_SECONDS)
