"""The Cloud API engine against the simulator over real HTTP: what one says is what the other understands."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from services.kit.client import open_client
from services.kit.ids import uuid7
from services.whatsapp.adapters.cloud_engine import CloudApiEngine
from services.whatsapp.domain import Accepted, Claim, NotReached, Refused, Unknown
from services.whatsapp.outcomes import RULES
from services.whatsapp.settings import DispatcherSettings
from tests.contract.cloud_api.conftest import TOKEN
from tests.controllers.process import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.cloud_api.conftest import Simulator

pytestmark = pytest.mark.contract


def claim(number: str = "123456", text: str = "Olá, tudo bem?") -> Claim:
    return Claim("acme", uuid7(), "campaign", number, "main", "+5511999999999", text, 1, 0)


@asynccontextmanager
async def engine(
    url: str, *, token: str = TOKEN, version: str = "v25.0", seconds: float = 5
) -> AsyncIterator[CloudApiEngine]:
    settings = DispatcherSettings(
        database_url=SecretStr("postgresql+asyncpg://x@localhost/x"),
        cloud_api_url=url,  # type: ignore[arg-type] # pydantic makes it a URL
        cloud_api_token=SecretStr(token),
        redis_server="127.0.0.1:9",
    )
    async with open_client(settings, seconds=seconds, connections=8) as client:
        yield CloudApiEngine(client, f"{url}/{version}", token)


async def test_a_message_is_accepted_and_in_the_ledger_under_our_id(simulator: Simulator) -> None:
    one = claim()
    async with engine(simulator.process.url) as cloud:
        outcome = await cloud.send(one)
    assert isinstance(outcome, Accepted)
    assert outcome.provider_id.startswith("wamid.")
    assert simulator.received(str(one.message_id), "another") == {str(one.message_id): 1, "another": 0}


async def test_many_at_once_are_each_received_once(simulator: Simulator) -> None:
    claims = [claim() for _ in range(100)]
    async with engine(simulator.process.url) as cloud:
        outcomes = await asyncio.gather(*(cloud.send(one) for one in claims))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len({outcome.provider_id for outcome in outcomes if isinstance(outcome, Accepted)}) == 100
    assert set(simulator.received(*(str(one.message_id) for one in claims)).values()) == {1}


async def test_a_message_sent_twice_is_counted_twice(simulator: Simulator) -> None:
    one = claim()
    async with engine(simulator.process.url) as cloud:
        await cloud.send(one)
        await cloud.send(one)
    assert simulator.received(str(one.message_id)) == {str(one.message_id): 2}


@pytest.mark.parametrize("code", [*sorted(set(RULES) - set(range(201, 300))), 100, 131026, 131047, 131049])
async def test_a_refusal_arrives_with_its_code_and_nothing_was_received(
    simulator: Simulator, code: int
) -> None:
    one = claim()
    simulator.behave(error_rates={code: 1})
    async with engine(simulator.process.url) as cloud:
        outcome = await cloud.send(one)
    assert isinstance(outcome, Refused)
    assert outcome.code == code
    assert simulator.received(str(one.message_id)) == {str(one.message_id): 0}


async def test_a_wrong_token_is_code_190(simulator: Simulator) -> None:
    async with engine(simulator.process.url, token="stolen") as cloud:
        outcome = await cloud.send(claim())
    assert isinstance(outcome, Refused)
    assert outcome.code == 190


@pytest.mark.parametrize(("number", "text", "code"), [("12x", "hello", 33), ("123", "x" * 4097, 131009)])
async def test_a_bad_request_is_refused_for_good(
    simulator: Simulator, number: str, text: str, code: int
) -> None:
    async with engine(simulator.process.url) as cloud:
        outcome = await cloud.send(claim(number, text))
    assert isinstance(outcome, Refused)
    assert outcome.code == code


async def test_a_reset_after_acceptance_is_unknown_and_was_received(simulator: Simulator) -> None:
    one = claim()
    simulator.behave(reset_after_accept=1)
    async with engine(simulator.process.url) as cloud:
        outcome = await cloud.send(one)
    assert isinstance(outcome, Unknown)
    assert simulator.received(str(one.message_id)) == {str(one.message_id): 1}


async def test_an_answer_that_is_too_slow_is_unknown(simulator: Simulator) -> None:
    simulator.behave(latency={"median_ms": 3000, "spread": 0})
    async with engine(simulator.process.url, seconds=0.3) as cloud:
        assert isinstance(await cloud.send(claim()), Unknown)


async def test_a_simulator_that_dies_under_a_call_leaves_it_unknown(simulator: Simulator) -> None:
    simulator.behave(latency={"median_ms": 3000, "spread": 0})
    async with engine(simulator.process.url) as cloud:
        call = asyncio.create_task(cloud.send(claim()))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(simulator.process.kill)
        assert isinstance(await call, Unknown)


async def test_a_refused_connection_and_an_unknown_host_were_never_reached() -> None:
    async with engine(f"http://127.0.0.1:{free_port()}") as cloud:
        assert isinstance(await cloud.send(claim()), NotReached)
    async with engine("http://nowhere.invalid") as cloud:
        assert isinstance(await cloud.send(claim()), NotReached)


async def test_any_version_is_served_and_an_unknown_path_is_refused_in_the_apis_way(
    simulator: Simulator,
) -> None:
    async with engine(simulator.process.url, version="v17.0") as cloud:
        assert isinstance(await cloud.send(claim()), Accepted)
    async with engine(simulator.process.url, version="latest") as cloud:
        outcome = await cloud.send(claim())
    assert isinstance(outcome, Refused)
    assert outcome.code == 100


def test_a_read_mark_is_taken(simulator: Simulator) -> None:
    body = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"}
    answer = httpx.post(
        f"{simulator.process.url}/v25.0/123/messages",
        json=body,
        headers={"Authorization": f"Bearer {TOKEN}"},
        trust_env=False,
    )
    assert answer.json() == {"success": True}
