"""The page of a report: verdicts, and for each run what clients saw beside what was done and noticed."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.measurements.html import render_page
from services.contracts.promises import ERROR_BUDGET_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.result import Report, Run
    from chaos.traffic.figures import Figures

WIDTH = 900
"""Of the time axis, in pixels; lanes have names to the left of it."""
LEFT = 120
_ROW = 22
_TEMPLATE = Path(__file__).with_name("report.html.j2")


def html(report: Report, runbook: str) -> str:
    """Return the page."""
    runs = [_run(number, run) for number, run in enumerate(report.runs, 1)]
    return render_page(
        _TEMPLATE,
        report=report,
        verdicts=report.verdicts,
        runs=runs,
        runbook=runbook,
        budget=round(ERROR_BUDGET_SECONDS),
        left=LEFT,
        width=WIDTH,
    )


def _run(number: int, run: Run) -> dict[str, Any]:
    seconds = max(run.ended - run.began, 1.0)
    scale = WIDTH / seconds
    lanes = [
        {"name": name, "y": 24 + row * _ROW, "cells": _cells(each, run, scale)}
        for row, (name, each) in enumerate(sorted(run.lanes.items()))
    ]
    return {
        "number": number,
        "run": run,
        "height": 24 + len(lanes) * _ROW + 26,
        "lanes": lanes,
        "figures": sorted(run.lanes.items()),
        "errors": _errors(run),
        "marks": [{"x": LEFT + (mark.at - run.began) * scale, "mark": mark} for mark in run.marks],
        "ticks": [
            {"x": LEFT + second * scale, "second": second}
            for second in range(0, int(seconds) + 1, _step(seconds))
        ],
        "story": _story(run),
        "budget": round(100 * run.budget, 1),
    }


def _cells(figures: Figures, run: Run, scale: float) -> Sequence[dict[str, float | str]]:
    """Return a cell per second: red where nothing was acknowledged, amber where little was or it was slow."""
    usual = statistics.median([count for count, _ in figures.series] or [0])
    cells: list[dict[str, float | str]] = []
    for second, (count, worst) in enumerate(figures.series[: int(run.ended - run.began) + 1]):
        kind = "error" if count == 0 else "warning" if worst > 1.0 or count < usual / 2 else "ok"
        told = f"second {second}: {count} acknowledged, slowest {worst:.2f} s"
        cells.append({"x": LEFT + second * scale, "w": max(scale - 0.5, 0.5), "kind": kind, "told": told})
    return cells


def _step(seconds: float) -> int:
    """Return how many seconds lie between two ticks of the axis."""
    return next((step for step in (5, 10, 20, 30, 60) if seconds / step <= 20), 120)  # noqa: PLR2004 - ticks that fit


def _errors(run: Run) -> list[tuple[str, str, int]]:
    return [
        (name, text, count) for name, each in sorted(run.lanes.items()) for text, count in each.errors.items()
    ]


def _story(run: Run) -> list[tuple[float, str, str]]:
    """Return what was done and noticed, in order: seconds from the first fault, what, how it shows."""
    told = [(mark.at, mark.what, "error" if mark.hurts else "ok") for mark in run.marks]
    told += [(event.at, f"{event.what}: {event.before} → {event.after}", "") for event in run.events]
    told += [
        (each.gap_from, f"{name}: nothing acknowledged for {each.gap:.1f} s", "warning")
        for name, each in run.lanes.items()
        if each.gap > 1.0
    ]
    return [(round(at - run.hurt_at, 1), what, kind) for at, what, kind in sorted(told)]
