"""`esq campaign list | show | pause | …` against the very addresses of the service, over the fake store."""

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

from cli.actions import campaign as campaign_action
from cli.actions import campaigns as action
from cli.actions import doors
from cli.edge import Edge
from cli.main import run
from services.campaigns.bootstrap import build_app
from services.campaigns.commands import CreateCampaign, PlanNextChunk
from services.campaigns.domain.model import Recipient
from services.campaigns.fakes import FakeContactsClient, FakeUnitOfWorkFactory
from services.campaigns.handlers import create_campaign
from services.campaigns.jobs.planning import plan_next_chunk
from services.campaigns.settings import ApiSettings
from services.kit.health import Health
from services.kit.ids import uuid7
from tests.clock import Clock
from tests.controllers.asgi import client_of

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
    """Return a campaign of five messages that is running."""
    people = [Recipient(uuid7(), uuid7(), f"+55119{n:08d}", "") for n in range(5)]

    async def make() -> UUID:
        made = await create_campaign(COMMAND, uow_factory)
        await plan_next_chunk(PlanNextChunk(10, 15), uow_factory, FakeContactsClient({("acme", "friends"): people}))
        return made

    return asyncio.run(make())


@pytest.fixture
def edge(uow_factory: FakeUnitOfWorkFactory, monkeypatch: pytest.MonkeyPatch) -> Edge:
    settings = ApiSettings(database_url=SecretStr("postgresql://u@h/d"), token_key=SecretStr(KEY))
    clock = Clock(0.0)
    made = Edge(
        client_of(build_app(settings, Health(), uow_factory)), KEY, "acme", 60.0, clock=clock, sleep=clock.pass_by
    )

    @contextmanager
    def through_the_edge(*_given: object) -> Iterator[Edge]:
        yield made

    monkeypatch.setattr(doors, "through_the_edge", through_the_edge)
    return made


@pytest.mark.usefixtures("edge")
def test_a_campaign_is_paused_resumed_and_cancelled(
    campaign: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = []
    for command in ("show", "pause", "pause", "resume", "cancel"):
        assert run(["campaign", command, str(campaign), "--company", "acme", "--json"]) == 0
        stages.append(json.loads(capsys.readouterr().out)["state"])
    assert stages == ["running", "paused", "paused", "planning", "cancelled"]


@pytest.mark.usefixtures("edge")
def test_what_is_not_possible_is_said_with_what_is(
    campaign: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["campaign", "resume", str(campaign), "--company", "acme"]) == 0, "it runs already"
    assert run(["campaign", "cancel", str(campaign), "--company", "acme"]) == 0
    capsys.readouterr()
    assert run(["campaign", "start", str(campaign), "--company", "acme"]) == 1
    assert "start is not allowed; allowed: clone" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("edge")
def test_an_id_that_is_none_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["campaign", "show", "nonsense", "--company", "acme"]) == 2
    assert "CAMPAIGN" in capsys.readouterr().err


def test_campaigns_are_listed_over_pages(edge: Edge, uow_factory: FakeUnitOfWorkFactory) -> None:
    async def make() -> list[UUID]:
        return [
            await create_campaign(replace(COMMAND, idempotency_key=f"key-{place:04d}", start=False), uow_factory)
            for place in range(150)
        ]

    made = asyncio.run(make())
    assert [each["id"] for each in action.latest(edge, 120)] == [str(one) for one in made[:-121:-1]]
    assert len(action.latest(edge, 1000)) == 150


@pytest.mark.usefixtures("edge")
def test_the_list_is_for_people_too(campaign: UUID, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["campaign", "list", "--company", "acme"]) == 0
    printed = capsys.readouterr().out
    assert "Welcome" in printed
    assert str(campaign) in printed


def test_an_export_has_a_line_for_each_message(
    edge: Edge, campaign: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_action, "PAGE", 2)
    written = io.StringIO()
    assert action.export(edge, str(campaign), written) == 5
    rows = list(csv.DictReader(io.StringIO(written.getvalue())))
    assert len({row["id"] for row in rows}) == len({row["contact_id"] for row in rows}) == 5
    assert {row["state"] for row in rows} == {"queued"}
