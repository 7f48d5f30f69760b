"""The Cloud API sender against the simulator over real HTTP: both have the same understanding of the API."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from services.kit.http.client import open_http_client
from services.kit.ids import uuid7
from services.whatsapp.adapters.cloud_api_sender import CloudApiSender
from services.whatsapp.domain.error_policy import RULES
from services.whatsapp.domain.sending import Accepted, LeasedMessage, NotSent, Rejected, Unknown
from services.whatsapp.settings import DispatcherSettings
from tests.contract.cloud_api.conftest import TOKEN
from tests.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.cloud_api.conftest import Simulator

pytestmark = pytest.mark.contract


def leased_message(number: str = "123456", text: str = "Olá, tudo bem?") -> LeasedMessage:
    return LeasedMessage("acme", uuid7(), "campaign", number, "main", "+5511999999999", text, 1, 0)


@asynccontextmanager
async def cloud_api_sender(
    url: str, *, token: str = TOKEN, version: str = "v25.0", timeout_seconds: float = 5
) -> AsyncIterator[CloudApiSender]:
    settings = DispatcherSettings(
        database_url=SecretStr("postgresql+asyncpg://x@localhost/x"),
        cloud_api_url=url,  # type: ignore[arg-type] # pydantic makes it a URL
        cloud_api_tokens=(SecretStr(token),),
        redis_server="127.0.0.1:9",
    )
    async with open_http_client(settings, timeout_seconds=timeout_seconds, max_connections=8) as client:
        yield CloudApiSender(client, f"{url}/{version}", token)


async def test_message_is_accepted_and_in_the_ledger_by_its_id(simulator: Simulator) -> None:
    message = leased_message()
    async with cloud_api_sender(simulator.process.url) as sender:
        outcome = await sender.send(message)
    assert isinstance(outcome, Accepted)
    assert outcome.provider_id.startswith("wamid.")
    reference = str(message.message_id)
    assert simulator.received_counts(reference, "another") == {reference: 1, "another": 0}


async def test_receipts_are_recorded_by_the_clock_of_the_ledger(simulator: Simulator) -> None:
    message = leased_message()
    before = simulator.clock()
    async with cloud_api_sender(simulator.process.url) as sender:
        await sender.send(message)
    [received_at] = simulator.receipt_times(str(message.message_id))
    assert before <= received_at <= simulator.clock()


async def test_concurrent_messages_are_each_received_once(simulator: Simulator) -> None:
    messages = [leased_message() for _ in range(100)]
    async with cloud_api_sender(simulator.process.url) as sender:
        outcomes = await asyncio.gather(*(sender.send(message) for message in messages))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len({outcome.provider_id for outcome in outcomes if isinstance(outcome, Accepted)}) == 100
    counts = simulator.received_counts(*(str(message.message_id) for message in messages))
    assert set(counts.values()) == {1}


async def test_message_sent_twice_is_counted_twice(simulator: Simulator) -> None:
    message = leased_message()
    async with cloud_api_sender(simulator.process.url) as sender:
        await sender.send(message)
        await sender.send(message)
    assert simulator.received_counts(str(message.message_id)) == {str(message.message_id): 2}


@pytest.mark.parametrize("code", [*sorted(set(RULES) - set(range(201, 300))), 100, 131026, 131047, 131049])
async def test_rejection_has_its_code_and_nothing_is_received(simulator: Simulator, code: int) -> None:
    message = leased_message()
    simulator.set_faults(error_rates={code: 1})
    async with cloud_api_sender(simulator.process.url) as sender:
        outcome = await sender.send(message)
    assert isinstance(outcome, Rejected)
    assert outcome.code == code
    assert simulator.received_counts(str(message.message_id)) == {str(message.message_id): 0}


async def test_invalid_token_is_code_190(simulator: Simulator) -> None:
    async with cloud_api_sender(simulator.process.url, token="stolen") as sender:
        outcome = await sender.send(leased_message())
    assert isinstance(outcome, Rejected)
    assert outcome.code == 190


@pytest.mark.parametrize(("number", "text", "code"), [("12x", "hello", 33), ("123", "x" * 4097, 131009)])
async def test_invalid_request_is_rejected(simulator: Simulator, number: str, text: str, code: int) -> None:
    async with cloud_api_sender(simulator.process.url) as sender:
        outcome = await sender.send(leased_message(number, text))
    assert isinstance(outcome, Rejected)
    assert outcome.code == code


async def test_reset_after_acceptance_is_unknown_and_message_received(simulator: Simulator) -> None:
    message = leased_message()
    simulator.set_faults(reset_after_accept=1)
    async with cloud_api_sender(simulator.process.url) as sender:
        outcome = await sender.send(message)
    assert isinstance(outcome, Unknown)
    assert simulator.received_counts(str(message.message_id)) == {str(message.message_id): 1}


async def test_timeout_is_unknown(simulator: Simulator) -> None:
    simulator.set_faults(latency={"median_ms": 3000, "spread": 0})
    async with cloud_api_sender(simulator.process.url, timeout_seconds=0.3) as sender:
        assert isinstance(await sender.send(leased_message()), Unknown)


async def test_crash_of_the_simulator_during_a_call_is_unknown(simulator: Simulator) -> None:
    simulator.set_faults(latency={"median_ms": 3000, "spread": 0})
    async with cloud_api_sender(simulator.process.url) as sender:
        call = asyncio.create_task(sender.send(leased_message()))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(simulator.process.kill)
        assert isinstance(await call, Unknown)


async def test_refused_connection_and_unknown_host_mean_not_sent() -> None:
    async with cloud_api_sender(f"http://127.0.0.1:{free_port()}") as sender:
        assert isinstance(await sender.send(leased_message()), NotSent)
    async with cloud_api_sender("http://nowhere.invalid") as sender:
        assert isinstance(await sender.send(leased_message()), NotSent)


async def test_any_version_is_served_and_an_invalid_one_is_code_100(simulator: Simulator) -> None:
    async with cloud_api_sender(simulator.process.url, version="v17.0") as sender:
        assert isinstance(await sender.send(leased_message()), Accepted)
    async with cloud_api_sender(simulator.process.url, version="latest") as sender:
        outcome = await sender.send(leased_message())
    assert isinstance(outcome, Rejected)
    assert outcome.code == 100


def test_mark_as_read_is_accepted(simulator: Simulator) -> None:
    body = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"}
    response = httpx.post(
        f"{simulator.process.url}/v25.0/123/messages",
        json=body,
        headers={"Authorization": f"Bearer {TOKEN}"},
        trust_env=False,
    )
    assert response.json() == {"success": True}
