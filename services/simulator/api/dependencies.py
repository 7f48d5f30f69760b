"""Dependencies of the routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

if TYPE_CHECKING:
    from random import Random

    from services.simulator.ports import FaultConfigs, Ledger, LedgerStore


@dataclass(frozen=True)
class ApiDependencies:
    """What the routes need.

    Attributes:
        ledger: records received messages.
        ledger_store: answers queries of the ledger.
        fault_configs: the fault configuration.
        tokens: accepted bearer tokens of the Cloud API.
        rng: draws faults and statuses.
    """

    ledger: Ledger
    ledger_store: LedgerStore
    fault_configs: FaultConfigs
    tokens: tuple[bytes, ...]
    rng: Random


async def _dependencies(request: Request) -> ApiDependencies:
    dependencies: ApiDependencies = request.app.state.dependencies
    return dependencies


Dependencies = Annotated[ApiDependencies, Depends(_dependencies)]
