"""Every rule fires for its fault, ends after it, and is silent in a quiet night; in simulated time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.alerts.catalog import ALERT_BY_NAME, ALERTS, Alert, Source
from infra.alerts.rules import INHIBITION, render_rules, rule_groups
from tests.servers.alert_faults import FAULT_BY_ALERT, FAULTS
from tests.servers.rule_replay import Replay
from tests.servers.synthetic_metrics import HEALTHY, QUIET_SECONDS, Fault, changed
from tests.servers.vmalert_tool import Expectation, RuleTest, run_rule_tests

pytestmark = pytest.mark.contract

ENVIRONMENT = "test"
INTERVAL_SECONDS = 30
DAY_SECONDS = 86_400
DETECTION_SECONDS = 60
"""In steps of `INTERVAL_SECONDS`, a rate over a minute takes this long to show a change."""
FAST_BURN = "14.4"
PAGES = "pages"


def _rules(alert: Alert, rule: dict[str, Any]) -> bool:
    return rule.get("alert") == alert.name and rule["labels"].get("burn", FAST_BURN) == FAST_BURN


def _test_of(fault: Fault) -> RuleTest:
    alert = ALERT_BY_NAME[fault.alert]
    groups = [
        {**group, "rules": [rule for rule in group["rules"] if _rules(alert, rule)]}
        for group in rule_groups(ENVIRONMENT, [alert])
    ]
    (group,) = [group for group in groups if group["rules"]]
    metrics = {
        entry.metric for entry in HEALTHY if any(entry.metric in rule["expr"] for rule in group["rules"])
    }
    healthy = [entry for entry in HEALTHY if entry.metric in metrics]
    labels = {**group["rules"][0]["labels"], **fault.labels}
    detected = QUIET_SECONDS + fault.seconds - INTERVAL_SECONDS
    end = QUIET_SECONDS + fault.seconds + fault.recovery_seconds
    return RuleTest(
        alert.slug,
        [group],
        [
            (QUIET_SECONDS, healthy),
            (fault.seconds, changed(fault, healthy)),
            (fault.recovery_seconds + INTERVAL_SECONDS, healthy),
        ],
        [
            Expectation(QUIET_SECONDS - INTERVAL_SECONDS, group["name"], alert.name),
            Expectation(detected, group["name"], alert.name, (labels,)),
            Expectation(end, group["name"], alert.name),
        ],
    )


def test_every_rule_has_a_fault() -> None:
    rules = {alert.name for alert in ALERTS if alert.source is Source.RULE}
    assert rules - set(FAULT_BY_ALERT) == {"ProcessingAnomaly"}  # needs days of history


def test_each_alert_fires_for_its_fault_and_ends_after_it(tmp_path: Path) -> None:
    run_rule_tests([_test_of(fault) for fault in FAULTS], tmp_path, INTERVAL_SECONDS)


def test_data_service_without_any_pod_pages(tmp_path: Path) -> None:
    """Pods that do not run are no targets: nothing says that they are down."""
    alerts = {
        "PostgresDown": ("postgres", "patroni_primary"),
        "RedisDown": ("redis", "redis_instance_info"),
        "KafkaQuorumLost": ("kafka", "kafka_active_controller"),
        "ObjectStoreDown": ("object-store", "cluster_available"),
    }
    tests = []
    for alert, (workload, metric) in alerts.items():
        gone = {entry.name: None for entry in HEALTHY if f'job="{workload}"' in entry.name}
        ready = {f'kube_workload_ready_replicas{{service="{workload}"}}': 0.0}
        tests.append(_test_of(Fault(alert, {**gone, **ready, metric: None})))
    run_rule_tests(tests, tmp_path, INTERVAL_SECONDS)


def test_damage_of_an_hour_ago_does_not_hide_new_damage(tmp_path: Path) -> None:
    """Garage counts damaged blocks since its start, and never back."""
    test, hour = _test_of(FAULT_BY_ALERT["DataDamaged"]), 3600
    *_, (seconds, damaged), _ = test.phases
    (group,), labels = test.groups, test.expectations[1].labels
    more = changed(Fault("DataDamaged", {entry.name: 3.0 for entry in damaged if entry.value}), damaged)
    repaired = QUIET_SECONDS + seconds + hour + 60
    phases = [test.phases[0], (seconds + hour + 90, damaged), (60, more)]
    expectations = [
        Expectation(repaired, group["name"], "DataDamaged"),
        Expectation(repaired + 60, group["name"], "DataDamaged", labels),
    ]
    run_rule_tests([RuleTest("damage", [group], phases, expectations)], tmp_path, INTERVAL_SECONDS)


def test_consequences_are_inhibited_while_their_cause_is_new(tmp_path: Path) -> None:
    alert, fault, hour = ALERT_BY_NAME["ZoneDown"], FAULT_BY_ALERT["ZoneDown"], 3600
    (group,) = [group for group in rule_groups(ENVIRONMENT, [alert]) if group["name"] == PAGES]
    rules = [rule for rule in group["rules"] if rule["alert"] == INHIBITION]
    firing = {rule["labels"]["reach"]: rule["labels"] for rule in rules}
    test = RuleTest(
        "inhibition",
        [{**group, "rules": rules}],
        [(QUIET_SECONDS, HEALTHY), (60, changed(fault)), (hour, HEALTHY)],
        [
            Expectation(QUIET_SECONDS - INTERVAL_SECONDS, PAGES, INHIBITION),
            Expectation(QUIET_SECONDS + 30, PAGES, INHIBITION, tuple(firing.values())),
            Expectation(QUIET_SECONDS + 300, PAGES, INHIBITION, tuple(firing.values())),
            Expectation(QUIET_SECONDS + 600, PAGES, INHIBITION, (firing["slow_burn"],)),
            Expectation(QUIET_SECONDS + hour, PAGES, INHIBITION),
        ],
    )
    run_rule_tests([test], tmp_path, INTERVAL_SECONDS)


def test_no_alert_fires_in_24_quiet_hours() -> None:
    with Replay([(DAY_SECONDS, HEALTHY)]) as night:
        night.evaluate(render_rules(ENVIRONMENT))
        assert night.firing() == []
        assert night.recorded("esq:events:1m") > 0  # the rules were evaluated
