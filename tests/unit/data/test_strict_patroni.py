"""Strict commits, the voters, and when a primary steps down."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from infra.components.postgres.pod_programs import strict_patroni
from infra.components.postgres.pod_programs.strict_patroni import Ha, SyncHandler, global_config
from infra.config_files import postgres

if TYPE_CHECKING:
    from pathlib import Path

QUORUM = {"synchronous_mode": "quorum", "synchronous_mode_strict": True}


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


class Member:
    """A member of a cluster; calls of Patroni's own methods are recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.calls: list[str] = []
        self.accounts: list[str] = []
        self.streaming = {"postgres-1", "postgres-2"}
        self.ha = object.__new__(strict_patroni.StrictHa)
        self.ha._reset_standby_state()
        self.ha._config_published = False
        self.ha._first_recovery = True
        self.ha._accounts = SimpleNamespace(
            apply=lambda: self.accounts.append("apply"), forget=lambda: self.accounts.append("forget")
        )
        self.has_lock = self.can_fail_over = True
        self.dynamic_config: dict[str, Any] = {"ttl": 30, "pause": True}
        self.ha.patroni = SimpleNamespace(config={"bootstrap": {"dcs": {"ttl": 20}}})
        self.ha.dcs = SimpleNamespace(set_config_value=self.set_config_value)
        self.ha.cluster = SimpleNamespace(
            sync=SimpleNamespace(voters=["postgres-1", "postgres-2"]),
            config=SimpleNamespace(data=self.dynamic_config, version=1),
        )
        self.ha.state_handler = SimpleNamespace(
            is_primary=lambda: True,
            sync_handler=SimpleNamespace(current_state=lambda _: SimpleNamespace(active=self.streaming)),
        )
        monkeypatch.setattr(strict_patroni, "time", self.clock)
        monkeypatch.setattr(Ha, "_process_quorum_replication", lambda _: self.calls.append("voters"))
        monkeypatch.setattr(Ha, "enforce_primary_role", lambda *_: "primary")
        monkeypatch.setattr(Ha, "demote", lambda _, mode: self.calls.append(mode))
        monkeypatch.setattr(Ha, "is_paused", lambda _: False)
        monkeypatch.setattr(Ha, "recover", lambda _: "recovering")
        monkeypatch.setattr(Ha, "has_lock", lambda _: self.has_lock)
        monkeypatch.setattr(Ha, "update_lock", lambda _: self.has_lock)
        monkeypatch.setattr(Ha, "is_failover_possible", lambda _: self.can_fail_over)
        self.ha.watchdog = SimpleNamespace(disable=lambda: None)

    def set_config_value(self, value: str, version: int) -> bool:
        """Replace the dynamic configuration."""
        assert version == 1
        self.dynamic_config.clear()
        self.dynamic_config |= json.loads(value)
        return True

    def run_loop(self, seconds: float = 5.0) -> str:
        """Run a pass of Patroni's loop after some seconds."""
        self.clock.now += seconds
        message = str(self.ha.enforce_primary_role("", ""))
        if message == "primary":
            self.ha._process_quorum_replication()
        return message


@pytest.fixture(autouse=True)
def configured() -> None:
    global_config.update(None, QUORUM)


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> Member:
    return Member(monkeypatch)


@pytest.mark.parametrize(
    ("settings", "sync", "num", "required"),
    [
        (QUORUM, [], 0, 1),
        (QUORUM, [], None, 1),
        (QUORUM, ["postgres-1"], 1, 1),
        (QUORUM, ["postgres-1"], None, None),
        ({"synchronous_mode": "quorum"}, [], 0, 0),
        ({"synchronous_mode": False}, [], None, None),
    ],
)
def test_commit_always_waits_for_a_standby(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    sync: list[str],
    num: int | None,
    required: int | None,
) -> None:
    global_config.update(None, settings)
    calls: list[Any] = []
    monkeypatch.setattr(SyncHandler, "set_synchronous_standby_names", lambda _, *args: calls.append(args))
    object.__new__(strict_patroni.StrictSyncHandler).set_synchronous_standby_names(sync, num)
    assert calls == [(sync, required)]


def test_voters_stay_without_streaming_standbys(member: Member) -> None:
    member.run_loop()
    member.streaming = set()
    member.run_loop()
    assert member.calls == ["voters"]


def test_new_cluster_gets_its_first_voters(member: Member) -> None:
    member.streaming, member.ha.cluster.sync.voters = set(), []
    member.run_loop()
    assert member.calls == ["voters"]


def test_primary_that_lost_all_standbys_steps_down_once(member: Member) -> None:
    member.run_loop()
    member.streaming = set()
    assert [member.run_loop() for _ in range(4)] == [
        "primary",
        "stepping down because no standby streams from this member",
    ] + ["primary"] * 2
    assert member.calls == ["voters", "immediate"]
    assert member.ha._released_leader_key_timestamp > 0


def test_short_standby_loss_keeps_primary(member: Member) -> None:
    for streaming in ({"postgres-1"}, set(), {"postgres-2"}, set(), {"postgres-1"}):
        member.streaming = streaming
        assert member.run_loop() == "primary"


def test_primary_without_standby_does_not_step_down(member: Member) -> None:
    member.streaming = set()
    assert {member.run_loop() for _ in range(10)} == {"primary"}


def test_promotion_resets_the_standby_state(member: Member) -> None:
    member.run_loop()
    member.ha.state_handler.is_primary = lambda: False
    member.run_loop()
    member.ha.state_handler.is_primary, member.streaming = lambda: True, set()
    assert {member.run_loop() for _ in range(10)} == {"primary"}


def test_primary_publishes_the_declared_configuration(member: Member) -> None:
    member.run_loop()
    assert member.dynamic_config == {"ttl": 20, "pause": True}
    member.dynamic_config["ttl"] = 40
    member.run_loop()
    assert member.dynamic_config["ttl"] == 40


def test_restarted_primary_leaves_the_leadership_to_a_standby_once(member: Member) -> None:
    assert member.ha.recover() == "leaving the leadership to a standby after a restart"
    assert member.calls == ["immediate"]
    assert member.ha._released_leader_key_timestamp > 0
    assert member.ha.recover() == "recovering"


@pytest.mark.parametrize(("has_lock", "can_fail_over"), [(False, True), (True, False)])
def test_restart_without_lock_or_standby_recovers(
    member: Member,
    has_lock: bool,  # noqa: FBT001 - a parametrized column
    can_fail_over: bool,  # noqa: FBT001 - same
) -> None:
    member.has_lock, member.can_fail_over = has_lock, can_fail_over
    assert member.ha.recover() == "recovering"
    member.has_lock = member.can_fail_over = True
    assert member.ha.recover() == "recovering", "a Postgres that crashes later is restarted in place"
    assert member.calls == []


def test_primary_applies_the_accounts_and_forgets_them_when_it_is_none(member: Member) -> None:
    member.run_loop()
    member.ha.state_handler.is_primary = lambda: False
    member.run_loop()
    assert member.accounts == ["apply", "forget"]


def test_paths_of_the_accounts_are_those_of_the_pod() -> None:
    assert [str(file) for file in strict_patroni.CREDENTIAL_FILES] == list(postgres.RELOADED_FILES)
    assert str(strict_patroni.ACCOUNTS_FILE) == postgres.ACCOUNTS_FILE
    assert strict_patroni.ACCOUNTS_SCRIPT == postgres.ACCOUNTS_SCRIPT
    assert strict_patroni.SUPERUSER_DSN == postgres.SUPERUSER_DSN


class Script:
    """Records the runs of the accounts' script; it fails or succeeds as told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.log, self.code = folder / "accounts.sql", folder / "log", folder / "code"
        self.file.write_text("first")
        self.code.write_text("0")
        program = folder / "accounts.sh"
        program.write_text(f"#!/bin/sh\ncat {self.file} >> {self.log}\nexit $(cat {self.code})\n")
        program.chmod(0o755)
        monkeypatch.setattr(strict_patroni, "ACCOUNTS_FILE", self.file)
        monkeypatch.setattr(strict_patroni, "ACCOUNTS_SCRIPT", str(program))

    def runs(self, accounts: strict_patroni.Accounts) -> str:
        """Apply the accounts twice and return what the script has applied in total."""
        for _ in range(2):
            accounts.apply()
            if accounts._script is not None:
                accounts._script.wait(10)
        return self.log.read_text()


def test_accounts_are_applied_once_and_again_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, accounts = Script(tmp_path, monkeypatch), strict_patroni.Accounts()
    assert script.runs(accounts) == "first"
    script.file.write_text("|second")
    assert script.runs(accounts) == "first|second"
    accounts.forget()
    assert script.runs(accounts) == "first|second|second"


def test_failed_script_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, accounts = Script(tmp_path, monkeypatch), strict_patroni.Accounts()
    script.code.write_text("1")
    assert script.runs(accounts) == "firstfirst"
    script.code.write_text("0")
    assert script.runs(accounts) == "firstfirstfirst"


class ReloadingMember:
    """A member whose credentials are in two files; its reloads are recorded."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files = [folder / "accounts.sql", folder / "tls.crt"]
        self.write("first")
        self.events: list[str] = []
        self.leads = self.applied = False
        self.ha = object.__new__(strict_patroni.StrictHa)
        self.ha._credentials = strict_patroni.Credentials(self.files)
        self.ha._accounts = SimpleNamespace(are_applied=lambda: self.applied)
        self.ha.patroni = SimpleNamespace(
            reload_config=lambda *, sighup, local: self.events.append(f"reload {sighup} {local}"),
            config=SimpleNamespace(reload_local_configuration=lambda: True),
        )
        monkeypatch.setattr(Ha, "run_cycle", lambda _: self.events.append("pass") or "a pass")
        monkeypatch.setattr(Ha, "get_effective_tags", lambda _: {})
        monkeypatch.setattr(Ha, "is_leader", lambda _: self.leads)

    def write(self, content: str) -> None:
        for file in self.files:
            file.write_text(content)

    @property
    def published(self) -> str | None:
        """The digest in its tags."""
        return self.ha.get_effective_tags().get(strict_patroni.CREDENTIALS_TAG)


@pytest.fixture
def reloading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReloadingMember:
    return ReloadingMember(tmp_path, monkeypatch)


def test_changed_credentials_are_loaded_once_before_the_next_pass(reloading: ReloadingMember) -> None:
    before = reloading.published
    reloading.ha.run_cycle()
    reloading.write("second")
    assert reloading.published == before, "a member publishes what it has loaded"
    reloading.ha.run_cycle()
    reloading.ha.run_cycle()
    assert reloading.events == ["pass", "reload True True", "pass", "pass"]
    assert reloading.published == strict_patroni.credentials_digest(reloading.files) != before


def test_primary_publishes_the_credentials_when_it_has_applied_the_accounts(
    reloading: ReloadingMember,
) -> None:
    reloading.leads = True
    assert reloading.published is None
    reloading.applied = True
    assert reloading.published


def test_files_that_are_replaced_at_this_moment_are_loaded_by_the_next_pass(
    reloading: ReloadingMember,
) -> None:
    reloading.write("second")
    reloading.files[1].unlink()
    reloading.ha.run_cycle()
    reloading.write("second")
    reloading.ha.run_cycle()
    assert reloading.events == ["pass", "reload True True", "pass"]
