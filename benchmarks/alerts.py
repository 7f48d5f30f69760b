"""Alerts: precision, recall, detection and reset of each one, and the time from an outage to its page.

    ./esq python benchmarks/alerts.py simulated
    ./esq python benchmarks/alerts.py live --outages 10

`simulated` replays the rules over 24 quiet hours and then one fault per alert, with the evaluations of a real
environment in simulated time; `keep_firing_for` (30 s) has no effect there. `live` runs VictoriaMetrics,
vmalert and Alertmanager on loopback with their real intervals, and causes outages at random phases of them,
first with the rules of an environment, then with ten times as many.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tests.conftest  # noqa: F401 - puts the tools on PATH
from infra.alerts.catalog import ALERT_BY_NAME
from infra.alerts.rules import INHIBITION, render_rules, rule_groups
from tests.servers.alert_faults import FAULT_BY_ALERT, FAULTS
from tests.servers.live_alerts import ENVIRONMENT, LiveAlerts
from tests.servers.rule_replay import Replay
from tests.servers.synthetic_metrics import HEALTHY, SCRAPE_SECONDS, changed

if TYPE_CHECKING:
    from collections.abc import Sequence

QUIET_SECONDS = 86_400
PAUSE_SECONDS = 4500
"""Healthy time after a fault: the longest window that an alert needs to end, and some."""
SLOW_BURNS = {"6", "1"}
"""Their windows end hours after a fault: they count for their own alert whenever they fire."""
OUTAGE = "PostgresDown"
PAGE_TIMEOUT_SECONDS = 120.0
RULES_FACTOR = 10
MAX_P95_SECONDS, MAX_SLOWER_SECONDS = 15.0, 2.0


def simulate() -> bool:
    """Print a row per alert, precision and recall; return whether precision and recall are 100 %."""
    phases: list[tuple[int, Any]] = [(QUIET_SECONDS, HEALTHY)]
    starts = {}
    at = QUIET_SECONDS
    for fault in FAULTS:
        starts[fault.alert] = at
        phases += [(fault.seconds, changed(fault)), (PAUSE_SECONDS, HEALTHY)]
        at += fault.seconds + PAUSE_SECONDS
    with Replay(phases) as past:
        past.evaluate(render_rules(ENVIRONMENT))
        firing = [(labels, times) for labels, times in past.firing() if labels["alertname"] != INHIBITION]
    quiet = sorted({labels["alertname"] for labels, times in firing if min(times) < QUIET_SECONDS})
    rows = []
    for fault in FAULTS:
        start, end = starts[fault.alert], starts[fault.alert] + fault.seconds
        own, besides = _fired(firing, fault.alert, start, end + PAUSE_SECONDS)
        rows.append(
            {
                "alert": fault.alert,
                "severity": str(ALERT_BY_NAME[fault.alert].severity),
                "detection_seconds": own[0] - start if own else None,
                "reset_seconds": max(0, own[-1] - end) if own else None,
                "false_alerts": besides,
            }
        )
    detected = sum(row["detection_seconds"] is not None for row in rows)
    false_alerts = len(quiet) + sum(len(row["false_alerts"]) for row in rows)
    _print(
        {
            "alerts_in_24_quiet_hours": quiet,
            "alerts": rows,
            "precision": detected / max(1, detected + false_alerts),
            "recall": detected / len(rows),
        }
    )
    return detected == len(rows) and not false_alerts


def _fired(
    firing: Sequence[tuple[dict[str, str], list[int]]], alert: str, start: int, end: int
) -> tuple[list[int], list[str]]:
    """Return when an alert fired, and which others did that it does not suppress."""
    own: list[int] = []
    besides = set()
    for labels, times in firing:
        during = [at for at in times if start <= at < end]
        name = labels["alertname"]
        if not during or labels.get("burn") in SLOW_BURNS:
            continue
        if name == alert:
            own += during
        elif name not in ALERT_BY_NAME[alert].inhibits:
            besides.add(name)
    return sorted(own), sorted(besides)


def measure(outages: int) -> bool:
    """Print the seconds from an outage to its page; return whether they are within the limits."""
    normal = _outages_to_page(outages, render_rules(ENVIRONMENT))
    many = _outages_to_page(outages, _multiplied(RULES_FACTOR))
    p95, many_p95 = (_p95(values) for values in (normal, many))
    _print({"outage_to_page": _summary(normal), f"with_{RULES_FACTOR}_times_the_rules": _summary(many)})
    return p95 <= MAX_P95_SECONDS and many_p95 - p95 <= MAX_SLOWER_SECONDS


def _outages_to_page(outages: int, rules: str) -> list[float]:
    seconds = []
    for _ in range(outages):
        with LiveAlerts(rules) as live:
            # After the first evaluations, at any phase of scrapes and evaluations.
            time.sleep(2 * SCRAPE_SECONDS + random.uniform(0, SCRAPE_SECONDS))  # noqa: S311 - a phase
            outage_at = live.break_by(FAULT_BY_ALERT[OUTAGE])
            seconds.append(live.wait_for_page(OUTAGE, PAGE_TIMEOUT_SECONDS) - outage_at)
    return seconds


def _multiplied(factor: int) -> str:
    """Return the rules, and copies of them that are evaluated but never fire."""
    groups = rule_groups(ENVIRONMENT)
    for group in groups:
        copies = [
            {
                **rule,
                "alert": f"{rule['alert']}Copy{number}",
                "expr": f"({rule['expr']}) and on() (vector(0) > 1)",
            }
            for number in range(1, factor)
            for rule in group["rules"]
            if "alert" in rule
        ]
        group["rules"] = [*copies, *group["rules"]]
    return str(yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000))


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "outages": len(seconds),
        "median_seconds": round(statistics.median(seconds), 1),
        "p95_seconds": round(_p95(seconds), 1),
        "worst_seconds": round(max(seconds), 1),
    }


def _print(result: dict[str, Any]) -> None:
    print(json.dumps(result, indent=2))  # noqa: T201 - the result


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]


def main() -> None:
    """Run one of the two parts; exit code 99 when a limit is exceeded."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["simulated", "live"])
    parser.add_argument("--outages", type=int, default=10, help="outages of each half of `live`")
    arguments = parser.parse_args()
    is_met = simulate() if arguments.part == "simulated" else measure(arguments.outages)
    sys.exit(0 if is_met else 99)


if __name__ == "__main__":
    main()
