"""`esq runbook list | show | check`."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cli.actions import runbook_check
from cli.actions.runbook_check import RunbookReport, check_runbooks
from cli.main import run
from cli.markdown_text import wrap
from infra.alerts.catalog import ALERT_BY_NAME
from infra.errors import ExitCode
from runbooks import checks
from runbooks.check import Action, change_steps
from runbooks.page import RUNBOOKS_DIR
from runbooks.rehearsals import REHEARSED_BY

TODAY = dt.date(2026, 12, 1)


def texts(report: RunbookReport) -> str:
    return "\n".join(str(problem) for problem in report.problems)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the runbooks, beside links to the folders that they link to."""
    copy = tmp_path / "runbooks"
    shutil.copytree(RUNBOOKS_DIR, copy, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    for name in ("docs", "infra"):
        (tmp_path / name).symlink_to(RUNBOOKS_DIR.parent / name)
    return copy


def test_runbooks_of_this_project_are_true(folder: Path) -> None:
    report = check_runbooks(folder, TODAY)
    assert texts(report) == ""
    assert report.alerts == report.runbooks


def change(folder: Path, name: str, old: str, new: str) -> None:
    file = folder / f"{name}.md"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_all_problems_of_all_pages_are_reported_at_once(folder: Path) -> None:
    (folder / "kafka-slow.md").rename(folder / "kafka-slo.md")
    (folder / "redis-slow.md").write_text("# Redis is slow\n")
    change(folder, "postgres-down", "severity: page", "severity: ticket")
    change(folder, "zone-down", "experiment: zone-outage", "experiment: zone-outag")
    change(folder, "dns-down", "(control-plane-down.md)", "(control-plane.md)")
    change(folder, "power-loss", "#power-loss-and-flipped-bits", "#power-loss")
    change(folder, "api-latency", "esq status {{ env }}", "esq statuss {{ env }}")
    change(folder, "disk-pressure", "{{ kubectl }} -n esq-data", "kubectl -n esq-data")
    change(folder, "queue-backlog", "esq_queue_paused", "esq_queue_stopped")
    change(folder, "procedures/stop-campaign", "esq campaign pause", "esq campaign halt")

    reported = texts(check_runbooks(folder, TODAY))

    for problem in (
        "the alert `KafkaSlow` has no runbook. Write runbooks/kafka-slow.md.",
        "runbooks/kafka-slo.md: no alert has this runbook. Did you mean `kafka-slow`",
        "runbooks/redis-slow.md: there is no front matter",
        "runbooks/postgres-down.md: severity: `ticket` differs from the alert's `page`",
        "there is no experiment `zone-outag`. Did you mean `zone-outage`",
        "runbooks/dns-down.md: the link to `control-plane.md` is dead",
        "runbooks/power-loss.md: the link to `../docs/fault-injection-results.md#power-loss` is dead",
        "runbooks/api-latency.md: esq statuss ENV: there is no command `statuss`",
        "kubectl does not name the kubeconfig",
        "the metric `esq_queue_stopped` is not scraped",
        "runbooks/procedures/stop-campaign.md: esq campaign halt",
    ):
        assert problem in reported


def test_alert_without_steps_and_action_that_does_not_parse_are_problems(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = Action("x", "d", ("esq", "statuss", "{env}"), "safe", ("kubectl", "gets", "pods"))
    monkeypatch.setattr(checks, "slugs", lambda: ("zone-down",))
    monkeypatch.setattr(checks, "find_steps", lambda _: change_steps(action))

    reported = texts(check_runbooks(folder, TODAY))

    assert "the runbook of `PostgresDown` has no steps. Write runbooks/checks/postgres_down.py." in reported
    assert "runbooks/checks: zone-down: esq statuss ENV: there is no command `statuss`" in reported
    assert "kubectl has no verb `gets`" in reported
    assert "does not name the kubeconfig" not in reported


def test_alert_whose_metric_is_not_scraped_is_a_problem(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = replace(ALERT_BY_NAME["RedisDown"], expression="no_such_metric == 0")
    monkeypatch.setattr(runbook_check, "ALERTS", (alert,))
    assert "no_such_metric" in texts(check_runbooks(folder, TODAY))


def test_runbook_without_rehearsal_is_a_warning_until_the_limit_date(folder: Path) -> None:
    early, late = check_runbooks(folder, TODAY), check_runbooks(folder, REHEARSED_BY)

    assert {problem.message for problem in early.warnings} == {
        f"was never rehearsed; it must be by {REHEARSED_BY}"
    }
    assert late.warnings == ()
    assert late.problems == early.warnings


def test_overdue_rehearsal_is_a_problem(folder: Path) -> None:
    change(folder, "zone-down", "rehearsed: null", "rehearsed: {date: 2026-01-01, result: passed}")
    assert (
        "runbooks/zone-down.md: rehearsed: its last rehearsal is 334 days old, the limit is 90. Run"
        " `esq chaos run ENV zone-outage`" in texts(check_runbooks(folder, TODAY))
    )


def test_check_exits_with_99_if_something_must_be_repaired(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("runbooks.page.RUNBOOKS_DIR", folder)
    assert run(["runbook", "check"]) == ExitCode.OK
    (folder / "kafka-slow.md").unlink()
    capsys.readouterr()
    assert run(["runbook", "check", "--json"]) == ExitCode.SLO_VIOLATED
    assert "KafkaSlow" in json.loads(capsys.readouterr().out)["problems"][0]["message"]


def test_show_accepts_the_alert_and_names_what_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runbook", "show", "PostgresDown"]) == ExitCode.OK
    text = capsys.readouterr().out
    assert "PostgresDown (page, team data)" in text
    assert "esq status ENV" in text
    assert run(["runbook", "show", "postgres-dwn"]) == ExitCode.USAGE
    assert "Did you mean `postgres-down`" in capsys.readouterr().err


def test_show_fills_in_the_names_of_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run(["runbook", "show", "campaign-stuck", "local", "--json"]) == ExitCode.OK
    text = json.loads(capsys.readouterr().out)["text"]
    assert f"kubectl --kubeconfig {tmp_path}/esq/clusters/local/kubeconfig -n esq-services" in text
    assert "{{" not in text


def test_show_fits_into_80_columns_except_for_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runbook", "show", "zone-down"]) == ExitCode.OK
    long_lines = [line for line in wrap(capsys.readouterr().out, 80).splitlines() if len(line) > 80]
    assert all(line.startswith("    ") for line in long_lines)


def test_prose_is_wrapped_and_code_is_not() -> None:
    code = "x" * 90
    text = wrap(
        f"# Title\n\n## Part\n\n- {'word ' * 20}\n\n```sh\n{code}\n```\n\n[a](b/a.md) [c](d.md#e)\n", 40
    )
    lines = text.splitlines()
    assert lines[:3] == ["Title", "", "PART"]
    assert f"    {code}" in lines
    assert lines[5].startswith("  word")
    assert lines[-1] == "a c (d)"


def test_list_shows_every_runbook_and_procedure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runbook", "list", "--json"]) == ExitCode.OK
    listed = json.loads(capsys.readouterr().out)
    assert {
        "name": "zone-down",
        "severity": "page",
        "experiment": "zone-outage",
        "rehearsed": None,
    }.items() <= next(row for row in listed["runbooks"] if row["name"] == "zone-down").items()
    assert "point-in-time-restore" in listed["procedures"]
    assert run(["runbook", "list"]) == ExitCode.OK
    assert "never" in capsys.readouterr().out
