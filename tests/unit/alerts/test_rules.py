"""The rules that are made from the table of alerts."""

from __future__ import annotations

import re
from typing import Any

import yaml

from infra.alerts.catalog import ALERT_BY_NAME
from infra.alerts.rules import INHIBITION, PAGE_INTERVAL_SECONDS, render_rules, rule_groups
from infra.components.observability.scraped_metrics import JOBS


def _group(name: str) -> dict[str, Any]:
    return next(group for group in rule_groups("staging") if group["name"] == name)


def test_what_pages_is_evaluated_every_5_seconds() -> None:
    pages = _group("pages")
    assert pages["interval"] == "5s"
    assert {rule["labels"]["severity"] for rule in pages["rules"]} == {"page", "none"}
    assert {rule["labels"]["severity"] for rule in _group("tickets")["rules"]} == {"ticket"}


def test_lost_zone_is_known_as_soon_as_its_consequences() -> None:
    jobs = re.search(r'job=~"([^"]+)"', ALERT_BY_NAME["ZoneDown"].expression)
    assert jobs is not None
    intervals = {job.interval_seconds for job in JOBS if job.name in jobs[1].split("|")}
    assert intervals == {PAGE_INTERVAL_SECONDS}


def test_causes_are_evaluated_before_their_consequences() -> None:
    names = [rule["alert"] for rule in _group("pages")["rules"]]
    assert max(index for index, name in enumerate(names) if name == INHIBITION) < names.index("PostgresDown")


def test_burn_rate_pages_twice_and_makes_one_ticket() -> None:
    rules = [
        rule
        for group in rule_groups("staging")
        for rule in group["rules"]
        if rule.get("alert") == "ApiLatency"
    ]
    assert [(rule["labels"]["burn"], rule["labels"]["severity"]) for rule in rules] == [
        ("14.4", "page"),
        ("6", "page"),
        ("1", "ticket"),
    ]


def test_rule_names_its_runbook_and_the_command_of_the_environment() -> None:
    rule = next(rule for rule in _group("pages")["rules"] if rule["alert"] == "PostgresDown")
    assert rule["annotations"]["runbook"] == "runbooks/postgres-down.md"
    assert rule["annotations"]["command"] == "esq runbook run postgres-down staging"
    assert rule["annotations"]["summary"] == ALERT_BY_NAME["PostgresDown"].summary
    assert rule["labels"]["environment"] == "staging"


def test_rendered_file_holds_the_same_groups() -> None:
    assert yaml.safe_load(render_rules("staging")) == {"groups": rule_groups("staging")}
