"""Promises against evidence, and what the command says of them."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest

from cli.actions.promises import age, html, stand
from cli.main import run
from infra.errors import EsqError
from infra.measurements.measurements import (
    Distribution,
    Measurement,
    MeasurementStore,
    current_commit,
    host_facts,
    package_versions,
)
from services.contracts.promises import ERROR_BUDGET_SECONDS, PROMISES

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def evidence(promise: str, *values: float, at: dt.datetime = NOW) -> Measurement:
    return Measurement(
        slo_id=promise,
        measured_at=at,
        environment="local",
        unit="s",
        distribution=Distribution(values=values),
        command="esq chaos run x",
        commit="abc",
        versions={},
        host={},
    )


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MeasurementStore:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return MeasurementStore(tmp_path / "esq" / "environments" / "local" / "evidence")


def test_the_error_budget_is_that_of_four_nines() -> None:
    assert round(ERROR_BUDGET_SECONDS) == 259


def test_promises_are_told_apart_and_have_room_between_target_and_ceiling() -> None:
    assert len({promise.id for promise in PROMISES}) == len(PROMISES)
    assert all(promise.target <= promise.ceiling for promise in PROMISES)


def test_the_last_record_counts(store: MeasurementStore) -> None:
    store.add(evidence("kafka-killed", 20.0, at=NOW - dt.timedelta(hours=2)))
    store.add(evidence("kafka-killed", 9.0, 11.0, 8.0, at=NOW - dt.timedelta(hours=1)))
    found = {each.promise.id: each for each in stand(store, NOW)}
    assert found["kafka-killed"].verdict == "kept"
    assert found["kafka-killed"].report()["median"] == 9.0
    assert found["kafka-killed"].age == dt.timedelta(hours=1)
    assert found["redis-killed"].verdict == "unmeasured"
    assert len(store.for_slo("kafka-killed")) == 2


def test_what_must_never_happen_is_not_made_good_by_a_later_run(store: MeasurementStore) -> None:
    store.add(evidence("writes-lost", 0.0, at=NOW - dt.timedelta(days=3)))
    store.add(evidence("writes-lost", 1.0, 0.0, at=NOW - dt.timedelta(days=2)))
    store.add(evidence("writes-lost", 0.0, at=NOW - dt.timedelta(days=1)))
    assert {each.promise.id: each.verdict for each in stand(store, NOW)}["writes-lost"] == "broken"
    later = NOW + dt.timedelta(days=60)
    assert {each.promise.id: each.verdict for each in stand(store, later)}["writes-lost"] == "kept"


def test_a_record_that_cannot_be_read_is_no_record_passed_over(store: MeasurementStore) -> None:
    file = store.add(evidence("kafka-killed", 9.0))
    file.write_text("{")
    with pytest.raises(EsqError, match="cannot be read") as error:
        stand(store, NOW)
    assert error.value.location == str(file)


def test_ages_are_told_in_their_largest_unit() -> None:
    told = [age(dt.timedelta(seconds=seconds)) for seconds in (5, 300, 7200, 200_000)]
    assert told == ["5 s ago", "5 min ago", "2 h ago", "2 d ago"]


def test_a_broken_promise_ends_with_99(store: MeasurementStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.add(evidence("kafka-killed", 16.0))
    assert run(["promises", "local", "--json"]) == 99
    told = {each["id"]: each for each in json.loads(capsys.readouterr().out)["promises"]}
    assert told["kafka-killed"]["verdict"] == "broken"


def test_strict_wants_every_promise_measured(
    store: MeasurementStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.add(evidence("kafka-killed", 9.0))
    assert run(["promises"]) == 0
    assert run(["promises", "--strict"]) == 1
    assert "esq chaos run zone-lost" in capsys.readouterr().out


def test_the_page_tells_every_promise(store: MeasurementStore) -> None:
    store.add(evidence("kafka-killed", 12.0))
    page = html("local", stand(store, NOW), NOW)
    assert all(promise.sentence.replace("'", "&#39;") in page for promise in PROMISES)
    assert 'class="behind"' in page


def test_evidence_tells_where_it_was_measured() -> None:
    facts = host_facts()
    assert facts["cores"]
    assert package_versions(())["python"]
    assert current_commit()
