"""`esq runbook triage ENV --scores` shows the mean score of each experiment, and fails below 90 %."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from chaos.results import ExperimentRun
from chaos.triage_watch import TriageResult
from cli.actions.chaos import report_store
from cli.environment import load_environment
from cli.main import run
from infra.errors import ExitCode
from tests.sample_reports import chaos_report


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def store_run(experiment: str, *triages: TriageResult | None) -> None:
    store = report_store(load_environment("local"))
    folder = store.create(experiment, dt.datetime.now(dt.UTC))
    runs = tuple(ExperimentRun(started_at=0, ended_at=1, triage=triage) for triage in triages)
    store.write(folder, chaos_report().model_copy(update={"experiment": experiment, "runs": runs}), "")


def diagnosed(score: float, seconds: float) -> TriageResult:
    times = {"diagnosed_after_seconds": seconds, "action_after_seconds": seconds, "action": "esq cluster up"}
    return TriageResult(named=("zone-down",), score=score, triages=1, triage_seconds=2.0, **times)


def test_scores_are_means_over_runs_and_over_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    store_run("zone-outage", diagnosed(1.0, 17.0), diagnosed(0.0, 19.0), None)
    store_run("dns-outage", diagnosed(1.0, 16.0))
    assert run(["runbook", "triage", "local", "--scores", "--json"]) == ExitCode.SLO_VIOLATED
    document = json.loads(capsys.readouterr().out)
    worst, best = document["experiments"]
    assert document["score"] == pytest.approx(0.75)
    assert (worst["experiment"], worst["runs"], worst["score"]) == ("zone-outage", 2, 0.5)
    assert worst["diagnosed_after_seconds"] == pytest.approx(18.0)
    assert best["score"] == 1.0


def test_table_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    store_run("postgres-primary-container-killed", diagnosed(1.0, 17.0))
    assert run(["runbook", "triage", "local", "--scores"]) == ExitCode.OK
    output = capsys.readouterr().out
    assert "17.0 s" in output
    assert "score 100% of 1 experiments" in output


def test_environment_without_scores_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    store_run("zone-outage", None)
    assert run(["runbook", "triage", "local", "--scores"]) == ExitCode.OK
    assert "esq chaos run local EXPERIMENT" in capsys.readouterr().out
