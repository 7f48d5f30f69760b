"""Patroni's strict mode made strict: what commits wait for, who may follow, and when a primary makes way."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from infra.components.postgres.pod_programs import strict_patroni as own
from infra.components.postgres.pod_programs.strict_patroni import Ha, SyncHandler, global_config

QUORUM = {"synchronous_mode": "quorum", "synchronous_mode_strict": True}


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


class Member:
    """A member of a cluster, with Patroni's own answers recorded instead of given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.done: list[str] = []
        self.streaming = {"postgres-1", "postgres-2"}
        self.ha = object.__new__(own.StrictHa)
        self.ha._reset_standby_state()
        self.ha._config_published = False
        self.ha._first_recovery = True
        self.locked = self.ready = True
        self.held: dict[str, Any] = {"ttl": 30, "pause": True}
        self.ha.patroni = SimpleNamespace(config={"bootstrap": {"dcs": {"ttl": 20}}})
        self.ha.dcs = SimpleNamespace(set_config_value=self.share)
        self.ha.cluster = SimpleNamespace(
            sync=SimpleNamespace(voters=["postgres-1", "postgres-2"]),
            config=SimpleNamespace(data=self.held, version=1),
        )
        self.ha.state_handler = SimpleNamespace(
            is_primary=lambda: True,
            sync_handler=SimpleNamespace(current_state=lambda _: SimpleNamespace(active=self.streaming)),
        )
        monkeypatch.setattr(own, "time", self.clock)
        monkeypatch.setattr(Ha, "_process_quorum_replication", lambda _: self.done.append("voters"))
        monkeypatch.setattr(Ha, "enforce_primary_role", lambda *_: "primary")
        monkeypatch.setattr(Ha, "demote", lambda _, mode: self.done.append(mode))
        monkeypatch.setattr(Ha, "is_paused", lambda _: False)
        monkeypatch.setattr(Ha, "recover", lambda _: "recovering")
        monkeypatch.setattr(Ha, "has_lock", lambda _: self.locked)
        monkeypatch.setattr(Ha, "update_lock", lambda _: self.locked)
        monkeypatch.setattr(Ha, "is_failover_possible", lambda _: self.ready)
        self.ha.watchdog = SimpleNamespace(disable=lambda: None)

    def share(self, value: str, version: int) -> bool:
        """Take what the members share."""
        assert version == 1
        self.held.clear()
        self.held |= json.loads(value)
        return True

    def loop(self, seconds: float = 5.0) -> str:
        """Do a pass of Patroni's loop, after some seconds."""
        self.clock.now += seconds
        said = str(self.ha.enforce_primary_role("", ""))
        if said == "primary":
            self.ha._process_quorum_replication()
        return said


@pytest.fixture(autouse=True)
def configured() -> None:
    global_config.update(None, QUORUM)


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> Member:
    return Member(monkeypatch)


@pytest.mark.parametrize(
    ("settings", "sync", "num", "asked"),
    [
        (QUORUM, [], 0, 1),
        (QUORUM, [], None, 1),
        (QUORUM, ["postgres-1"], 1, 1),
        (QUORUM, ["postgres-1"], None, None),
        ({"synchronous_mode": "quorum"}, [], 0, 0),
        ({"synchronous_mode": False}, [], None, None),
    ],
)
def test_a_commit_always_waits_for_some_standby(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    sync: list[str],
    num: int | None,
    asked: int | None,
) -> None:
    global_config.update(None, settings)
    found: list[Any] = []
    monkeypatch.setattr(SyncHandler, "set_synchronous_standby_names", lambda _, *given: found.append(given))
    object.__new__(own.StrictSyncHandler).set_synchronous_standby_names(sync, num)
    assert found == [(sync, asked)]


def test_the_voters_stay_while_nobody_streams(member: Member) -> None:
    member.loop()
    member.streaming = set()
    member.loop()
    assert member.done == ["voters"]


def test_a_new_cluster_gets_its_first_voters(member: Member) -> None:
    member.streaming, member.ha.cluster.sync.voters = set(), []
    member.loop()
    assert member.done == ["voters"]


def test_a_deserted_primary_steps_down_once(member: Member) -> None:
    member.loop()
    member.streaming = set()
    assert [member.loop() for _ in range(4)] == [
        "primary",
        "stepping down, since no standby streams from here",
    ] + ["primary"] * 2
    assert member.done == ["voters", "immediate"]
    assert member.ha._released_leader_key_timestamp > 0


def test_a_blink_is_borne(member: Member) -> None:
    for streaming in ({"postgres-1"}, set(), {"postgres-2"}, set(), {"postgres-1"}):
        member.streaming = streaming
        assert member.loop() == "primary"


def test_who_never_had_a_standby_waits_for_one(member: Member) -> None:
    member.streaming = set()
    assert {member.loop() for _ in range(10)} == {"primary"}


def test_a_promotion_begins_anew(member: Member) -> None:
    member.loop()
    member.ha.state_handler.is_primary = lambda: False
    member.loop()
    member.ha.state_handler.is_primary, member.streaming = lambda: True, set()
    assert {member.loop() for _ in range(10)} == {"primary"}


def test_a_primary_brings_what_is_shared_up_to_what_is_declared(member: Member) -> None:
    member.loop()
    assert member.held == {"ttl": 20, "pause": True}
    member.held["ttl"] = 40
    member.loop()
    assert member.held["ttl"] == 40


def test_a_primary_that_returns_leaves_the_lead_to_a_standby_once(member: Member) -> None:
    assert member.ha.recover() == "leaving the lead to a standby, after a return"
    assert member.done == ["immediate"]
    assert member.ha._released_leader_key_timestamp > 0
    assert member.ha.recover() == "recovering"


@pytest.mark.parametrize(("locked", "ready"), [(False, True), (True, False)])
def test_who_returns_without_the_lead_or_alone_recovers(member: Member, locked: bool, ready: bool) -> None:  # noqa: FBT001 - a table's columns
    member.locked, member.ready = locked, ready
    assert member.ha.recover() == "recovering"
    member.locked = member.ready = True
    assert member.ha.recover() == "recovering", "a Postgres that crashes later is started where it was"
    assert member.done == []
