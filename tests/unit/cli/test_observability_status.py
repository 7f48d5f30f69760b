"""The state of the observability layer: what keeps alerts from firing or from being told is a problem."""

from __future__ import annotations

from typing import Any

import pytest

from cli.actions.observability_status import LayerStatus
from cli.observability_client import parse_alerts


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (LayerStatus(), "nothing is scraped"),
        (LayerStatus(targets_up=9, targets=9), "nobody evaluates the rules"),
        (LayerStatus(9, 9, evaluators=2, failed_notifications=3), "3 attempts to tell a receiver"),
        (LayerStatus(problem="no answer"), "no answer"),
    ],
)
def test_layer_that_cannot_page_has_a_problem(status: LayerStatus, problem: str) -> None:
    (text,) = status.problems
    assert problem in text


def test_layer_that_pages_has_none() -> None:
    assert not LayerStatus(9, 10, ("PostgresDown",), evaluators=1).problems


def _row(name: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name},
        "annotations": {},
        "startsAt": "2026-01-01T00:00:00Z",
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
    }


def test_what_only_suppresses_alerts_is_no_alert() -> None:
    (alert,) = parse_alerts([_row("Inhibition"), _row("PostgresDown")])
    assert alert.name == "PostgresDown"
