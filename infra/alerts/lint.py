"""Problems of the table of alerts that neither a type nor vmalert reports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from infra.alerts.alert import Source
from infra.alerts.anomalies import SIGNAL, SIGNAL_GUARD
from infra.alerts.burn_rates import ALL_PER_MINUTE, BAD_PER_MINUTE
from infra.alerts.rules import alert_rules
from infra.components.observability.scraped_metrics import SCRAPED_METRICS
from infra.errors import Problem
from services.contracts.slo import SLO_BY_ID

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from infra.alerts.alert import Alert

RECORDED_METRICS = frozenset({BAD_PER_MINUTE, ALL_PER_MINUTE, SIGNAL, SIGNAL_GUARD})
KNOWN_METRICS = SCRAPED_METRICS | RECORDED_METRICS
BOUNDED_LABELS = frozenset(
    {
        *("zone", "node", "pod", "job", "service", "component", "dependency", "persistentvolumeclaim"),
        *("queue", "topic", "state", "signal", "indicator", "burn"),
    }
)
"""Labels with few values. A company, a campaign or a phone number would make an alert for each of them."""

_STRING = re.compile(r'"[^"]*"')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR_OR_WINDOW = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
_NAME = re.compile(r"(?<![\w.:])([a-zA-Z_][\w:]*)(?!\s*\()(?![\w:])")
_KEYWORDS = frozenset(
    {"and", "or", "unless", "if", "ifnot", "default", "offset", "bool", "WITH", "inf", "NaN"}
)
_DEFINITION = re.compile(r"\b(\w+)\s*=(?![=~])")
_DURATION = re.compile(r"(?<![\w:])\d+(?:\.\d+)?(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*\b")
_LABEL_OF_TEXT = re.compile(r"\$labels\.(\w+)")
_SET_LABEL = re.compile(r'label_set\([^"]*"(\w+)"')
_REMEDY = "Correct `infra/alerts/`."


def metrics_of(expression: str) -> set[str]:
    """Return the names of the metrics that an expression reads."""
    text = _SELECTOR_OR_WINDOW.sub("", _STRING.sub("", expression))
    names = _DEFINITION.findall(text)
    text = _DURATION.sub("", _GROUPING.sub("", text))
    return set(_NAME.findall(text)) - _KEYWORDS - set(names)


def labels_of(expression: str) -> set[str]:
    """Return the names of the labels that an expression groups by or sets."""
    groups = (
        label.strip()
        for match in _GROUPING.findall(_STRING.sub('""', expression))
        for label in match.split(",")
    )
    return {label for label in groups if label} | set(_SET_LABEL.findall(expression))


def find_problems(alerts: Sequence[Alert], experiments: Collection[str]) -> list[Problem]:
    """Return all problems of alerts.

    Args:
        alerts: the table.
        experiments: names of the experiments.
    """
    names = {alert.name for alert in alerts if alert.source is Source.RULE}
    return [
        Problem(message, f"alert {alert.name}", _REMEDY)
        for alert in alerts
        for message in (
            *_meaning_problems(alert, experiments),
            *(f"inhibits {name}, which is no rule" for name in alert.inhibits if name not in names),
            *_rule_problems(alert),
        )
    ]


def _meaning_problems(alert: Alert, experiments: Collection[str]) -> Iterator[str]:
    if not alert.summary or not alert.impact:
        yield "has no summary or no impact"
    if bool(alert.experiment) == bool(alert.unproven):
        yield "must have either an experiment or a reason why no experiment makes it fire"
    if alert.experiment and alert.experiment not in experiments:
        yield f"names an experiment that does not exist: {alert.experiment}"
    if alert.slo and alert.slo not in SLO_BY_ID:
        yield f"names an SLO that does not exist: {alert.slo}"


def _rule_problems(alert: Alert) -> Iterator[str]:
    rules = list(alert_rules(alert, "ENV"))
    if bool(rules) == (alert.source is Source.COMMAND):
        yield "has a rule although a command finds it" if rules else "has no rule"
    for rule in rules:
        expression = rule["expr"]
        if unknown := sorted(metrics_of(expression) - KNOWN_METRICS):
            yield f"reads metrics that are not scraped: {', '.join(unknown)}"
        labels = labels_of(expression)
        if unbounded := sorted(labels - BOUNDED_LABELS - {"day"}):
            yield f"has labels that are not known to be bounded: {', '.join(unbounded)}"
        known = labels | set(rule["labels"]) | {"job"}
        if missing := sorted(set(_LABEL_OF_TEXT.findall(alert.summary)) - known):
            yield f"its summary names labels that its expression does not have: {', '.join(missing)}"
