"""Evaluation of SLOs by their measurements, and `esq slo`."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest

from cli.actions.slo import SloReport, evaluate_slos, format_age, render_html
from cli.main import run
from infra.measurements.measurements import (
    Measurement,
    MeasurementStore,
    current_commit,
    host_facts,
    package_versions,
)
from infra.measurements.run_values import Distribution, RunOutcome, RunValue
from services.contracts.slo import ERROR_BUDGET_SECONDS, EVIDENCE_RUNS, SLO_BY_ID, SLOS

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def measurement(slo: str, *values: float | RunValue, at: dt.datetime = NOW) -> Measurement:
    runs = [value if isinstance(value, RunValue) else RunValue(value=value) for value in values]
    return Measurement(
        slo_id=slo,
        measured_at=at,
        environment="local",
        unit=SLO_BY_ID[slo].unit,
        distribution=Distribution(runs=tuple(runs)),
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


def report_of(store: MeasurementStore, slo_id: str, now: dt.datetime = NOW) -> SloReport:
    return next(report for report in evaluate_slos(store, now) if report.slo.id == slo_id)


def test_one_good_run_does_not_replace_the_runs_before_it(store: MeasurementStore) -> None:
    for hour in range(20, 1, -1):
        store.add(measurement("kafka-broker-crash", 20.0, at=NOW - dt.timedelta(hours=hour)))
    store.add(measurement("kafka-broker-crash", 9.0, at=NOW - dt.timedelta(hours=1)))
    report = report_of(store, "kafka-broker-crash")
    assert report.status == "violated"
    assert report.to_dict()["median"] == 20.0
    assert report.age == dt.timedelta(hours=1)
    assert report_of(store, "redis-primary-crash").status == "unmeasured"


def test_evidence_rolls_over_the_last_runs_of_several_records(store: MeasurementStore) -> None:
    store.add(measurement("kafka-broker-crash", 20.0, at=NOW - dt.timedelta(hours=9)))
    for hour in (3, 2):
        low = [9.0] * (EVIDENCE_RUNS // 2)
        store.add(measurement("kafka-broker-crash", *low, at=NOW - dt.timedelta(hours=hour)))
    report = report_of(store, "kafka-broker-crash")
    assert report.status == "met"
    assert len(report.distribution.runs) == EVIDENCE_RUNS


def test_slo_with_too_few_valid_runs_is_insufficient(
    store: MeasurementStore, capsys: pytest.CaptureFixture[str]
) -> None:
    crashed = RunValue().from_run(RunOutcome.CRASHED)
    aborted = RunValue(value=9.0).from_run(RunOutcome.ABORTED)
    store.add(measurement("kafka-broker-crash", 9.0, 8.0, crashed, aborted))
    report = report_of(store, "kafka-broker-crash")
    assert report.status == "insufficient"
    values = report.to_dict()
    assert (values["runs"], values["runs_counted"], values["min_runs"]) == (4, 2, 3)
    assert (values["runs_crashed"], values["runs_aborted"], values["runs_invalid"]) == (1, 1, 0)
    page = render_html("local", evaluate_slos(store, NOW), NOW)
    assert 'class="status insufficient"' in page
    assert "2 of 4<br>1 aborted<br>1 crashed" in page
    assert "≥ 9" in page
    assert run(["slo", "local"]) == 0
    assert run(["slo", "local", "--require-measured"]) == 1
    printed = capsys.readouterr().out
    assert "kafka-broker-crash: 2 of 4 (1 aborted, 1 crashed)" in printed
    (row,) = {line for line in printed.splitlines() if line.split()[:1] == ["kafka-broker-crash"]}
    assert row.rstrip().endswith("insufficient")
    assert len(row.rstrip()) <= 80


def test_zero_tolerance_violation_lasts_for_the_window(store: MeasurementStore) -> None:
    store.add(measurement("writes-lost", 0.0, at=NOW - dt.timedelta(days=3)))
    store.add(measurement("writes-lost", 1.0, 0.0, at=NOW - dt.timedelta(days=2)))
    store.add(measurement("writes-lost", *[0.0] * EVIDENCE_RUNS, at=NOW - dt.timedelta(days=1)))
    assert report_of(store, "writes-lost").status == "violated"
    assert report_of(store, "writes-lost", NOW + dt.timedelta(days=60)).status == "met"


def test_unreadable_record_is_named_and_hides_nothing(
    store: MeasurementStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.add(measurement("kafka-broker-crash", 20.0, at=NOW - dt.timedelta(hours=2)))
    file = store.add(measurement("kafka-broker-crash", 9.0, at=NOW - dt.timedelta(hours=1)))
    file.write_text("{")
    report = report_of(store, "kafka-broker-crash")
    assert report.status == "violated"
    (problem,) = report.problems
    assert problem.location == str(file)
    assert str(file) in render_html("local", evaluate_slos(store, NOW), NOW)
    assert run(["slo", "local", "--json"]) == 99
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)["slos"]}
    assert rows["kafka-broker-crash"]["unreadable"][0]["location"] == str(file)


def test_unreadable_record_alone_fails_the_command(
    store: MeasurementStore, capsys: pytest.CaptureFixture[str]
) -> None:
    file = store.add(measurement("kafka-broker-crash", 9.0))
    file.write_text("{")
    assert run(["slo", "local"]) == 1
    assert file.name in capsys.readouterr().out.replace("\n", "")


def test_record_in_another_unit_is_named_and_not_used(store: MeasurementStore) -> None:
    store.add(measurement("kafka-broker-crash", 9.0, at=NOW - dt.timedelta(hours=2)))
    store.add(measurement("kafka-broker-crash", 9.0).model_copy(update={"unit": "min"}))
    report = report_of(store, "kafka-broker-crash")
    assert len(report.distribution.runs) == 1
    [problem] = report.problems
    assert "is in `min`, the SLO in `s`" in problem.message


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
    store.add(measurement("kafka-broker-crash", 9.0, 9.0, 9.0))
    assert run(["slo", "local"]) == 0
    assert run(["slo", "local", "--require-measured"]) == 1
    assert "esq chaos run local zone-outage" in capsys.readouterr().out


def test_table_fits_into_80_columns(store: MeasurementStore, capsys: pytest.CaptureFixture[str]) -> None:
    runs = (*[123.4] * (EVIDENCE_RUNS - 1), RunValue(value=123.4).from_run(RunOutcome.ABORTED))
    for slo in SLOS:
        store.add(measurement(slo.id, *runs))
    assert run(["slo", "local"]) == 99
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line for line in lines if line}
    assert "15, 30 s" in rows["postgres-primary-crash"]
    assert "0 messages" in rows["messages-lost"]
    assert all(rows[slo.id].endswith(("violated", "missed", "met")) for slo in SLOS)


def test_page_shows_every_slo(store: MeasurementStore) -> None:
    store.add(measurement("kafka-broker-crash", 12.0, 12.0, 12.0))
    page = render_html("local", evaluate_slos(store, NOW), NOW)
    assert all(slo.description.replace("'", "&#39;") in page for slo in SLOS)
    assert 'class="status missed"' in page


def test_host_facts_and_versions_are_collected() -> None:
    facts = host_facts()
    assert facts["cores"]
    assert package_versions(())["python"]
    assert current_commit()
