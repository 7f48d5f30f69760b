"""`esq campaign list | show | pause | …` against the real routes of the service, over the fake store."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from cli.actions import campaign_admin as action
from cli.actions import platform_access
from cli.actions import send_campaign as campaign_action
from cli.main import run
from cli.platform_client import PlatformClient
from services.campaigns.bootstrap import build_app
from services.campaigns.commands import CreateCampaign, PlanNextChunk
from services.campaigns.domain.model import Recipient
from services.campaigns.fakes import FakeContactsClient, FakeUnitOfWorkFactory
from services.campaigns.handlers import create_campaign
from services.campaigns.jobs.planning import plan_next_chunk
from services.campaigns.settings import ApiSettings
from services.kit.ids import uuid7
from services.kit.observability.health import Health
from tests.clock import FakeClock
from tests.servers.asgi import client_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

KEY = "k" * 32
COMMAND = CreateCampaign("acme", "Welcome", "friends", "Oi {name}!", "main", idempotency_key="key-0001")


@pytest.fixture
def uow_factory() -> FakeUnitOfWorkFactory:
    return FakeUnitOfWorkFactory()


@pytest.fixture
def campaign(uow_factory: FakeUnitOfWorkFactory) -> UUID:
    """A running campaign with five messages."""
    recipients = [Recipient(uuid7(), uuid7(), f"+55119{n:08d}", "") for n in range(5)]

    async def make() -> UUID:
        created = await create_campaign(COMMAND, uow_factory)
        await plan_next_chunk(
            PlanNextChunk(10, 15), uow_factory, FakeContactsClient({("acme", "friends"): recipients})
        )
        return created

    return asyncio.run(make())


@pytest.fixture
def client(uow_factory: FakeUnitOfWorkFactory, monkeypatch: pytest.MonkeyPatch) -> PlatformClient:
    settings = ApiSettings(database_url=SecretStr("postgresql://u@h/d"), token_keys=(SecretStr(KEY),))
    clock = FakeClock(0.0)
    created = PlatformClient(
        client_for(build_app(settings, Health(), uow_factory)),
        KEY,
        "acme",
        60.0,
        environment="local",
        clock=clock,
        sleep=clock.advance,
    )

    @contextmanager
    def open_platform_client(*_args: object) -> Iterator[PlatformClient]:
        yield created

    monkeypatch.setattr(platform_access, "open_platform_client", open_platform_client)
    return created


@pytest.mark.usefixtures("client")
def test_campaign_is_paused_resumed_and_cancelled(campaign: UUID, capsys: pytest.CaptureFixture[str]) -> None:
    states = []
    for command in ("show", "pause", "pause", "resume", "cancel"):
        assert run(["campaign", command, "local", str(campaign), "--company", "acme", "--json"]) == 0
        states.append(json.loads(capsys.readouterr().out)["state"])
    assert states == ["running", "paused", "paused", "planning", "cancelled"]


@pytest.mark.usefixtures("client")
def test_impossible_state_change_names_possible_ones(
    campaign: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["campaign", "resume", "local", str(campaign), "--company", "acme"]) == 0, "it runs already"
    assert run(["campaign", "cancel", "local", str(campaign), "--company", "acme"]) == 0
    capsys.readouterr()
    assert run(["campaign", "start", "local", str(campaign), "--company", "acme"]) == 1
    assert "start is not allowed; allowed: clone" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("client")
def test_invalid_campaign_id_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["campaign", "show", "local", "nonsense", "--company", "acme"]) == 2
    assert "CAMPAIGN" in capsys.readouterr().err


def test_campaigns_are_listed_across_pages(
    client: PlatformClient, uow_factory: FakeUnitOfWorkFactory
) -> None:
    async def make() -> list[UUID]:
        return [
            await create_campaign(
                replace(COMMAND, idempotency_key=f"key-{number:04d}", start=False), uow_factory
            )
            for number in range(150)
        ]

    created = asyncio.run(make())
    assert [campaign["id"] for campaign in action.list_campaigns(client, 120)] == [
        str(campaign_id) for campaign_id in created[:-121:-1]
    ]
    assert len(action.list_campaigns(client, 1000)) == 150


@pytest.mark.usefixtures("client")
def test_list_prints_a_table(campaign: UUID, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["campaign", "list", "local", "--company", "acme"]) == 0
    printed = capsys.readouterr().out
    assert "Welcome" in printed
    assert str(campaign) in printed


def test_export_has_one_row_per_message(
    client: PlatformClient, campaign: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_action, "PAGE_SIZE", 2)
    written = io.StringIO()
    assert action.export_messages(client, str(campaign), written) == 5
    rows = list(csv.DictReader(io.StringIO(written.getvalue())))
    assert len({row["id"] for row in rows}) == len({row["contact_id"] for row in rows}) == 5
    assert {row["state"] for row in rows} == {"queued"}
