"""Unit tests of rules by `vmalert-tool unittest`: simulated time, real expressions."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.servers.synthetic_metrics import Series

TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class Expectation:
    """What must fire at a time.

    Attributes:
        seconds: time since the start.
        group: group of the rule.
        alert: name of the rule.
        labels: labels of each alert that must fire; empty for none.
    """

    seconds: int
    group: str
    alert: str
    labels: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class RuleTest:
    """A test of a set of rules.

    Attributes:
        name: name of the test.
        groups: groups of rules.
        phases: seconds, and the series during them.
        expectations: what must fire, and when.
    """

    name: str
    groups: Sequence[Mapping[str, Any]]
    phases: Sequence[tuple[int, Sequence[Series]]]
    expectations: Sequence[Expectation] = field(default=())


def run_rule_tests(tests: Sequence[RuleTest], folder: Path, interval_seconds: int) -> None:
    """Run tests in one process, which starts slowly; it ends at the first one that fails.

    Args:
        tests: the tests.
        folder: folder for the files.
        interval_seconds: interval of samples and evaluations.

    Raises:
        AssertionError: a rule does not do what is expected.
    """
    for test in tests:
        rules = {"groups": [_without_annotations(group) for group in test.groups]}
        (folder / f"{test.name}.rules").write_text(yaml.safe_dump(rules))
        (folder / f"{test.name}.test").write_text(yaml.safe_dump(_document(test, interval_seconds)))
    result = subprocess.run(
        ["vmalert-tool", "unittest", *(f"-files={test.name}.test" for test in tests)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=TIMEOUT_SECONDS,
    )
    if result.returncode != 0:
        raise AssertionError(result.stdout.rpartition("SUCCESS")[2] + result.stderr)


def _without_annotations(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group without annotations: the tool would compare all of them."""
    rules = [{key: value for key, value in rule.items() if key != "annotations"} for rule in group["rules"]]
    return {**group, "rules": rules}


def _document(test: RuleTest, interval_seconds: int) -> dict[str, Any]:
    return {
        "rule_files": [f"{test.name}.rules"],
        "evaluation_interval": f"{interval_seconds}s",
        "tests": [
            {
                "name": test.name,
                "input_series": _input_series(test.phases, interval_seconds),
                "alert_rule_test": [
                    {
                        "eval_time": f"{expectation.seconds}s",
                        "groupname": expectation.group,
                        "alertname": expectation.alert,
                        "exp_alerts": [{"exp_labels": dict(labels)} for labels in expectation.labels],
                    }
                    for expectation in test.expectations
                ],
            }
        ],
    }


_START = 946_684_800
"""Simulated time begins on 2000-01-01."""


def _input_series(
    phases: Sequence[tuple[int, Sequence[Series]]], interval_seconds: int
) -> list[dict[str, str]]:
    by_name: dict[str, list[str]] = {}
    counts: dict[str, float] = {}
    done = 0
    for seconds, series in phases:
        samples = seconds // interval_seconds
        for entry in series:
            values = by_name.setdefault(entry.name, [f"_x{done}"] if done else [])
            if entry.value is None:
                values += ["stale", f"_x{samples - 1}"]
            elif entry.counter:
                step, start = entry.value * interval_seconds, counts.get(entry.name, 0.0)
                values.append(f"{start:.9g}+{step:.9g}x{samples - 1}")
                counts[entry.name] = start + step * samples
            else:
                values.append(f"{entry.value + (_START if entry.since_now else 0):.12g}x{samples - 1}")
        done += samples
    return [{"series": name, "values": " ".join(values)} for name, values in by_name.items()]
