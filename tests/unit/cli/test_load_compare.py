"""`esq load compare`: table, JSON and exit codes."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from cli.actions.load.reporting import report_store
from cli.commands.load import app
from cli.environment import load_environment
from infra.errors import UsageError
from tests.sample_reports import load_report

if TYPE_CHECKING:
    from pathlib import Path

    from loadtests.results import LoadReport

BEFORE, AFTER, OTHER = (f"20261130T0{hour}0000Z-end-to-end" for hour in (8, 9, 10))


def valid(report: LoadReport, factor: float = 1.0) -> LoadReport:
    """Return a report of which everything was accepted and received, with its latencies times a factor."""
    requests, messages = report.requests, report.messages
    assert messages is not None
    latencies = requests.all.model_copy(
        update={"percentiles": tuple(seconds * factor for seconds in requests.all.percentiles)}
    )
    accepted = {"accepted": requests.offered, "failed": 0, "dropped": 0, "unresolved": 0, "late": 0}
    return report.model_copy(
        update={
            "requests": requests.model_copy(update={**accepted, "all": latencies, "generator_errors": {}}),
            "messages": messages.model_copy(
                update={"received": messages.planned, "uncertain": 0, "problems": ()}
            ),
        }
    )


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    store = report_store(load_environment("local"))
    report = load_report()
    other = report.profile.model_copy(update={"rate": 1.0})
    written = (valid(report), valid(report, 1.3), valid(load_report(profile=other)))
    for hour, value in enumerate(written, start=8):
        store.write(store.create("end-to-end", dt.datetime(2026, 11, 30, hour, tzinfo=dt.UTC)), value, "")


@pytest.mark.usefixtures("reports")
def test_exit_code_says_whether_latencies_increased() -> None:
    def exit_code(*arguments: str) -> int:
        return CliRunner().invoke(app, ["compare", "local", *arguments]).exit_code

    assert exit_code(BEFORE, AFTER) == 0
    assert exit_code(BEFORE, AFTER, "--max-increase", "35") == 0
    assert exit_code(BEFORE, AFTER, "--max-increase", "25") == 99


@pytest.mark.usefixtures("reports")
def test_figures_are_shown_and_regressions_named() -> None:
    shown = CliRunner().invoke(app, ["compare", "local", BEFORE, AFTER, "--max-increase", "25"]).stdout
    assert "+30.0" in shown
    assert "✗ all requests, p99 increased by 30 %" in shown
    printed = CliRunner().invoke(app, ["compare", "local", BEFORE, AFTER, "--max-increase", "25", "--json"])
    fields = json.loads(printed.stdout)
    assert fields["regressions"] == [f"all requests, p{percentile}" for percentile in (50, 90, 99)]
    assert fields["before"]["outcome"] == "valid"
    assert {figure["name"] for figure in fields["figures"]} >= {"requests offered", "messages lost"}


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize("names", [(BEFORE, OTHER), (AFTER, BEFORE), (AFTER, AFTER)])
def test_other_profiles_and_orders_are_refused(names: tuple[str, str]) -> None:
    """An exchanged order would show a regression as progress."""
    result = CliRunner().invoke(app, ["compare", "local", *names])
    assert isinstance(result.exception, UsageError)


def test_invalid_run_fails_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    store = report_store(load_environment("local"))
    report = valid(load_report())
    invalid = report.model_copy(update={"requests": report.requests.model_copy(update={"late": 999})})
    for hour, value in ((8, report), (9, invalid)):
        store.write(store.create("end-to-end", dt.datetime(2026, 11, 30, hour, tzinfo=dt.UTC)), value, "")
    result = CliRunner().invoke(app, ["compare", "local", BEFORE, AFTER])
    assert result.exit_code == 1
    assert "after is invalid" in result.stdout
