"""Offset of the clocks by which the simulated provider records receipts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from infra.errors import EsqError
from loadtests.clock_offset import MAX_UNCERTAINTY_SECONDS, RoundTrip, offset_of_replicas

if TYPE_CHECKING:
    from cli.platform_client import PlatformClient
    from loadtests.clock_offset import ClockOffset

ROUND_TRIPS = 30
"""Enough for the shorter half to reach every replica."""


def measure_provider_clock(client: PlatformClient) -> ClockOffset:
    """Return the provider's Unix time minus this machine's monotonic clock.

    Raises:
        EsqError: the provider did not answer, or its clocks cannot be compared well enough.
    """
    offset = offset_of_replicas([_round_trip(client) for _ in range(ROUND_TRIPS)])
    if offset is None or not offset.is_usable:
        uncertainty = f"{offset.uncertainty_seconds:.3f} s" if offset else "unknown"
        raise EsqError(
            f"the uncertainty of the provider's clock is {uncertainty}, above {MAX_UNCERTAINTY_SECONDS:g} s",
            location="/ledger/clock",
            remedy="Compare the clocks of the nodes, and repeat the run from a machine near to them.",
        )
    return offset


def _round_trip(client: PlatformClient) -> RoundTrip:
    sent = time.monotonic()
    remote = float(client.call("GET", "/ledger/clock", "ledger:read")["now"])
    return RoundTrip(sent, remote, time.monotonic())
