"""Gauges of connections and queued messages, for alerts and the operations page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.kit.observability.metrics import gauge
from services.whatsapp.domain.sending import ConnectionState
from services.whatsapp.events import priority_label

if TYPE_CHECKING:
    from services.whatsapp.ports import SendingStatistics

CONNECTIONS = gauge(telemetry.CONNECTIONS)
CONNECTION_WAIT = gauge(telemetry.CONNECTION_WAIT)
OLDEST_AGE = gauge(telemetry.MESSAGE_OLDEST_AGE)


class SendingGauges:
    """Measures the load of sending. Every process that does exports the same values."""

    def __init__(self, statistics: SendingStatistics) -> None:
        self._statistics = statistics

    async def measure(self) -> None:
        """Measure and set the gauges.

        Raises:
            TemporaryError: the database is unavailable.
        """
        load = await self._statistics.measure()
        for state in ConnectionState:
            CONNECTIONS.labels(state.value).set(load.connections.get(state, 0))
        OLDEST_AGE.labels(priority_label(is_reply=True)).set(load.reply_age_seconds)
        OLDEST_AGE.labels(priority_label(is_reply=False)).set(load.campaign_age_seconds)
        CONNECTION_WAIT.set(load.connection_wait_seconds)
