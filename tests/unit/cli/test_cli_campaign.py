"""A campaign from file to verdict, against a small platform of the same interface."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest

from cli.actions import campaign
from cli.edge import AwayError, Edge, RefusedError
from infra.errors import EsqError, UsageError
from infra.progress import RecordingProgress
from tests.clock import Clock

if TYPE_CHECKING:
    from pathlib import Path

KEY = "k" * 32


@dataclass
class FakePlatform:
    """Answers as the services behind the edge do, for `count` recipients."""

    count: int = 2500
    looks: int = 3
    failures: list[int | Exception] = field(default_factory=list)
    received: dict[int, int] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    imported: bytes = b""
    scopes: list[str] = field(default_factory=list)
    outcome: str = "finished"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return httpx.Response(failure, json={"title": "No", "detail": "not today"})
        token = jwt.decode(request.headers["authorization"].split()[1], KEY, algorithms=["HS256"])
        assert token["company"] == "acme"
        self.scopes.append(token["scope"])
        return self._answer(request, body)

    def _answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
        match request.method, request.url.path:
            case "PUT", "/connections/main":
                return httpx.Response(200, json=json.loads(body))
            case "POST", "/contacts/imports":
                self.imported = body
                rejected = [{"line": 4, "reason": "no phone number"}]
                name = request.url.params["list"]
                answer = {"import_id": "1", "list": name, "accepted": self.count, "duplicates": 0}
                return httpx.Response(201, json={**answer, "rejected": rejected, "rejected_total": 1})
            case "POST", "/campaigns":
                made = self.keys.setdefault(request.headers["idempotency-key"], f"c{len(self.keys)}")
                return httpx.Response(202, json={"id": made})
            case "POST", "/ledger/query":
                ids = json.loads(body)["ids"]
                assert len(ids) <= 1000
                return httpx.Response(200, json={each: self.received.get(int(each), 1) for each in ids})
            case "GET", path if path.endswith("/messages"):
                return httpx.Response(200, json=self._page(request.url.params))
            case _:
                return httpx.Response(200, json=self._progress())

    def _page(self, query: httpx.QueryParams) -> dict[str, Any]:
        first, limit = int(query.get("after", -1)) + 1, int(query["limit"])
        page = range(first, min(first + limit, self.count))
        rows = [{"id": str(each), "state": self.states.get(each, "delivered")} for each in page]
        return {"messages": rows, "next": rows[-1]["id"] if len(rows) == limit else None}

    def _progress(self) -> dict[str, Any]:
        self.looks -= 1
        done = self.looks <= 0
        counts = {"queued": 0 if done else 1000, "delivered": self.count if done else self.count - 1000}
        answer = {"state": self.outcome if done else "running", "failure": "list is empty"}
        return {**answer, "planned": self.count, "total": self.count, "counts": counts}


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform()


@pytest.fixture
def edge(platform: FakePlatform, clock: Clock) -> Edge:
    http = httpx.Client(transport=httpx.MockTransport(platform), base_url="https://edge")
    return Edge(http, KEY, "acme", deadline=60.0, clock=clock, sleep=clock.pass_by)


@pytest.fixture
def order(tmp_path: Path) -> campaign.Order:
    (tmp_path / "contacts.csv").write_text("name,phone\nAna,11955501000\n")
    (tmp_path / "welcome.txt").write_text("Olá {name}")
    return campaign.Order(tmp_path / "contacts.csv", tmp_path / "welcome.txt")


def send(order: campaign.Order, edge: Edge, tmp_path: Path) -> campaign.Sent:
    return campaign.send(order, edge, tmp_path / "keys", RecordingProgress())


def test_all_arrive(order: campaign.Order, edge: Edge, platform: FakePlatform, tmp_path: Path) -> None:
    sent = send(order, edge, tmp_path)
    assert platform.imported == order.contacts.read_bytes()
    assert sent.report()["rejected"] == {"total": 1, "rows": [{"line": 4, "reason": "no phone number"}]}
    assert (sent.planned, sent.counts["delivered"]) == (2500, 2500)
    assert sent.report()["verdict"] == {"lost": 0, "duplicated": 0, "uncertain": 0}


def test_each_token_allows_one_thing(
    order: campaign.Order, edge: Edge, platform: FakePlatform, tmp_path: Path
) -> None:
    send(order, edge, tmp_path)
    assert set(platform.scopes) == {
        "connections:write",
        "contacts:write",
        "campaigns:write",
        "campaigns:read",
        "ledger:read",
    }


@pytest.mark.parametrize(
    ("states", "received", "verdict"),
    [
        ({5: "delivered"}, {5: 0}, campaign.Verdict(1, 0, 0)),
        ({5: "accepted"}, {5: 0}, campaign.Verdict(1, 0, 0)),
        ({}, {2400: 2, 7: 3}, campaign.Verdict(0, 2, 0)),
        ({5: "uncertain"}, {5: 0}, campaign.Verdict(0, 0, 1)),
        ({5: "failed"}, {5: 0}, campaign.Verdict(0, 0, 0)),
    ],
)
def test_the_ledger_is_held_against_what_is_believed(
    edge: Edge,
    platform: FakePlatform,
    states: dict[int, str],
    received: dict[int, int],
    verdict: campaign.Verdict,
) -> None:
    platform.states, platform.received = states, received
    assert campaign.judge("c0", edge) == verdict


def test_lost_and_duplicated_break_the_promise_and_uncertain_does_not() -> None:
    assert campaign.Verdict(0, 0, 3).kept
    assert not campaign.Verdict(1, 0, 0).kept
    assert not campaign.Verdict(0, 1, 0).kept


def test_a_page_that_is_just_full_is_no_end(edge: Edge, platform: FakePlatform) -> None:
    platform.count = 2000
    assert [len(page) for page in campaign.messages("c0", edge)] == [1000, 1000, 0]


def test_cut_off_the_same_command_continues_the_same_campaign(
    order: campaign.Order, edge: Edge, platform: FakePlatform, tmp_path: Path
) -> None:
    platform.looks = 10_000
    with pytest.raises(EsqError, match="not ended in time") as error:
        send(order, edge, tmp_path)
    assert "Repeat" in error.value.remedy
    platform.looks, edge.deadline = 2, 1e6
    sent = send(order, edge, tmp_path)
    assert sent.continued
    assert len(platform.keys) == 1


def test_after_its_end_the_same_command_is_another_campaign(
    order: campaign.Order, edge: Edge, platform: FakePlatform, tmp_path: Path
) -> None:
    send(order, edge, tmp_path)
    assert not send(order, edge, tmp_path).continued
    assert len(platform.keys) == 2


def test_another_text_is_another_campaign(
    order: campaign.Order, edge: Edge, platform: FakePlatform, tmp_path: Path
) -> None:
    platform.looks = 10_000
    with pytest.raises(EsqError):
        send(order, edge, tmp_path)
    order.text.write_text("Tchau {name}")
    platform.looks, edge.deadline = 2, 1e6
    assert not send(order, edge, tmp_path).continued


def test_what_fails_in_passing_is_tried_again(
    order: campaign.Order, edge: Edge, platform: FakePlatform, tmp_path: Path, clock: Clock
) -> None:
    platform.failures = [503, httpx.ConnectError("refused"), 502, httpx.ReadTimeout("slow")]
    assert send(order, edge, tmp_path).verdict.kept
    assert clock.now > 0


def test_the_file_is_sent_from_its_beginning_at_each_try(
    order: campaign.Order, edge: Edge, platform: FakePlatform, tmp_path: Path
) -> None:
    campaign.send(order, edge, tmp_path / "keys", RecordingProgress())
    platform.failures = [503]
    campaign._import(order, edge, "list")
    assert platform.imported == order.contacts.read_bytes()


def test_a_refusal_is_final_and_told(edge: Edge, platform: FakePlatform, clock: Clock) -> None:
    platform.failures = [409]
    with pytest.raises(RefusedError, match="409: not today"):
        edge.call("PUT", "/connections/main", "connections:write", body={})
    assert clock.now == 0


def test_a_platform_that_stays_away_is_given_up_at_the_deadline(
    edge: Edge, platform: FakePlatform, clock: Clock
) -> None:
    platform.failures = [503] * 1000
    with pytest.raises(AwayError, match="503"):
        edge.call("GET", "/campaigns/c0", "campaigns:read")
    assert 50 < clock.now <= 60


def test_a_campaign_that_cannot_be_planned_says_why(
    order: campaign.Order, edge: Edge, platform: FakePlatform, tmp_path: Path
) -> None:
    platform.outcome = "failed"
    with pytest.raises(EsqError, match="list is empty"):
        send(order, edge, tmp_path)


def test_files_are_looked_for_before_anything_is_asked(order: campaign.Order, tmp_path: Path) -> None:
    campaign.check(order, "acme")
    with pytest.raises(UsageError, match="no such file"):
        campaign.check(campaign.Order(tmp_path / "none.csv", order.text), "acme")
    with pytest.raises(UsageError, match="whose"):
        campaign.check(order, "")


def test_numbers_are_the_same_for_the_same_names() -> None:
    assert campaign.number_of("acme", "main") == campaign.number_of("acme", "main")
    assert campaign.number_of("acme", "main") != campaign.number_of("globex", "main")
    assert campaign.number_of("acme", "main").isdigit()


@pytest.mark.parametrize(("done", "total", "share"), [(0, 0, "0%"), (5, 10, "50%"), (10, 10, "100%")])
def test_the_bar(done: int, total: int, share: str) -> None:
    assert share in campaign.bar(done, total)
