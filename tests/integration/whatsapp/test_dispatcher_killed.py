"""A dispatcher killed at any moment loses no message and sends none twice."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from services.whatsapp.settings import DispatcherSettings
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from tests.integration.whatsapp.conftest import PlatformUnderTest

pytestmark = pytest.mark.integration
MESSAGES = 500
SHORT_LEASES = {"ESQ_ATTEMPT_TIMEOUT_SECONDS": "2", "ESQ_RESULT_GRACE_SECONDS": "1"}
OPEN = {"queued", "leased"}


def wait_until_received(platform: PlatformUnderTest, count: int) -> None:
    """Wait until the simulator has received this many messages."""
    query = "SELECT count(*) FROM simulator.received_messages"
    wait_until(f"{count} messages are received", lambda: int(platform.database.execute(query)) >= count, 60)


def test_dispatcher_killed_three_times_sends_every_message_at_most_once(
    platform: PlatformUnderTest, kafka_settings: dict[str, str]
) -> None:
    simulator = platform.start_simulator(latency={"median_ms": 100}, webhooks=False)
    api = platform.start("whatsapp", "api")
    platform.start("whatsapp", "worker", **kafka_settings, ESQ_SWEEP_INTERVAL_SECONDS="0.5")
    platform.put_connection(api)
    ids = platform.queue_messages(MESSAGES)
    for fifth in (1, 2, 3):
        dispatcher = platform.start("whatsapp", "dispatcher", **SHORT_LEASES)
        wait_until_received(platform, fifth * MESSAGES // 5)
        dispatcher.kill()
    platform.start("whatsapp", "dispatcher", **SHORT_LEASES)
    wait_until("no message is open", lambda: not OPEN & platform.state_counts().keys(), 90)

    counts = platform.received_counts(simulator, ids)
    states = Counter(platform.state_counts())
    assert max(counts.values()) == 1, "a message was sent twice"
    assert states["accepted"] + states["uncertain"] == MESSAGES
    lost = MESSAGES - sum(counts.values())
    assert lost <= states["uncertain"], "a message was lost without being uncertain"
    assert states["uncertain"] <= 3 * DispatcherSettings.model_fields["concurrency"].default, (
        "more messages are uncertain than calls were in flight"
    )


def test_webhooks_resolve_messages_of_a_killed_dispatcher(
    platform: PlatformUnderTest, kafka_settings: dict[str, str]
) -> None:
    api = platform.start("whatsapp", "api")
    platform.settings["ESQ_WEBHOOK_URL"] = f"{api.url}/webhooks/cloud"
    simulator = platform.start_simulator(
        latency={"median_ms": 100}, sent={"median_ms": 6000, "spread": 0}, failed_rate=0
    )
    platform.start("whatsapp", "worker", **kafka_settings, ESQ_SWEEP_INTERVAL_SECONDS="0.5")
    platform.start("whatsapp", "webhooks")
    platform.put_connection(api)
    ids = platform.queue_messages(200)
    dispatcher = platform.start("whatsapp", "dispatcher", **SHORT_LEASES)
    wait_until_received(platform, 60)
    dispatcher.kill()
    wait_until("expired leases are uncertain", lambda: "leased" not in platform.state_counts(), 30)
    platform.start("whatsapp", "dispatcher", **SHORT_LEASES)
    received = {}

    def resolved() -> bool:
        received.update(platform.received_counts(simulator, ids))
        states = platform.state_counts()
        unreceived = sum(count == 0 for count in received.values())
        return states.get("uncertain", 0) == unreceived and not (OPEN | {"accepted"}) & states.keys()

    wait_until("only messages that were never received are uncertain", resolved, 60)
    assert max(received.values()) == 1
    assert set(platform.state_counts()) - {"uncertain"} <= {"sent", "delivered", "read"}


def test_two_dispatchers_never_send_the_same_message(platform: PlatformUnderTest) -> None:
    simulator = platform.start_simulator(latency={"median_ms": 20}, webhooks=False)
    api = platform.start("whatsapp", "api")
    platform.put_connection(api)
    for _ in range(2):
        platform.start("whatsapp", "dispatcher")
    ids = platform.queue_messages(MESSAGES)
    wait_until("all are accepted", lambda: platform.state_counts() == {"accepted": MESSAGES}, 90)
    assert set(platform.received_counts(simulator, ids).values()) == {1}


def test_rate_of_a_connection_is_shared_by_all_dispatchers(platform: PlatformUnderTest) -> None:
    platform.start_simulator(latency={"median_ms": 0}, webhooks=False)
    api = platform.start("whatsapp", "api")
    platform.put_connection(api, rate=40)
    for _ in range(2):
        platform.start("whatsapp", "dispatcher")
    started_at = time.monotonic()
    platform.queue_messages(200)
    wait_until("all are accepted", lambda: platform.state_counts() == {"accepted": 200}, 90)
    assert time.monotonic() - started_at >= 200 / 40 - 1


def test_transient_errors_are_retried_and_messages_received_once(platform: PlatformUnderTest) -> None:
    simulator = platform.start_simulator(latency={"median_ms": 5}, webhooks=False, error_rates={131000: 0.3})
    api = platform.start("whatsapp", "api")
    platform.put_connection(api)
    ids = platform.queue_messages(100)
    platform.start("whatsapp", "dispatcher", ESQ_MAX_ATTEMPTS="50")
    wait_until("all are accepted", lambda: platform.state_counts() == {"accepted": 100}, 120)
    assert set(platform.received_counts(simulator, ids).values()) == {1}


def test_messages_wait_while_the_simulator_is_down(platform: PlatformUnderTest) -> None:
    simulator = platform.start_simulator(latency={"median_ms": 5}, webhooks=False)
    api = platform.start("whatsapp", "api")
    platform.put_connection(api)
    simulator.stop()
    ids = platform.queue_messages(20)
    platform.start("whatsapp", "dispatcher")
    query = "SELECT min(attempts) FROM whatsapp.messages"
    wait_until("every message was tried", lambda: int(platform.database.execute(query)) >= 1, 60)
    assert "uncertain" not in platform.state_counts()
    simulator.start()
    wait_until("all are accepted", lambda: platform.state_counts() == {"accepted": 20}, 90)
    assert set(platform.received_counts(simulator, ids).values()) == {1}
