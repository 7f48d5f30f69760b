"""Seconds from a fault to its alerts, as a run of an experiment records them."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

from chaos.context import Annotation
from chaos.results import ExperimentRun
from cli.actions.alert_detection import (
    Detection,
    detect,
    read_detections,
    stored_detections,
    summarize,
    write_detections,
)
from cli.observability_client import Series
from infra.alerts.rules import INHIBITION, PAGE_INTERVAL_SECONDS

INJECTED, UNDONE, ENDED = 100.0, 140.0, 260.0
"""Seconds ago, counted from the start of the run at 0."""


class FakeMetrics:
    """A layer in which alerts fired."""

    def __init__(self, *series: Series, deployed: bool = True) -> None:
        self.series, self.deployed = list(series), deployed

    def is_deployed(self) -> bool:
        return self.deployed

    def metrics_range(
        self, query: str, start: dt.datetime, end: dt.datetime, step_seconds: float
    ) -> list[Series]:
        assert INHIBITION in query
        assert step_seconds < PAGE_INTERVAL_SECONDS
        assert round((end - start).total_seconds()) == ENDED - INJECTED
        return self.series


def _run(*, is_injected: bool = True) -> ExperimentRun:
    begin = time.monotonic() - ENDED
    annotations = (
        Annotation(at=begin + INJECTED, description="kill", is_injection=True),
        Annotation(at=begin + UNDONE, description="undo", is_injection=False),
    )
    return ExperimentRun(
        started_at=begin, ended_at=begin + ENDED, annotations=annotations if is_injected else ()
    )


def _series(name: str, first: float, last: float) -> Series:
    begin = time.time() - ENDED
    return Series({"alertname": name, "severity": "page"}, ((begin + first, 1.0), (begin + last, 1.0)))


def test_detection_and_reset_are_measured_from_injection_and_undo() -> None:
    metrics = FakeMetrics(_series("ApiAvailability", 115, 255), _series("PostgresDown", 108, 150))
    first, second = detect(metrics, _run())
    assert (first.alert, round(first.seconds), round(first.reset_seconds or 0)) == ("PostgresDown", 8, 10)
    assert (second.alert, round(second.seconds), second.reset_seconds) == ("ApiAvailability", 15, None)


def test_nothing_is_measured_without_the_layer_or_a_fault(tmp_path: Path) -> None:
    assert detect(FakeMetrics(deployed=False), _run()) == []
    assert detect(FakeMetrics(), _run(is_injected=False)) == []
    assert read_detections(tmp_path / "kubeconfig", _run()) == []


def detection(seconds: float) -> Detection:
    return Detection("PostgresDown", "page", "", seconds, None)


def test_stored_detections_are_summarized_by_alert(tmp_path: Path) -> None:
    folder = tmp_path / "20260101-postgres-primary-killed"
    folder.mkdir()
    for number, seconds in enumerate((8.0, 12.0, 10.0), 1):
        write_detections(folder, number, "postgres-primary-killed", [detection(seconds)])
    (first, *_) = stored = stored_detections(tmp_path)
    assert first["experiment"] == "postgres-primary-killed"
    (row,) = summarize(stored)
    assert (row["runs"], row["median_seconds"], row["worst_seconds"]) == (3, 10.0, 12.0)
    assert row["worst_reset_seconds"] is None
