"""The face of the Cloud API: sends are answered here, everything else elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from starlette.responses import PlainTextResponse

from services.simulator.adapters.cloud_face import Face, Sends
from services.simulator.behaviour import Behaviour, Delay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.simulator.statuses import Report, Send

BODY = {"messaging_product": "whatsapp", "to": "+5511999999999", "type": "text", "text": {"body": "Olá"}}
HELD = {"Authorization": "Bearer secret"}


@dataclass
class FakeLedger:
    """Remembers what is recorded."""

    sends: list[Send] = field(default_factory=list)

    async def record(self, send: Send, _reports: Sequence[Report]) -> None:
        self.sends.append(send)


@dataclass
class FakeControls:
    """No faults, no delay."""

    current: Behaviour = field(default_factory=lambda: Behaviour(latency=Delay(median_ms=0)))


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
async def client(ledger: FakeLedger) -> AsyncIterator[httpx.AsyncClient]:
    face = Face(cast("Any", ledger), cast("Any", FakeControls()), b"secret", Random(1))
    transport = httpx.ASGITransport(Sends(PlainTextResponse("elsewhere"), face))
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator", headers=HELD) as client:
        yield client


@pytest.mark.parametrize("path", ["/v25.0/5511/messages", "/5511/messages"])
async def test_a_send_is_recorded_and_answered_with_its_id(
    client: httpx.AsyncClient, ledger: FakeLedger, path: str
) -> None:
    answer = await client.post(path, json=BODY)
    (send,) = ledger.sends
    assert (answer.status_code, answer.json()["messages"]) == (200, [{"id": send.wamid}])
    assert (send.phone_number_id, send.recipient) == ("5511", "5511999999999")


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        ("/latest/5511/messages", {"json": BODY}, 400),
        ("/v25.0/main/messages", {"json": BODY}, 400),
        ("/v25.0/5511/messages", {"json": BODY, "headers": {"Authorization": "Bearer other"}}, 401),
        ("/v25.0/5511/messages", {"json": {**BODY, "to": "nobody"}}, 400),
        ("/v25.0/5511/messages", {"content": "a" * (2 << 20)}, 413),
    ],
)
async def test_what_makes_no_sense_is_refused_and_not_recorded(
    client: httpx.AsyncClient, ledger: FakeLedger, path: str, asked: dict[str, Any], status: int
) -> None:
    answer = await client.post(path, **asked)
    assert answer.status_code == status
    assert ledger.sends == []


async def test_a_body_that_grows_beyond_the_limit_is_refused(
    client: httpx.AsyncClient, ledger: FakeLedger
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 100_000

    answer = await client.post("/v25.0/5511/messages", content=endless())
    assert answer.json()["error"]["code"] == 100
    assert ledger.sends == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/v25.0/5511/messages"), ("POST", "/v25.0/5511/media")])
async def test_all_else_is_answered_elsewhere(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await client.request(method, path)).text == "elsewhere"
