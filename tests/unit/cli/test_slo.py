"""Evaluation of SLOs by their measurements, and `esq slo`."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest

from cli.actions.slo import evaluate_slos, format_age, render_html
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
from services.contracts.slo import ERROR_BUDGET_SECONDS, SLOS

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def measurement(slo: str, *values: float, at: dt.datetime = NOW) -> Measurement:
    return Measurement(
        slo_id=slo,
        measured_at=at,
        environment="local",
        unit="s",
        distribution=Distribution(values=values),
        command="esq chaos run local x",
        commit="abc",
        versions={},
        host={},
    )


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MeasurementStore:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return MeasurementStore(tmp_path / "esq" / "environments" / "local" / "measurements")


def test_error_budget_is_that_of_four_nines() -> None:
    assert round(ERROR_BUDGET_SECONDS) == 259


def test_slo_ids_are_unique_and_limits_are_not_below_objectives() -> None:
    assert len({slo.id for slo in SLOS}) == len(SLOS)
    assert all(slo.objective <= slo.limit for slo in SLOS)


def test_last_measurement_is_evaluated(store: MeasurementStore) -> None:
    store.add(measurement("kafka-broker-crash", 20.0, at=NOW - dt.timedelta(hours=2)))
    store.add(measurement("kafka-broker-crash", 9.0, 11.0, 8.0, at=NOW - dt.timedelta(hours=1)))
    reports = {report.slo.id: report for report in evaluate_slos(store, NOW)}
    assert reports["kafka-broker-crash"].status == "met"
    assert reports["kafka-broker-crash"].to_dict()["median"] == 9.0
    assert reports["kafka-broker-crash"].age == dt.timedelta(hours=1)
    assert reports["redis-primary-crash"].status == "unmeasured"
    assert len(store.for_slo("kafka-broker-crash")) == 2


def test_zero_tolerance_violation_lasts_for_the_window(store: MeasurementStore) -> None:
    store.add(measurement("writes-lost", 0.0, at=NOW - dt.timedelta(days=3)))
    store.add(measurement("writes-lost", 1.0, 0.0, at=NOW - dt.timedelta(days=2)))
    store.add(measurement("writes-lost", 0.0, at=NOW - dt.timedelta(days=1)))
    assert {report.slo.id: report.status for report in evaluate_slos(store, NOW)}["writes-lost"] == "violated"
    after_window = NOW + dt.timedelta(days=60)
    assert {report.slo.id: report.status for report in evaluate_slos(store, after_window)}[
        "writes-lost"
    ] == "met"


def test_invalid_measurement_file_raises(store: MeasurementStore) -> None:
    file = store.add(measurement("kafka-broker-crash", 9.0))
    file.write_text("{")
    with pytest.raises(EsqError, match="cannot be read") as error:
        evaluate_slos(store, NOW)
    assert error.value.location == str(file)


def test_age_is_formatted_in_its_largest_unit() -> None:
    printed = [format_age(dt.timedelta(seconds=seconds)) for seconds in (5, 300, 7200, 200_000)]
    assert printed == ["5 s ago", "5 min ago", "2 h ago", "2 d ago"]


def test_violated_slo_exits_with_99(store: MeasurementStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.add(measurement("kafka-broker-crash", 16.0))
    assert run(["slo", "local", "--json"]) == 99
    printed = {report["id"]: report for report in json.loads(capsys.readouterr().out)["slos"]}
    assert printed["kafka-broker-crash"]["status"] == "violated"


def test_require_measured_fails_on_unmeasured_slos(
    store: MeasurementStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.add(measurement("kafka-broker-crash", 9.0))
    assert run(["slo", "local"]) == 0
    assert run(["slo", "local", "--require-measured"]) == 1
    assert "esq chaos run local zone-outage" in capsys.readouterr().out


def test_table_fits_into_80_columns(store: MeasurementStore, capsys: pytest.CaptureFixture[str]) -> None:
    for slo in SLOS:
        store.add(measurement(slo.id, 1234.5))
    assert run(["slo", "local"]) == 99
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line for line in lines if line}
    assert "15, 30 s" in rows["postgres-primary-crash"]
    assert "0 messages" in rows["messages-lost"]
    assert all(rows[slo.id].endswith(("violated", "missed")) for slo in SLOS)


def test_page_shows_every_slo(store: MeasurementStore) -> None:
    store.add(measurement("kafka-broker-crash", 12.0))
    page = render_html("local", evaluate_slos(store, NOW), NOW)
    assert all(slo.description.replace("'", "&#39;") in page for slo in SLOS)
    assert 'class="missed"' in page


def test_host_facts_and_versions_are_collected() -> None:
    facts = host_facts()
    assert facts["cores"]
    assert package_versions(())["python"]
    assert current_commit()
