"""The promise itself: a dispatcher killed at any moment loses nothing and sends nothing twice."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from services.whatsapp.settings import DispatcherSettings
from tests.controllers.process import await_true

if TYPE_CHECKING:
    from tests.integration.whatsapp.conftest import Platform

pytestmark = pytest.mark.integration
MESSAGES = 500
QUICK_LEASES = {
    "ESQ_ATTEMPT_SECONDS": "2",
    "ESQ_GRACE_SECONDS_FOR_RESULTS": "1",
    "ESQ_CLAIM_LEASE_SECONDS": "2",
}
OPEN = {"queued", "claimed"}


def await_sent(platform: Platform, count: int) -> None:
    """Wait until the simulator has received so many."""
    await_true(
        f"{count} messages were received",
        lambda: int(platform.database.execute("SELECT count(*) FROM simulator.sends")) >= count,
        60,
    )


def test_killed_three_times_in_the_middle(platform: Platform, kafka_settings: dict[str, str]) -> None:
    simulator = platform.start_simulator(latency={"median_ms": 100}, callbacks=False)
    api = platform.start("whatsapp", "api")
    platform.start("whatsapp", "worker", **kafka_settings, ESQ_SWEEP_SECONDS="0.5")
    platform.connect(api)
    ids = platform.request(MESSAGES)
    for part in (1, 2, 3):
        dispatcher = platform.start("whatsapp", "dispatcher", **QUICK_LEASES)
        await_sent(platform, part * MESSAGES // 5)
        dispatcher.kill()
    platform.start("whatsapp", "dispatcher", **QUICK_LEASES)
    await_true("no message is open", lambda: not OPEN & platform.states().keys(), 90)

    counts = platform.received(simulator, ids)
    states = Counter(platform.states())
    assert max(counts.values()) == 1, "a message was sent twice"
    assert states["accepted"] + states["uncertain"] == MESSAGES
    lost = MESSAGES - sum(counts.values())
    assert lost <= states["uncertain"], "a message was lost without being called uncertain"
    assert states["uncertain"] <= 3 * DispatcherSettings.model_fields["concurrency"].default, (
        "more uncertain than calls were under way"
    )


def test_callbacks_settle_what_a_killed_dispatcher_left_uncertain(
    platform: Platform, kafka_settings: dict[str, str]
) -> None:
    api = platform.start("whatsapp", "api")
    platform.settings["ESQ_CALLBACK_URL"] = f"{api.url}/webhooks/cloud"
    simulator = platform.start_simulator(
        latency={"median_ms": 100}, sent={"median_ms": 6000, "spread": 0}, failed_rate=0
    )
    platform.start("whatsapp", "worker", **kafka_settings, ESQ_SWEEP_SECONDS="0.5")
    platform.start("whatsapp", "callbacks")
    platform.connect(api)
    ids = platform.request(200)
    dispatcher = platform.start("whatsapp", "dispatcher", **QUICK_LEASES)
    await_sent(platform, 60)
    dispatcher.kill()
    await_true("the lapsed attempts are uncertain", lambda: "claimed" not in platform.states(), 30)
    platform.start("whatsapp", "dispatcher", **QUICK_LEASES)
    received = {}

    def settled() -> bool:
        received.update(platform.received(simulator, ids))
        return (
            platform.states().get("uncertain", 0) == sum(count == 0 for count in received.values())
            and not (OPEN | {"accepted"}) & platform.states().keys()
        )

    await_true("only what never arrived is uncertain", settled, 60)
    assert max(received.values()) == 1
    reached = set(platform.states()) - {"uncertain"}
    assert reached <= {"sent", "delivered", "read"}


def test_two_dispatchers_never_send_the_same_message(platform: Platform) -> None:
    simulator = platform.start_simulator(latency={"median_ms": 20}, callbacks=False)
    api = platform.start("whatsapp", "api")
    platform.connect(api)
    for _ in range(2):
        platform.start("whatsapp", "dispatcher")
    ids = platform.request(MESSAGES)
    await_true("all are accepted", lambda: platform.states() == {"accepted": MESSAGES}, 90)
    assert set(platform.received(simulator, ids).values()) == {1}


def test_the_rate_of_a_number_is_shared_by_all_dispatchers(platform: Platform) -> None:
    platform.start_simulator(latency={"median_ms": 0}, callbacks=False)
    api = platform.start("whatsapp", "api")
    platform.connect(api, rate=40)
    for _ in range(2):
        platform.start("whatsapp", "dispatcher")
    began = time.monotonic()
    platform.request(200)
    await_true("all are accepted", lambda: platform.states() == {"accepted": 200}, 90)
    assert time.monotonic() - began >= 200 / 40 - 1


def test_transient_errors_are_overcome_and_counted_once(platform: Platform) -> None:
    simulator = platform.start_simulator(latency={"median_ms": 5}, callbacks=False, error_rates={131000: 0.3})
    api = platform.start("whatsapp", "api")
    platform.connect(api)
    ids = platform.request(100)
    platform.start("whatsapp", "dispatcher", ESQ_MOST_ATTEMPTS="50")
    await_true("all are accepted", lambda: platform.states() == {"accepted": 100}, 120)
    assert set(platform.received(simulator, ids).values()) == {1}


def test_while_the_simulator_is_away_messages_wait(platform: Platform) -> None:
    simulator = platform.start_simulator(latency={"median_ms": 5}, callbacks=False)
    api = platform.start("whatsapp", "api")
    platform.connect(api)
    simulator.stop()
    ids = platform.request(20)
    platform.start("whatsapp", "dispatcher")
    await_true(
        "it was tried in vain",
        lambda: int(platform.database.execute("SELECT min(attempts) FROM whatsapp.messages")) >= 1,
        60,
    )
    assert "uncertain" not in platform.states()
    simulator.start()
    await_true("all are accepted", lambda: platform.states() == {"accepted": 20}, 90)
    assert set(platform.received(simulator, ids).values()) == {1}
