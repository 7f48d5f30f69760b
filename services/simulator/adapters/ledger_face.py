"""What tests and operators ask: the ledger, and the faults to be switched on and off."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from services.kit.auth import allowed
from services.simulator.adapters.controls import Controls
from services.simulator.adapters.ledger import Ledger
from services.simulator.behaviour import Behaviour  # noqa: TC001 - FastAPI reads the annotations when it runs

MOST_IDS = 1000
"""In one question."""


class LedgerQuery(BaseModel):
    """Messages by the id their sender gave as `biz_opaque_callback_data`."""

    ids: list[Annotated[str, Field(max_length=512)]] = Field(max_length=MOST_IDS)


class LedgerSummary(BaseModel):
    """The whole ledger: requests received, different messages among them, callbacks not yet delivered."""

    received: int
    messages: int
    callbacks_waiting: int


async def _ledger(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.face.ledger
    return ledger


async def _controls(request: Request) -> Controls:
    controls: Controls = request.app.state.face.controls
    return controls


READ = Depends(allowed("ledger:read"))
FAULTS = Depends(allowed("simulator:faults"))
LedgerOf = Annotated[Ledger, Depends(_ledger)]
ControlsOf = Annotated[Controls, Depends(_controls)]
router = APIRouter()


@router.post("/ledger/query", dependencies=[READ], tags=["ledger"])
async def query(wanted: LedgerQuery, ledger: LedgerOf) -> dict[str, int]:
    """Tell how often each message was received; 0 for one that never was."""
    return await ledger.received(wanted.ids)


@router.post("/ledger/times", dependencies=[READ], tags=["ledger"])
async def times(wanted: LedgerQuery, ledger: LedgerOf) -> dict[str, list[float]]:
    """Tell when each message was received, in Unix seconds: an empty list for one that never was."""
    return await ledger.times(wanted.ids)


@router.get("/ledger/summary", dependencies=[READ], tags=["ledger"])
async def summary(ledger: LedgerOf) -> LedgerSummary:
    """Count the whole ledger."""
    return LedgerSummary.model_validate(await ledger.summary())


@router.get("/faults", dependencies=[FAULTS], tags=["faults"])
async def faults(controls: ControlsOf) -> Behaviour:
    """Tell the behaviour in force."""
    return controls.current


@router.put("/faults", dependencies=[FAULTS], tags=["faults"])
async def set_faults(behaviour: Behaviour, controls: ControlsOf) -> Behaviour:
    """Replace the behaviour as a whole; what is left out takes its default. Others follow in a second."""
    await controls.replace(behaviour)
    return behaviour


@router.delete("/faults", dependencies=[FAULTS], tags=["faults"])
async def reset_faults(controls: ControlsOf) -> Behaviour:
    """Return to what the settings say."""
    await controls.reset()
    return controls.current
