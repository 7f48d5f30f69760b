"""HTML page of a report: SLO evaluations, and for each run the client statistics beside faults and events."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.measurements.html import render_page
from services.contracts.slo import ERROR_BUDGET_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.results import ChaosReport, ExperimentRun
    from chaos.traffic.client_stats import StreamStats

AXIS_WIDTH = 900
"""Width of the time axis in pixels; the names of the streams are left of it."""
LABEL_WIDTH = 120
_ROW_HEIGHT = 22
_TEMPLATE = Path(__file__).with_name("report.html.j2")


def render_report(report: ChaosReport, runbook: str) -> str:
    """Return the HTML page.

    Args:
        report: the report.
        runbook: text of the runbook.
    """
    return render_page(
        _TEMPLATE,
        report=report,
        evaluations=report.evaluations,
        runs=[_run_context(number, run) for number, run in enumerate(report.runs, 1)],
        runbook=runbook,
        budget=round(ERROR_BUDGET_SECONDS),
        label_width=LABEL_WIDTH,
        axis_width=AXIS_WIDTH,
    )


def _run_context(number: int, run: ExperimentRun) -> dict[str, Any]:
    seconds = max(run.ended_at - run.started_at, 1.0)
    scale = AXIS_WIDTH / seconds
    rows = [
        {"name": name, "y": 24 + row * _ROW_HEIGHT, "cells": _cells(stats, run, scale)}
        for row, (name, stats) in enumerate(sorted(run.streams.items()))
    ]
    return {
        "number": number,
        "run": run,
        "height": 24 + len(rows) * _ROW_HEIGHT + 26,
        "rows": rows,
        "streams": sorted(run.streams.items()),
        "errors": _errors(run),
        "annotations": [
            {"x": LABEL_WIDTH + (annotation.at - run.started_at) * scale, "annotation": annotation}
            for annotation in run.annotations
        ],
        "ticks": [
            {"x": LABEL_WIDTH + second * scale, "second": second}
            for second in range(0, int(seconds) + 1, _tick_seconds(seconds))
        ],
        "timeline": _timeline_rows(run),
        "budget": run.error_budget_share,
    }


def _cells(stats: StreamStats, run: ExperimentRun, scale: float) -> Sequence[dict[str, float | str]]:
    """Return a cell per second: red without acknowledgements, amber with few or slow ones."""
    median_count = statistics.median([count for count, _ in stats.series] or [0])
    cells: list[dict[str, float | str]] = []
    for second, (count, slowest) in enumerate(stats.series[: int(run.ended_at - run.started_at) + 1]):
        kind = "error" if count == 0 else "warning" if slowest > 1.0 or count < median_count / 2 else "ok"
        tooltip = f"second {second}: {count} acknowledged, slowest {slowest:.2f} s"
        cells.append(
            {"x": LABEL_WIDTH + second * scale, "w": max(scale - 0.5, 0.5), "kind": kind, "tooltip": tooltip}
        )
    return cells


def _tick_seconds(seconds: float) -> int:
    """Return the distance of two ticks of the axis in seconds."""
    return next((step for step in (5, 10, 20, 30, 60) if seconds / step <= 20), 120)  # noqa: PLR2004 - ticks that fit


def _errors(run: ExperimentRun) -> list[tuple[str, str, int]]:
    return [
        (name, text, count)
        for name, stats in sorted(run.streams.items())
        for text, count in stats.errors.items()
    ]


def _timeline_rows(run: ExperimentRun) -> list[tuple[float, str, str]]:
    """Return faults, events and unavailability in order: seconds since the first fault, text, CSS class."""
    rows = [
        (annotation.at, annotation.description, "error" if annotation.is_injection else "ok")
        for annotation in run.annotations
    ]
    rows += [(event.at, f"{event.subject}: {event.before} → {event.after}", "") for event in run.events]
    rows += [
        (
            stats.unavailable_from,
            f"{name}: no acknowledgement for {stats.max_unavailability_seconds:.1f} s",
            "warning",
        )
        for name, stats in run.streams.items()
        if stats.max_unavailability_seconds > 1.0
    ]
    return [(round(at - run.first_injection_at, 1), text, kind) for at, text, kind in sorted(rows)]
