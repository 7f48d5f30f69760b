"""Routes for tests and operators: queries of the ledger, and the fault configuration."""

from __future__ import annotations

import time

from fastapi import APIRouter, Depends

from services.kit.http.auth import require_scope
from services.kit.http.retrying_route import RetryingRoute
from services.simulator.api.dependencies import Dependencies  # noqa: TC001 - FastAPI reads the annotations
from services.simulator.api.schemas import LedgerClock, LedgerQuery, LedgerSummary
from services.simulator.domain.fault_config import FaultConfig  # noqa: TC001 - as above

READ = Depends(require_scope("ledger:read"))
FAULTS = Depends(require_scope("simulator:faults"))
router = APIRouter(route_class=RetryingRoute)


@router.post("/ledger/query", dependencies=[READ], tags=["ledger"])
async def received_counts(query: LedgerQuery, dependencies: Dependencies) -> dict[str, int]:
    """Return how often each message was received, 0 for unknown ones."""
    return await dependencies.ledger_store.received_counts(query.ids)


@router.post("/ledger/times", dependencies=[READ], tags=["ledger"])
async def receipt_times(query: LedgerQuery, dependencies: Dependencies) -> dict[str, list[float]]:
    """Return when each message was received, in Unix seconds; an empty list for unknown ones."""
    return await dependencies.ledger_store.receipt_times(query.ids)


@router.get("/ledger/clock", dependencies=[READ], tags=["ledger"])
async def ledger_clock() -> LedgerClock:
    """Return the time by which this process records receipts: clients measure the offset of their own."""
    return LedgerClock(now=time.time())


@router.get("/ledger/summary", dependencies=[READ], tags=["ledger"])
async def ledger_summary(dependencies: Dependencies) -> LedgerSummary:
    """Return counts of the whole ledger."""
    return LedgerSummary.model_validate(await dependencies.ledger_store.summary())


@router.get("/faults", dependencies=[FAULTS], tags=["faults"])
async def get_faults(dependencies: Dependencies) -> FaultConfig:
    """Return the fault configuration in force."""
    return dependencies.fault_configs.current


@router.put("/faults", dependencies=[FAULTS], tags=["faults"])
async def put_faults(fault_config: FaultConfig, dependencies: Dependencies) -> FaultConfig:
    """Replace the fault configuration; missing fields take defaults. Other replicas follow in a second."""
    await dependencies.fault_configs.replace(fault_config)
    return fault_config


@router.delete("/faults", dependencies=[FAULTS], tags=["faults"])
async def delete_faults(dependencies: Dependencies) -> FaultConfig:
    """Return to the configuration of the settings."""
    await dependencies.fault_configs.reset()
    return dependencies.fault_configs.current
