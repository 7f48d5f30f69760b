"""One trace of a campaign through all processes on real servers, as a collector receives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from infra.processes import Process
from services.kit.http.auth import JwtTokens
from tests.servers.collector import Collector
from tests.servers.process import wait_until
from tests.servers.redis import Redis
from tests.servers.service import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.conftest import TestDatabase
    from tests.servers.collector import CollectedSpan
    from tests.servers.kafka import Kafka

pytestmark = pytest.mark.integration
KEY = "a-key-of-forty-characters-for-the-tokens"
TRACE_ID, CALLER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{CALLER_SPAN}-01"
PHONES = ("+5511980000001", "+5511980000002", "+5511980000003")
TEXT = "Oi, tudo bem?"
LIST = "friends"
PATH_OF_A_MESSAGE = {
    "campaigns-api": {"POST /campaigns"},
    "campaigns-planner": {"plan campaign", "GET", "send message.requested"},
    "contacts-api": {"GET /contacts/lists/{name}/contacts"},
    "whatsapp-worker": {"process message.requested", "send message.status"},
    "whatsapp-dispatcher": {"wait in queue", "send message", "POST", "record results"},
    "whatsapp-webhooks": {"apply status"},
    "campaigns-worker": {"process message.status"},
}
"""Names of the spans of each process."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def start(
    test_database: TestDatabase, clean_kafka: Kafka, redis: Redis, collector: Collector, tmp_path: Path
) -> Iterator[Callable[..., ServiceProcess]]:
    """Return a function that starts a process, which records the traces of callers that record them."""
    started: list[ServiceProcess] = []
    shared = {
        "ESQ_TOKEN_KEYS": KEY,
        "ESQ_APP_SECRETS": "app-secret",
        "ESQ_VERIFY_TOKENS": "verify",
        "ESQ_CLOUD_API_TOKENS": "cloud-token",
        "ESQ_REDIS_SERVER": redis.address,
        "ESQ_TRACES_ENDPOINT": collector.url,
        "ESQ_TRACES_RATIO": "0",
    }

    def start(service: str, process_type: str, **settings: str) -> ServiceProcess:
        own = {
            "ESQ_DATABASE_URL": test_database.url(service),
            "ESQ_PROCESS": Process(service, process_type).name,
            **(clean_kafka.account(service) if service != "contacts" else {}),
        }
        process = ServiceProcess(service, process_type, tmp_path, shared | own | settings)
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()


def client_of_company(**headers: str) -> httpx.Client:
    scopes = (
        *("contacts:write", "contacts:read", "campaigns:write", "campaigns:read"),
        *("connections:write", "simulator:faults"),
    )
    token = JwtTokens(KEY).issue("tester", "acme", scopes)
    return httpx.Client(headers={"Authorization": f"Bearer {token}", **headers}, timeout=60, trust_env=False)


def deliver_at_once(client: httpx.Client, simulator: ServiceProcess) -> None:
    delay = {"median_ms": 20}
    faults = {
        "latency": {"median_ms": 5},
        "sent": delay,
        "delivered": delay,
        "read": delay,
        "read_rate": 0,
        "failed_rate": 0,
    }
    client.put(f"{simulator.url}/faults", json=faults).raise_for_status()


def span_names(spans: list[CollectedSpan]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for span in spans:
        names.setdefault(span.resource["service.name"], set()).add(span.name)
    return names


def test_trace_of_a_campaign_reaches_from_the_request_to_the_last_status(
    start: Callable[..., ServiceProcess], collector: Collector
) -> None:
    contacts, campaigns = start("contacts", "api"), start("campaigns", "api")
    whatsapp = start("whatsapp", "api")
    simulator = start("simulator", "api", ESQ_WEBHOOK_URL=f"{whatsapp.url}/webhooks/cloud")
    provider = {"ESQ_CLOUD_API_URL": simulator.url}
    with client_of_company() as client:
        deliver_at_once(client, simulator)
        connection = {"phone_number_id": "123456", "messages_per_second": 2000}
        client.put(f"{whatsapp.url}/connections/main", json=connection).raise_for_status()
        rows = "name,phone\n" + "".join(f"P,{phone}\n" for phone in PHONES)
        imported = client.post(f"{contacts.url}/contacts/imports", params={"list": LIST}, content=rows)
        assert imported.json()["accepted"] == len(PHONES)
    planner = start("campaigns", "planner", ESQ_CONTACTS_URL=contacts.url)
    for process_type in ("worker", "dispatcher", "webhooks"):
        start("whatsapp", process_type, **provider)
    start("campaigns", "worker")
    body = {"name": "Welcome", "list": LIST, "text": TEXT, "connection": "main"}
    with client_of_company(traceparent=TRACEPARENT) as client:
        refused = client.post(f"{campaigns.url}/campaigns", json={}, headers={"Idempotency-Key": "first-key"})
        assert refused.json()["trace_id"] == TRACE_ID
        created = client.post(
            f"{campaigns.url}/campaigns", json=body, headers={"Idempotency-Key": "other-key"}
        )
        campaign = created.raise_for_status().json()["id"]

    def missing() -> dict[str, set[str]]:
        received = span_names(collector.trace(TRACE_ID))
        return {
            process: names - received.get(process, set())
            for process, names in PATH_OF_A_MESSAGE.items()
            if names - received.get(process, set())
        }

    try:
        wait_until("all spans of the trace", lambda: not missing(), 90)
    except TimeoutError as error:
        raise AssertionError(f"missing: {missing()}") from error
    spans = collector.trace(TRACE_ID)
    ids = {span.span_id for span in spans} | {CALLER_SPAN}
    assert {span.name for span in spans if span.parent_id not in ids} == set()
    assert {span.attributes.get("esq.campaign.id", campaign) for span in spans} == {campaign}
    assert [span.attributes["esq.outcome"] for span in spans if span.name == "send message"] == ["accepted"]
    assert {span.attributes["esq.outcome"] for span in spans if span.name == "apply status"} == {
        "sent",
        "delivered",
    }
    assert_nothing_private(collector.spans)
    assert_only_linked_batches(collector.spans)
    assert f'"trace_id": "{TRACE_ID}"' in planner.tail()


def assert_nothing_private(spans: list[CollectedSpan]) -> None:
    values: list[Any] = [value for span in spans for value in (span.name, *span.attributes.values())]
    for private in (*PHONES, *(phone[1:] for phone in PHONES), TEXT, "acme", LIST):
        assert [value for value in values if private in str(value)] == []


def assert_only_linked_batches(spans: list[CollectedSpan]) -> None:
    """Nothing of other traces is recorded, but batches that this trace caused with others."""
    roots = [span for span in spans if span.trace_id != TRACE_ID and not span.parent_id]
    assert [span.name for span in roots if TRACE_ID not in span.links] == []
