"""The suite of experiments: what counts as a result, and what need not run again."""

from __future__ import annotations

import datetime as dt
import json
import shlex
from pathlib import Path

import pytest

from chaos.context import Annotation
from chaos.results import ChaosReport, ExperimentRun
from infra.measurements.report_store import ReportStore
from tests.servers import experiment_suite
from tests.servers.experiment_suite import ExperimentSuite

COMMIT = "c0ffee"
INJECTION = Annotation(at=1.0, description="kill of x", is_injection=True)
VALID = ExperimentRun(started_at=0.0, ended_at=2.0, annotations=(INJECTION,), failovers=1)
UNMEASURED = VALID.model_copy(update={"failovers": None})
INVALID = ExperimentRun(started_at=0.0, ended_at=2.0)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportStore[ChaosReport]:
    monkeypatch.setattr(experiment_suite, "current_commit", lambda: COMMIT)
    return ReportStore(tmp_path / "reports", ChaosReport, "")


def write(
    store: ReportStore[ChaosReport], *runs: ExperimentRun, experiment: str = "zone-lost", commit: str = COMMIT
) -> Path:
    """Store a report that is newer than all others; return its page."""
    report = ChaosReport(
        experiment=experiment,
        title="",
        description="",
        environment="local",
        started_at="",
        command="",
        slos={"writes-lost": "failovers"},
        runs=runs,
        host={},
        versions={},
        commit=commit,
        runbook="",
    )
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=len(store.names()))
    return store.write(store.create(experiment, now), report, "")


def suite(store: ReportStore[ChaosReport], script: str = "exit 9") -> ExperimentSuite:
    """A suite whose command line is a shell script with the arguments of `esq`."""
    return ExperimentSuite("local", store, esq=("sh", "-c", script, "esq"))


def printing(document: object, code: int = 0) -> str:
    """A script that is healthy, prints a document for `chaos run`, and exits with a code."""
    text = shlex.quote(json.dumps(document))
    return f'[ "$*" = "status local --json" ] && exit 0; echo "$*" >&2; echo {text}; exit {code}'


def test_result_is_that_of_the_report(store: ReportStore[ChaosReport]) -> None:
    page = write(store, UNMEASURED)
    result = suite(store, printing({"page": str(page)}, 1)).run("zone-lost")
    assert (result.experiment, result.outcome, result.page) == ("zone-lost", "valid", str(page))
    assert result.slos == ("writes-lost not measured writes: insufficient",)
    assert result.reasons == ("no valid run measured writes-lost",)


def test_invalid_run_says_why(store: ReportStore[ChaosReport]) -> None:
    result = suite(store, printing({"page": str(write(store, INVALID))}, 1)).run("zone-lost")
    assert result.outcome == "invalid"
    assert "invalid: no fault was injected" in result.reasons
    assert "    invalid: no fault was injected" in result.lines()


def test_refused_run_is_a_result(store: ReportStore[ChaosReport]) -> None:
    error = {"message": "another experiment runs", "detail": "since noon", "location": "", "remedy": ""}
    result = suite(store, printing({"error": error}, 1)).run("zone-lost")
    assert (result.outcome, result.reasons) == ("refused", ("another experiment runs", "since noon"))


def test_command_without_a_result_is_a_result(store: ReportStore[ChaosReport]) -> None:
    script = '[ "$1" = status ] || kill -KILL $$'
    result = suite(store, script).run("zone-lost")
    assert (result.outcome, result.reasons) == ("crashed", ("`esq chaos run` exited with code -9",))


def test_left_fault_is_found(store: ReportStore[ChaosReport]) -> None:
    assert suite(store, 'exit "$(($# - 4))"').has_open_fault() is False  # chaos status local --json
    assert suite(store, "exit 1").has_open_fault() is True


def test_valid_report_of_this_commit_need_not_be_repeated(store: ReportStore[ChaosReport]) -> None:
    write(store, VALID, experiment="another-zone-lost")
    assert suite(store).find_valid("zone-lost") is None
    page = write(store, VALID)
    result = suite(store).find_valid("zone-lost")
    assert result is not None
    assert (result.earlier, result.outcome, result.page) == (True, "valid", str(page))
    assert result.lines()[0].endswith("earlier")


@pytest.mark.parametrize(
    ("runs", "commit"),
    [
        ((INVALID,), COMMIT),
        ((UNMEASURED,), COMMIT),
        ((VALID, INVALID), COMMIT),
        ((), COMMIT),
        ((VALID,), "0ld"),
        ((VALID,), f"{COMMIT}+"),
    ],
)
def test_any_other_last_report_must_be_repeated(
    store: ReportStore[ChaosReport], runs: tuple[ExperimentRun, ...], commit: str
) -> None:
    write(store, VALID)
    write(store, *runs, commit=commit)
    assert suite(store).find_valid("zone-lost") is None


def test_nothing_is_skipped_while_the_code_is_changed(
    store: ReportStore[ChaosReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_suite, "current_commit", lambda: f"{COMMIT}+")
    write(store, VALID, commit=f"{COMMIT}+")
    assert suite(store).find_valid("zone-lost") is None
