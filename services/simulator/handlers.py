"""Handlers of commands."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.kit.ids import uuid7
from services.simulator.domain.graph_api import make_wamid
from services.simulator.domain.outcomes import Accepted, NoResponse, Rejected
from services.simulator.domain.statuses import ReceivedMessage, draw_statuses
from services.simulator.ports import LedgerWriteUnknownError

if TYPE_CHECKING:
    from random import Random

    from services.simulator.commands import SendMessage
    from services.simulator.domain.fault_config import FaultConfig
    from services.simulator.domain.outcomes import SendOutcome
    from services.simulator.ports import Ledger


async def send_message(
    command: SendMessage, ledger: Ledger, fault_config: FaultConfig, rng: Random
) -> SendOutcome:
    """Record a message with its statuses, or inject a fault.

    Args:
        command: the message.
        ledger: records it.
        fault_config: configuration in force.
        rng: draws faults and statuses.

    Returns:
        Acceptance with a wamid, rejection with an error code, or no response.
    """
    await asyncio.sleep(fault_config.latency.sample_seconds(rng))
    code = fault_config.draw_error(rng)
    if code is not None:
        return Rejected(code)
    message_id = uuid7()
    message = ReceivedMessage(
        id=message_id,
        wamid=make_wamid(message_id),
        phone_number_id=command.phone_number_id,
        recipient=command.recipient,
        client_reference=command.client_reference,
        received_at=datetime.now(UTC),
    )
    try:
        await ledger.record(message, draw_statuses(fault_config, rng))
    except LedgerWriteUnknownError:
        return NoResponse()
    if rng.random() < fault_config.reset_after_accept:
        return NoResponse()
    return Accepted(message.wamid)
