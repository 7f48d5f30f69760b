"""Webhook sender, and handler of messages, on in-memory ports."""

from __future__ import annotations

import json
from random import Random

import pytest

from services.simulator.commands import SendMessage
from services.simulator.domain.fault_config import Delay, FaultConfig
from services.simulator.domain.outcomes import Accepted, NoResponse, Rejected
from services.simulator.domain.statuses import WebhookStatus
from services.simulator.fakes import FakeFaultConfigs, FakeLedger, FakeWebhookClient, FakeWebhookSchedule
from services.simulator.handlers import send_message
from services.simulator.jobs.webhook_sender import WebhookSender, backoff_seconds
from services.simulator.ports import ScheduledStatus

STATUS = WebhookStatus("123", "wamid.1", "5511999999999", "reference-1", 1_790_000_000, "sent", None)
COMMAND = SendMessage("123", "5511999999999", "reference-1")


async def test_failed_webhook_is_postponed_and_the_others_are_delivered() -> None:
    schedule, client = FakeWebhookSchedule([ScheduledStatus(STATUS, 2)] * 5), FakeWebhookClient()
    client.remaining_failures = 1
    sender = WebhookSender(schedule, client, FakeFaultConfigs(FaultConfig(statuses_per_webhook=3)))
    assert await sender.send_due() == 2
    assert await sender.send_due() == 0
    assert schedule.postponed == [(ScheduledStatus(STATUS, 3), 4.0)] * 3
    sizes = [len(json.loads(body)["entry"][0]["changes"][0]["value"]["statuses"]) for body in client.bodies]
    assert sizes == [3, 2]


def test_backoff_grows_and_is_bounded() -> None:
    assert [backoff_seconds(attempts) for attempts in (0, 1, 2, 3)] == [1, 2, 4, 8]
    assert backoff_seconds(1000) == 60


@pytest.mark.parametrize(
    ("faults", "outcome", "received"),
    [
        ({}, Accepted, 1),
        ({"error_rates": {131000: 1}}, Rejected, 0),
        ({"reset_after_accept": 1}, NoResponse, 1),
    ],
)
async def test_message_is_recorded_unless_it_is_rejected(
    faults: dict[str, object], outcome: type, received: int
) -> None:
    ledger = FakeLedger()
    fault_config = FaultConfig.model_validate({"latency": Delay(), **faults})
    assert isinstance(await send_message(COMMAND, ledger, fault_config, Random(1)), outcome)
    assert await ledger.received_counts(["reference-1"]) == {"reference-1": received}


async def test_no_response_when_the_outcome_of_the_write_is_unknown() -> None:
    ledger = FakeLedger(unavailable=True)
    fault_config = FaultConfig(latency=Delay())
    assert await send_message(COMMAND, ledger, fault_config, Random(1)) == NoResponse()
