"""Offset of the clocks by which the simulated provider records receipts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from infra.errors import EsqError
from loadtests.clock_offset import MAX_UNCERTAINTY_SECONDS, RoundTrip, offset_of_replicas

if TYPE_CHECKING:
    from cli.actions.platform_access import PlatformAccess
    from cli.platform_client import PlatformClient
    from loadtests.clock_offset import ClockOffset

ROUND_TRIPS = 30
"""Enough for the shorter half to reach every replica."""
TIMEOUT_SECONDS = 60.0


def measure_provider_clock(access: PlatformAccess, company: str) -> ClockOffset | None:
    """Return the provider's Unix time minus this machine's monotonic clock; None if it does not answer.

    Args:
        access: access to the platform.
        company: company on whose behalf the clock is read.
    """
    client = access.client_for(company, TIMEOUT_SECONDS)
    try:
        return offset_of_replicas([_round_trip(client) for _ in range(ROUND_TRIPS)])
    except EsqError:
        return None


def find_clock_problem(offset: ClockOffset | None) -> str:
    """Return why latencies cannot rely on an offset; empty if they can."""
    if offset is not None and offset.is_usable:
        return ""
    uncertainty = f"{offset.uncertainty_seconds:.3f} s" if offset else "unknown"
    return f"the uncertainty of the provider's clock is {uncertainty}, above {MAX_UNCERTAINTY_SECONDS:g} s"


def _round_trip(client: PlatformClient) -> RoundTrip:
    sent = time.monotonic()
    remote = float(client.call("GET", "/ledger/clock", "ledger:read")["now"])
    return RoundTrip(sent, remote, time.monotonic())
