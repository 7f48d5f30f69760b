"""Routes of the Cloud API: send requests take the fast path, all others go to the app."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from services.simulator.api.dependencies import ApiDependencies
from services.simulator.api.routes_cloud_api import SendFastPath
from services.simulator.domain.fault_config import Delay, FaultConfig
from services.simulator.fakes import FakeFaultConfigs, FakeLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BODY = {"messaging_product": "whatsapp", "to": "+5511999999999", "type": "text", "text": {"body": "Olá"}}
HEADERS = {"Authorization": "Bearer secret"}


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
async def client(ledger: FakeLedger) -> AsyncIterator[httpx.AsyncClient]:
    fault_configs = FakeFaultConfigs(FaultConfig(latency=Delay(median_ms=0)))
    dependencies = ApiDependencies(ledger, ledger, fault_configs, (b"secret", b"retiring"), Random(1))
    transport = httpx.ASGITransport(SendFastPath(PlainTextResponse("app"), dependencies))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://simulator", headers=HEADERS
    ) as http_client:
        yield http_client


@pytest.mark.parametrize("path", ["/v25.0/5511/messages", "/5511/messages"])
async def test_message_is_recorded_and_its_id_returned(
    client: httpx.AsyncClient, ledger: FakeLedger, path: str
) -> None:
    response = await client.post(path, json=BODY)
    (message,) = ledger.messages
    assert (response.status_code, response.json()["messages"]) == (200, [{"id": message.wamid}])
    assert (message.phone_number_id, message.recipient) == ("5511", "5511999999999")


async def test_every_accepted_token_is_authorized(client: httpx.AsyncClient, ledger: FakeLedger) -> None:
    for token in ("secret", "retiring"):
        headers = {"Authorization": f"Bearer {token}"}
        assert (await client.post("/5511/messages", json=BODY, headers=headers)).status_code == 200
    assert len(ledger.messages) == 2


@pytest.mark.parametrize(
    ("path", "request_kwargs", "status"),
    [
        ("/latest/5511/messages", {"json": BODY}, 400),
        ("/v25.0/main/messages", {"json": BODY}, 400),
        ("/v25.0/5511/messages", {"json": BODY, "headers": {"Authorization": "Bearer other"}}, 401),
        ("/v25.0/5511/messages", {"json": {**BODY, "to": "nobody"}}, 400),
        ("/v25.0/5511/messages", {"content": "a" * (2 << 20)}, 413),
    ],
)
async def test_invalid_request_is_rejected_and_not_recorded(
    client: httpx.AsyncClient, ledger: FakeLedger, path: str, request_kwargs: dict[str, Any], status: int
) -> None:
    response = await client.post(path, **request_kwargs)
    assert response.status_code == status
    assert ledger.messages == []


async def test_streamed_body_above_the_limit_is_rejected(
    client: httpx.AsyncClient, ledger: FakeLedger
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 100_000

    response = await client.post("/v25.0/5511/messages", content=chunks())
    assert response.json()["error"]["code"] == 100
    assert ledger.messages == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/v25.0/5511/messages"), ("POST", "/v25.0/5511/media")])
async def test_other_requests_go_to_the_app(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await client.request(method, path)).text == "app"
