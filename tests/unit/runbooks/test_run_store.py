"""Runs on disk: one per fault, whoever reports its alerts, and however often."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.errors import UsageError
from runbooks import run_store
from runbooks.fault_groups import is_same_fault, runbook_of
from runbooks.run_record import JoinedAlert, RunRecord
from runbooks.run_store import RunStore
from tests.unit.runbooks.run_steps import NOW, Fault, open_store


def alert(name: str, fingerprint: str = "", at: dt.datetime = NOW) -> JoinedAlert:
    return JoinedAlert(fingerprint=fingerprint or name, name=name, started_at=at)


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("ZoneDown", True),
        ("PostgresDown", True),
        ("PowerLoss", False),
        ("BackupStale", False),
        ("SomebodysAlert", False),
    ],
)
def test_alerts_that_one_inhibits_are_the_same_fault(other: str, is_same: bool) -> None:  # noqa: FBT001
    assert is_same_fault("zone-down", ["ZoneDown"], other) == is_same
    assert is_same_fault(runbook_of(other), [other], "ZoneDown") == is_same


def test_several_alerts_of_one_fault_join_one_run(tmp_path: Path) -> None:
    store = open_store(tmp_path, Fault())
    first, is_new = store.report("zone-down", alert("ZoneDown"))
    joined, is_new_too = store.report("postgres-down", alert("PostgresDown"))
    other, _ = store.report("backup-stale", alert("BackupStale"))

    assert (is_new, is_new_too) == (True, False)
    assert joined.id == first.id != other.id
    assert [entry.name for entry in store.read(first.id).alerts] == ["ZoneDown", "PostgresDown"]


def test_repeated_notification_changes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path, Fault())
    first, _ = store.report("zone-down", alert("ZoneDown"))
    repeated, is_new = store.report("zone-down", alert("ZoneDown"))

    assert (repeated, is_new) == (first, False)


def test_alert_that_fires_at_the_same_time_from_many_threads_is_one_run(tmp_path: Path) -> None:
    store = open_store(tmp_path, Fault())
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda n: store.report("zone-down", alert("ZoneDown", str(n))), range(16)))

    assert sum(is_new for _, is_new in reports) == 1
    (record,) = store.records()
    assert {entry.fingerprint for entry in record.alerts} == {str(number) for number in range(16)}


def test_late_alert_of_a_fault_that_is_over_starts_its_run_again(tmp_path: Path) -> None:
    clock = [NOW]
    store = RunStore(tmp_path, "local", now=lambda: clock[0], find_steps=lambda _: Fault().steps)
    run, _ = store.report("zone-down", alert("ZoneDown"))
    end = {"phase": "resolved", "ended_at": NOW}
    store.update(run.id, lambda record: record.model_copy(update=end))

    clock[0] = NOW + dt.timedelta(minutes=4)
    late, must_work = store.report("redis-down", alert("RedisDown"))
    assert (late.id, late.phase, must_work) == (run.id, "running", True)

    store.update(run.id, lambda record: record.model_copy(update=end))
    clock[0] = NOW + run_store.JOIN_AFTER_END
    later, _ = store.report("redis-down", alert("RedisDown", "second"))
    assert later.id != run.id


def test_run_whose_cause_has_an_open_run_is_merged_into_it(tmp_path: Path) -> None:
    store = open_store(tmp_path, Fault())
    cause, _ = store.report("power-loss", alert("PowerLoss"))
    symptom, _ = store.report("zone-down", alert("ZoneDown"))

    merged = store.retarget(symptom.id, "power-loss")

    assert (merged.state, merged.merged_into) == ("merged", cause.id)
    assert [entry.name for entry in store.read(cause.id).alerts] == ["PowerLoss", "ZoneDown"]
    alone, _ = store.report("backup-stale", alert("BackupStale"))
    assert store.retarget(alone.id, "object-store-down").runbook == "object-store-down"


def test_end_of_an_alert_is_noted(tmp_path: Path) -> None:
    store = open_store(tmp_path, Fault())
    run, _ = store.report("zone-down", alert("ZoneDown"))
    ended = alert("ZoneDown").model_copy(update={"resolved_at": NOW})

    assert [record.id for record in store.resolve(ended)] == [run.id]
    assert store.read(run.id).alerts[0].resolved_at == NOW
    assert store.resolve(alert("PostgresDown")) == []


def test_oldest_runs_that_are_over_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_store, "MAX_RUNS", 2)
    store = open_store(tmp_path, Fault())
    first = store.create("zone-down")
    store.update(first.id, lambda record: record.model_copy(update={"phase": "resolved"}))
    second, third = store.create("zone-down"), store.create("dns-down")

    assert {record.id for record in store.records()} == {second.id, third.id}
    with pytest.raises(UsageError, match="there is no run"):
        store.read("no-such-run")


def test_damaged_file_does_not_hide_the_other_runs(tmp_path: Path) -> None:
    store = open_store(tmp_path, Fault())
    run = store.create("zone-down")
    (tmp_path / "20260101-000000-damaged.json").write_text("{")

    assert [record.id for record in store.records()] == [run.id]


def wait_for_person(store: RunStore, run_id: str, ended_at: dt.datetime | None) -> None:
    """Make a run wait for a person; its alerts have ended then, if at all."""

    def change(record: RunRecord) -> RunRecord:
        alerts = tuple(entry.model_copy(update={"resolved_at": ended_at}) for entry in record.alerts)
        return record.model_copy(update={"phase": "waiting", "alerts": alerts})

    store.update(run_id, change)


def test_alert_of_a_later_fault_is_not_swallowed_by_a_run_that_waits_for_a_person(tmp_path: Path) -> None:
    clock = [NOW]
    store = RunStore(tmp_path, "local", now=lambda: clock[0], find_steps=lambda _: Fault().steps)
    run, _ = store.report("redis-down", alert("RedisDown"))

    wait_for_person(store, run.id, None)
    joined, must_work = store.report("redis-down", alert("RedisDown", "still fires"))
    assert (joined.id, must_work) == (run.id, False)

    wait_for_person(store, run.id, NOW)
    restarted, must_work = store.report("redis-down", alert("RedisDown", "soon after"))
    assert (restarted.id, restarted.phase, must_work) == (run.id, "running", True)

    wait_for_person(store, run.id, NOW)
    clock[0] = NOW + run_store.JOIN_AFTER_END
    later, must_work = store.report("redis-down", alert("RedisDown", "next week"))
    assert later.id != run.id
    assert must_work


def test_alert_of_a_run_that_was_killed_continues_it(tmp_path: Path) -> None:
    store = open_store(tmp_path, Fault())
    run = store.create("redis-down")
    store.update(run.id, lambda record: record.model_copy(update={"owner": None}))

    joined, must_work = store.report("redis-down", alert("RedisDown"))
    assert (joined.id, joined.state, must_work) == (run.id, "running", True)

    store.update(run.id, lambda record: record.model_copy(update={"owner": None}))
    repeated, must_work = store.report("redis-down", alert("RedisDown"))
    assert (repeated.id, must_work) == (run.id, True)


def test_run_is_not_merged_into_one_that_nobody_works_on(tmp_path: Path) -> None:
    store = open_store(tmp_path, Fault())
    cause, _ = store.report("power-loss", alert("PowerLoss"))
    wait_for_person(store, cause.id, NOW)
    symptom, _ = store.report("backup-stale", alert("BackupStale"))

    retargeted = store.retarget(symptom.id, "power-loss")
    assert (retargeted.runbook, retargeted.state) == ("power-loss", "running")


def test_failure_in_a_process_that_lives_on_leaves_the_run_interrupted(tmp_path: Path) -> None:
    store = open_store(tmp_path, Fault())
    run = store.create("redis-down")
    with pytest.raises(ZeroDivisionError), store.working_on(run.id):
        raise ZeroDivisionError
    assert store.read(run.id).state == "interrupted"
