"""The table of alerts has no problems, and each kind of problem is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.alerts.catalog import ALERT_BY_NAME, ALERTS, Alert, Source
from infra.alerts.lint import find_problems, labels_of, metrics_of

EXPERIMENTS = {path.stem for path in (Path(__file__).parents[3] / "chaos" / "experiments").glob("*.yaml")}
VALID = ALERT_BY_NAME["PostgresSlow"]
COMMAND = ALERT_BY_NAME["DeployFailed"]


def _messages(*alerts: Alert) -> str:
    return "\n".join(problem.message for problem in find_problems(alerts, EXPERIMENTS))


def test_catalog_has_no_problems() -> None:
    assert find_problems(ALERTS, EXPERIMENTS) == []


@pytest.mark.parametrize(
    ("alert", "message"),
    [
        (replace(VALID, impact=""), "no impact"),
        (replace(VALID, experiment=None), "either an experiment or a reason"),
        (replace(VALID, unproven="a reason"), "either an experiment or a reason"),
        (replace(VALID, experiment="earthquake"), "does not exist: earthquake"),
        (replace(VALID, slo="no-such-slo"), "does not exist: no-such-slo"),
        (replace(VALID, inhibits=("DeployFailed",)), "inhibits DeployFailed, which is no rule"),
        (replace(VALID, expression=""), "has no rule"),
        (replace(COMMAND, expression="up == 0"), "has a rule although a command finds it"),
        (replace(VALID, expression="max by (pod) (unknown_metric) > 1"), "not scraped: unknown_metric"),
        (replace(VALID, expression="max by (pod, company) (up) > 1"), "not known to be bounded: company"),
        (replace(VALID, expression="max(up) > 1"), "labels that its expression does not have: pod"),
    ],
)
def test_problem_is_found(alert: Alert, message: str) -> None:
    assert message in _messages(alert)


def test_all_problems_are_reported_at_once() -> None:
    assert len(find_problems([replace(VALID, slo="none", impact="", expression="")], EXPERIMENTS)) == 3


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ('sum by (job) (rate(a_total{job="b"}[5m] offset 1h30m)) > 0.5', {"a_total"}),
        ("esq:events:1m / on() group_left(zone) other", {"esq:events:1m", "other"}),
        ("WITH (x = max(a), y = x) y if (b default 0)", {"a", "b"}),
        ('label_set(absent(up), "job", "c")', {"up"}),
    ],
)
def test_metrics_of_an_expression_are_found(expression: str, metrics: set[str]) -> None:
    assert metrics_of(expression) == metrics


def test_labels_of_an_expression_are_found() -> None:
    assert labels_of('label_set(sum by (pod, zone) (a), "queue", "b") and on() c') == {"pod", "zone", "queue"}


def test_commands_have_no_rule() -> None:
    assert all(not alert.expression for alert in ALERTS if alert.source is Source.COMMAND)
