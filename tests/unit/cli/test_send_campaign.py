"""Sending and reconciling a campaign, against a fake platform with the same HTTP interface."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest

from cli.actions import send_campaign
from cli.platform_client import PlatformClient, PlatformUnavailableError, RequestRejectedError
from infra.errors import EsqError, UsageError
from infra.progress import RecordingProgress
from tests.clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

KEY = "k" * 32


@dataclass
class FakePlatform:
    """Responds like the services behind the client, for `count` recipients."""

    count: int = 2500
    polls: int = 3
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
        return self._respond(request, body)

    def _respond(self, request: httpx.Request, body: bytes) -> httpx.Response:
        match request.method, request.url.path:
            case "PUT", "/connections/main":
                return httpx.Response(200, json=json.loads(body))
            case "POST", "/contacts/imports":
                self.imported = body
                rejected = [{"line": 4, "reason": "no phone number"}]
                name = request.url.params["list"]
                response = {"import_id": "1", "list": name, "accepted": self.count, "duplicates": 0}
                return httpx.Response(201, json={**response, "rejected": rejected, "rejected_total": 1})
            case "POST", "/campaigns":
                created = self.keys.setdefault(request.headers["idempotency-key"], f"c{len(self.keys)}")
                return httpx.Response(202, json={"id": created})
            case "POST", "/ledger/query":
                ids = json.loads(body)["ids"]
                assert len(ids) <= 1000
                return httpx.Response(
                    200, json={message_id: self.received.get(int(message_id), 1) for message_id in ids}
                )
            case "GET", path if path.endswith("/messages"):
                return httpx.Response(200, json=self._page(request.url.params))
            case _:
                return httpx.Response(200, json=self._progress())

    def _page(self, query: httpx.QueryParams) -> dict[str, Any]:
        first, limit = int(query.get("after", -1)) + 1, int(query["limit"])
        page = range(first, min(first + limit, self.count))
        rows = [
            {"id": str(message_id), "state": self.states.get(message_id, "delivered")} for message_id in page
        ]
        return {"messages": rows, "next": rows[-1]["id"] if len(rows) == limit else None}

    def _progress(self) -> dict[str, Any]:
        self.polls -= 1
        done = self.polls <= 0
        counts = {"queued": 0 if done else 1000, "delivered": self.count if done else self.count - 1000}
        response = {"state": self.outcome if done else "running", "failure": "list is empty"}
        return {**response, "planned": self.count, "total": self.count, "counts": counts}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(0.0)


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform()


@pytest.fixture
def client(platform: FakePlatform, clock: FakeClock) -> PlatformClient:
    http = httpx.Client(transport=httpx.MockTransport(platform), base_url="https://platform.test")
    return PlatformClient(
        http, KEY, "acme", deadline=60.0, environment="local", clock=clock, sleep=clock.advance
    )


@pytest.fixture
def send_request(tmp_path: Path) -> send_campaign.SendRequest:
    (tmp_path / "contacts.csv").write_text("name,phone\nAna,11955501000\n")
    (tmp_path / "welcome.txt").write_text("Olá {name}")
    return send_campaign.SendRequest(tmp_path / "contacts.csv", tmp_path / "welcome.txt")


def send(
    send_request: send_campaign.SendRequest, client: PlatformClient, tmp_path: Path
) -> send_campaign.SendResult:
    return send_campaign.send_campaign(send_request, client, tmp_path / "keys", RecordingProgress())


def test_all_messages_are_delivered(
    send_request: send_campaign.SendRequest, client: PlatformClient, platform: FakePlatform, tmp_path: Path
) -> None:
    result = send(send_request, client, tmp_path)
    assert platform.imported == send_request.contacts.read_bytes()
    assert result.to_dict()["rejected"] == {"total": 1, "rows": [{"line": 4, "reason": "no phone number"}]}
    assert (result.planned, result.counts["delivered"]) == (2500, 2500)
    assert result.to_dict()["reconciliation"] == {"lost": 0, "duplicated": 0, "uncertain": 0}


def test_each_token_has_one_scope(
    send_request: send_campaign.SendRequest, client: PlatformClient, platform: FakePlatform, tmp_path: Path
) -> None:
    send(send_request, client, tmp_path)
    assert set(platform.scopes) == {
        "connections:write",
        "contacts:write",
        "campaigns:write",
        "campaigns:read",
        "ledger:read",
    }


@pytest.mark.parametrize(
    ("states", "received", "reconciliation"),
    [
        ({5: "delivered"}, {5: 0}, send_campaign.Reconciliation(1, 0, 0)),
        ({5: "accepted"}, {5: 0}, send_campaign.Reconciliation(1, 0, 0)),
        ({}, {2400: 2, 7: 3}, send_campaign.Reconciliation(0, 2, 0)),
        ({5: "uncertain"}, {5: 0}, send_campaign.Reconciliation(0, 0, 1)),
        ({5: "failed"}, {5: 0}, send_campaign.Reconciliation(0, 0, 0)),
    ],
)
def test_reconcile_compares_states_with_the_ledger(
    client: PlatformClient,
    platform: FakePlatform,
    states: dict[int, str],
    received: dict[int, int],
    reconciliation: send_campaign.Reconciliation,
) -> None:
    platform.states, platform.received = states, received
    assert send_campaign.reconcile("c0", client) == reconciliation


def test_reconciliation_fails_on_lost_and_duplicated_but_not_on_uncertain() -> None:
    assert send_campaign.Reconciliation(0, 0, 3).passed
    assert not send_campaign.Reconciliation(1, 0, 0).passed
    assert not send_campaign.Reconciliation(0, 1, 0).passed


def test_full_page_is_followed_by_another(client: PlatformClient, platform: FakePlatform) -> None:
    platform.count = 2000
    assert [len(page) for page in send_campaign.iterate_messages("c0", client)] == [1000, 1000, 0]


def test_repeated_command_continues_an_interrupted_campaign(
    send_request: send_campaign.SendRequest, client: PlatformClient, platform: FakePlatform, tmp_path: Path
) -> None:
    platform.polls = 10_000
    with pytest.raises(EsqError, match="did not end in time") as error:
        send(send_request, client, tmp_path)
    assert "Repeat" in error.value.remedy
    platform.polls, client.deadline = 2, 1e6
    result = send(send_request, client, tmp_path)
    assert result.continued
    assert len(platform.keys) == 1


def test_repeated_command_after_the_end_creates_a_new_campaign(
    send_request: send_campaign.SendRequest, client: PlatformClient, platform: FakePlatform, tmp_path: Path
) -> None:
    send(send_request, client, tmp_path)
    assert not send(send_request, client, tmp_path).continued
    assert len(platform.keys) == 2


def test_changed_template_creates_a_new_campaign(
    send_request: send_campaign.SendRequest, client: PlatformClient, platform: FakePlatform, tmp_path: Path
) -> None:
    platform.polls = 10_000
    with pytest.raises(EsqError):
        send(send_request, client, tmp_path)
    send_request.template.write_text("Tchau {name}")
    platform.polls, client.deadline = 2, 1e6
    assert not send(send_request, client, tmp_path).continued


def test_transient_failures_are_retried(
    send_request: send_campaign.SendRequest,
    client: PlatformClient,
    platform: FakePlatform,
    tmp_path: Path,
    clock: FakeClock,
) -> None:
    platform.failures = [503, httpx.ConnectError("refused"), 502, httpx.ReadTimeout("slow")]
    assert send(send_request, client, tmp_path).reconciliation.passed
    assert clock.now > 0


def test_retried_import_sends_the_whole_file(
    send_request: send_campaign.SendRequest, client: PlatformClient, platform: FakePlatform, tmp_path: Path
) -> None:
    send_campaign.send_campaign(send_request, client, tmp_path / "keys", RecordingProgress())
    platform.failures = [503]
    send_campaign._import_contacts(send_request, client, "list")
    assert platform.imported == send_request.contacts.read_bytes()


def test_rejected_request_is_not_retried(
    client: PlatformClient, platform: FakePlatform, clock: FakeClock
) -> None:
    platform.failures = [409]
    with pytest.raises(RequestRejectedError, match="409: not today"):
        client.call("PUT", "/connections/main", "connections:write", body={})
    assert clock.now == 0


def test_a_replaced_token_key_is_read_again(client: PlatformClient, platform: FakePlatform) -> None:
    platform.failures = [401]
    client.token_key, client.read_token_key = "retired" * 8, lambda: KEY
    client.call("GET", "/campaigns/c0", "campaigns:read")
    assert platform.scopes == ["campaigns:read"]


def test_a_rejected_token_with_the_used_key_is_an_error(
    client: PlatformClient, platform: FakePlatform
) -> None:
    platform.failures = [401, 401]
    client.read_token_key = lambda: KEY
    with pytest.raises(RequestRejectedError, match="401"):
        client.call("GET", "/campaigns/c0", "campaigns:read")


def test_unavailable_platform_raises_at_the_deadline(
    client: PlatformClient, platform: FakePlatform, clock: FakeClock
) -> None:
    platform.failures = [503] * 1000
    with pytest.raises(PlatformUnavailableError, match="503"):
        client.call("GET", "/campaigns/c0", "campaigns:read")
    assert 50 < clock.now <= 60


def test_failed_campaign_raises_its_reason(
    send_request: send_campaign.SendRequest, client: PlatformClient, platform: FakePlatform, tmp_path: Path
) -> None:
    platform.outcome = "failed"
    with pytest.raises(EsqError, match="list is empty"):
        send(send_request, client, tmp_path)


def test_missing_files_and_company_are_usage_errors(
    send_request: send_campaign.SendRequest, tmp_path: Path
) -> None:
    send_campaign.validate(send_request, "acme")
    with pytest.raises(UsageError, match="no such file"):
        send_campaign.validate(
            send_campaign.SendRequest(tmp_path / "none.csv", send_request.template), "acme"
        )
    with pytest.raises(UsageError, match="company is empty"):
        send_campaign.validate(send_request, "")


def test_phone_number_id_is_deterministic() -> None:
    assert send_campaign.phone_number_id("acme", "main") == send_campaign.phone_number_id("acme", "main")
    assert send_campaign.phone_number_id("acme", "main") != send_campaign.phone_number_id("globex", "main")
    assert send_campaign.phone_number_id("acme", "main").isdigit()


@pytest.mark.parametrize(("done", "total", "share"), [(0, 0, "0%"), (5, 10, "50%"), (10, 10, "100%")])
def test_progress_bar(done: int, total: int, share: str) -> None:
    assert share in send_campaign.progress_bar(done, total)
