"""Deploys, faults and alerts on one time axis, and the open faults."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.operations_page.panel import Content
from cli.operations_page.rendering import render
from infra.errors import EsqError
from infra.measurements.html.charts import TimeAxis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.actions.deploy_history import StackRun
    from cli.actions.open_faults import JournalStatus
    from infra.measurements.report_store import StoredReport

PERIOD = dt.timedelta(hours=6)
"""What the axis shows."""
MAX_PERIODS = 40
"""Periods per lane, the latest ones."""
_LABEL_WIDTH, _PLOT_WIDTH = 100, 840
_ROW_HEIGHT, _TOP = 30, 30
_MIN_WIDTH = 4.0
"""Pixels: a period of seconds must be visible on an axis of hours."""


@dataclass(frozen=True)
class Period:
    """A period with a description.

    Attributes:
        start: its start (UTC).
        end: its end (UTC); None if it has not ended.
        description: what happened.
    """

    start: dt.datetime
    end: dt.datetime | None
    description: str


@dataclass(frozen=True)
class Lane:
    """A row of the time axis.

    Attributes:
        name: its name.
        style: CSS class of its bars.
        read: reads its periods; may raise an EsqError.
    """

    name: str
    style: str
    read: Callable[[], Sequence[Period]]


@dataclass(frozen=True)
class _Row:
    lane: Lane
    y: int
    bars: list[tuple[float, float]]
    periods: list[Period]
    problem: str


def timeline_content(lanes: Sequence[Lane], now: dt.datetime) -> Content:
    """Return the panel with the time axis.

    Args:
        lanes: its rows; one that cannot be read says so and does not hide the others.
        now: end of the axis (UTC).
    """
    axis = TimeAxis(PERIOD.total_seconds(), (), _LABEL_WIDTH, _PLOT_WIDTH, starts_at=now - PERIOD)
    rows = [_row(lane, _TOP + number * _ROW_HEIGHT, axis, now) for number, lane in enumerate(lanes)]
    html = render("timeline", axis=axis, rows=rows, top=_TOP, bottom=_TOP + len(rows) * _ROW_HEIGHT)
    return Content(
        html, tuple(f"{row.lane.name} cannot be read: {row.problem}" for row in rows if row.problem)
    )


def _row(lane: Lane, y: int, axis: TimeAxis, now: dt.datetime) -> _Row:
    try:
        periods = [period for period in lane.read() if (period.end or now) >= now - PERIOD]
    except EsqError as error:
        return _Row(lane, y, [], [], error.message)
    latest = sorted(periods, key=lambda period: period.start, reverse=True)[:MAX_PERIODS]
    return _Row(lane, y, [_bar(period, axis, now) for period in latest], latest, "")


def _bar(period: Period, axis: TimeAxis, now: dt.datetime) -> tuple[float, float]:
    """Return position and width of a period."""
    origin = now - PERIOD
    left, right = (axis.x((at - origin).total_seconds()) for at in (period.start, period.end or now))
    return left, max(round(right - left, 1), _MIN_WIDTH)


def deploy_periods(runs: Sequence[StackRun]) -> list[Period]:
    """Return the runs of the engine as periods."""
    return [Period(run.started_at, run.ended_at, str(run)) for run in runs]


def fault_periods(status: JournalStatus, experiments: Sequence[StoredReport]) -> list[Period]:
    """Return open faults, the run in progress, and past experiments.

    Args:
        status: the journal of the environment.
        experiments: reports of past experiments.
    """
    faults = [
        Period(
            dt.datetime.fromtimestamp(fault.entry.opened_at, dt.UTC),
            None,
            f"{fault.entry.fault}, of {fault.entry.experiment}",
        )
        for fault in status.faults
    ]
    run = status.run
    running = (
        [Period(dt.datetime.fromisoformat(run.started_at), None, f"experiment {run.experiment}")]
        if run
        else []
    )
    past = [
        Period(report.started_at, report.written_at, f"experiment {report.subject}") for report in experiments
    ]
    return [*past, *running, *faults]


def faults_content(status: JournalStatus, environment: str) -> Content:
    """Return the panel of open faults of experiments.

    Args:
        status: the journal of the environment.
        environment: name of the environment, for the command.
    """
    left = sum(fault.is_left for fault in status.faults) + len(status.problems)
    command = f"esq chaos rollback {environment}"
    problems = [f"faults left by an experiment: {left}; undo them: {command}"] if left else []
    return Content(render("faults", status=status), tuple(problems))
