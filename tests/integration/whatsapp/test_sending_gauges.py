"""Numbers for the operators, measured in real Postgres: connections by state, ages, message states."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import pytest

from services.whatsapp.adapters.sending_statistics import PostgresSendingStatistics
from services.whatsapp.domain.error_policy import decide
from services.whatsapp.domain.sending import Accepted, AttemptResult, Rejected
from services.whatsapp.jobs.sending_gauges import SendingGauges
from services.whatsapp.jobs.webhook_processor import WebhookProcessor
from tests.integration.whatsapp.conftest import NUMBER
from tests.metrics import metric

if TYPE_CHECKING:
    from uuid import UUID

    from services.kit.postgres.database import Database
    from services.whatsapp.adapters.postgres import PostgresUnitOfWorkFactory
    from services.whatsapp.domain.sending import LeasedMessage, SendOutcome
    from tests.integration.whatsapp.conftest import PlatformUnderTest, PollingLeases

pytestmark = pytest.mark.integration
STATES = ("active", "throttled", "logged_out", "banned", "limited")
LONG_AGO = "now() - interval '40 seconds'"


def attempted(message: LeasedMessage, outcome: SendOutcome) -> AttemptResult:
    return AttemptResult(message, decide(outcome, 0, 10, Random(1)))


def connection_states() -> dict[str, float | None]:
    return {state: value for state in STATES if (value := metric("esq_connections", state=state))}


def reached(state: str) -> float:
    return metric("esq_messages_total", state=state) or 0


async def test_connections_are_counted_by_the_reason_of_their_suspension(
    platform: PlatformUnderTest, database: Database, leases: PollingLeases
) -> None:
    codes = {"out": 190, "banned": 131031, "limited": 131048, "slow": 130429}
    for index, name in enumerate([*codes, "fine"]):
        platform.add_connection(name=name, number=str(index))
        platform.queue_messages(1, name)
    leased = await leases.lease_ready(10)
    outcomes = [attempted(message, Rejected(codes.get(message.connection, 1), "")) for message in leased]
    await leases.record_results(outcomes)
    gauges = SendingGauges(PostgresSendingStatistics(database))

    await gauges.measure()
    assert connection_states() == dict.fromkeys(STATES, 1)

    platform.database.execute(
        "UPDATE whatsapp.connections SET suspended_until = now(), throttled_at = '-infinity'"
    )
    await gauges.measure()
    assert connection_states() == {"active": 5}


async def test_ages_are_those_of_connections_that_may_send(
    platform: PlatformUnderTest, database: Database
) -> None:
    gauges = SendingGauges(PostgresSendingStatistics(database))
    for name, number in (("main", "1"), ("suspended", "2"), ("idle", "3")):
        platform.add_connection(name=name, number=number)
    await gauges.measure()
    assert metric("esq_connection_wait_seconds") == 0
    assert metric("esq_message_oldest_due_age_seconds", priority="campaign") == 0

    platform.queue_messages(2)
    platform.queue_messages(1, "suspended")
    platform.database.execute(f"UPDATE whatsapp.messages SET due_at = {LONG_AGO} WHERE connection = 'main'")
    platform.database.execute(
        "UPDATE whatsapp.messages SET due_at = now() - interval '1 day' WHERE connection = 'suspended'"
    )
    platform.database.execute(
        "UPDATE whatsapp.connections SET suspended_until = now() + interval '1 hour' WHERE name = 'suspended'"
    )
    await gauges.measure()
    assert 40 <= (metric("esq_message_oldest_due_age_seconds", priority="campaign") or 0) < 3600
    assert metric("esq_message_oldest_due_age_seconds", priority="reply") == 0
    assert 40 <= (metric("esq_connection_wait_seconds") or 0) < 3600

    platform.database.execute("UPDATE whatsapp.connections SET refilled_at = now() WHERE name = 'main'")
    await gauges.measure()
    assert (metric("esq_connection_wait_seconds") or 0) < 30


async def test_every_state_of_a_message_is_counted_once_and_a_second_message_is_noticed(
    platform: PlatformUnderTest,
    connection: None,
    leases: PollingLeases,
    unit_of_work: PostgresUnitOfWorkFactory,
) -> None:
    del connection
    (message_id,) = platform.queue_messages(1)
    states = ("accepted", "sent", "delivered")
    before = {state: reached(state) for state in states}
    duplicated = metric("esq_messages_duplicated_total") or 0
    deliveries = metric("esq_message_delivery_seconds_count", priority="campaign") or 0
    processor = WebhookProcessor(unit_of_work)

    (leased,) = await leases.lease_ready(1)
    assert leased.waited_seconds >= 0
    await leases.record_results([attempted(leased, Accepted("wamid.first"))])
    await store_statuses(unit_of_work, message_id, "wamid.first", "sent", "delivered", "delivered")
    await processor.measure()
    assert (metric("esq_webhook_oldest_pending_age_seconds") or 0) > 0
    await processor.process_batch()
    await processor.measure()

    assert {state: reached(state) - before[state] for state in states} == dict.fromkeys(states, 1)
    assert metric("esq_message_delivery_seconds_count", priority="campaign") == deliveries + 1
    assert metric("esq_messages_duplicated_total") == duplicated
    assert metric("esq_webhook_oldest_pending_age_seconds") == 0

    await store_statuses(unit_of_work, message_id, "wamid.second", "sent", "delivered")
    await processor.process_batch()

    assert metric("esq_messages_duplicated_total") == duplicated + 1


async def store_statuses(
    unit_of_work: PostgresUnitOfWorkFactory, message_id: UUID, wamid: str, *kinds: str
) -> None:
    """Store one webhook with statuses of a message."""
    statuses = [
        {"id": wamid, "status": kind, "timestamp": "1790000000", "biz_opaque_callback_data": str(message_id)}
        for kind in kinds
    ]
    value = {"metadata": {"phone_number_id": NUMBER}, "statuses": statuses}
    body = json.dumps({"entry": [{"changes": [{"field": "messages", "value": value}]}]}).encode()
    async with unit_of_work() as uow:
        await uow.webhooks.store(body)
        await uow.commit()
