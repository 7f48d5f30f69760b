"""Putting load on an environment, with or without a fault meanwhile, and keeping what came of it."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.actions.doors import open_doors
from cli.actions.load import ground, ledger
from cli.actions.load.fault import Fault
from cli.actions.promises import record
from infra.kubernetes import connect
from infra.measurements.measurements import current_commit, host_facts, package_versions
from infra.measurements.report_store import ReportStore
from loadtests.machine import Stopwatch
from loadtests.merge import merge
from loadtests.meter import Meter
from loadtests.page import html
from loadtests.process import Generators
from loadtests.result import Report

if TYPE_CHECKING:
    from pathlib import Path

    from cli.actions.doors import Doors
    from cli.environment import Environment
    from infra.progress import ProgressReporter, ProgressStep
    from loadtests.catalogue import Journey
    from loadtests.order import Created, Ground, Progress, Timetable, Told
    from loadtests.result import Requests

CALL_SECONDS = 120.0
"""For each thing that is made before a run."""
AFTER_SECONDS = 900.0
"""For what is under way when the timetable has ended."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for.

    Attributes:
        journey: which requests.
        timetable: when, in the journey's unit.
        processes: generators.
        experiment: a fault to be had meanwhile; None for none.
        command: what was typed.
    """

    journey: Journey
    timetable: Timetable
    processes: int
    experiment: str | None
    command: str

    @property
    def arrivals(self) -> Timetable:
        """When arrivals are due: of a campaign once for all of its recipients."""
        rate = self.timetable.rate / self.journey.per_arrival
        return self.timetable.model_copy(update={"rate": rate})

    @property
    def as_declared(self) -> bool:
        """Whether it asks for no less than the journey's own timetable: only then is it evidence."""
        own = self.journey.timetable
        table = self.timetable
        return (
            table.shape is own.shape
            and table.rate >= own.rate
            and table.seconds >= own.seconds
            and self.experiment is None
        )


def reports(environment: Environment) -> ReportStore[Report]:
    """Return the reports of an environment."""
    return ReportStore(
        environment.folder / "load" / "reports", Report, "`esq load run`, see `esq load list`."
    )


def run(environment: Environment, wanted: Wanted, steps: ProgressReporter) -> tuple[Report, Path]:
    """Run a journey; keep its report, and its figures as evidence.

    Raises:
        EsqError: it could not be run to its end.
    """
    began, kept, facts = dt.datetime.now(dt.UTC), reports(environment), host_facts()
    place = kept.create(wanted.journey.name, began)
    with open_doors(environment, steps) as doors:
        with steps.step("ground") as step:
            stands = ground.prepare(wanted.journey, doors, CALL_SECONDS, step)
        with Fault(wanted.experiment, environment.name) as fault:
            machine = Stopwatch()
            with Meter(connect(doors.kubeconfig)) as meter:
                start, parts = _loaded(wanted, stands, fault, steps)
                report = _report(environment, wanted, began, facts, merge(parts))
                report = _settled(wanted, report, parts, stands, doors, steps)
            report = report.model_copy(update={"uses": meter.uses(), "machine": machine.machine()})
            with steps.step("report") as step:
                # Written at once: an experiment that tells nothing takes no figure with it.
                written = kept.write(place, report, html(report))
                step.set_result(str(written))
                if wanted.experiment:
                    step.set_status("the experiment to end")
                    marks, page = fault.marks(start)
                    report = report.model_copy(update={"marks": marks, "experiment": page})
                    kept.write(place, report, html(report))
    _keep(environment, wanted, report, written)
    return report, written


def _report(
    environment: Environment,
    wanted: Wanted,
    began: dt.datetime,
    host: dict[str, str | float],
    requests: Requests,
) -> Report:
    """Return what is known as soon as the generators have ended."""
    return Report(
        journey=wanted.journey.name,
        title=wanted.journey.title,
        unit=wanted.journey.unit,
        timetable=wanted.timetable,
        processes=wanted.processes,
        environment=environment.name,
        at=began.isoformat(timespec="seconds"),
        command=wanted.command,
        promises=dict(wanted.journey.promises),
        requests=requests,
        host=host,
        versions=package_versions(("locust", "gevent")),
        commit=current_commit(),
    )


def _loaded(
    wanted: Wanted, stands: Ground, fault: Fault, steps: ProgressReporter
) -> tuple[float, list[Told]]:
    """Run the generators; return when their timetable began, and what they told."""
    name = uuid.uuid4().hex[:8]
    with (
        steps.step(wanted.journey.name) as step,
        Generators(wanted.journey.name, wanted.arrivals, stands, wanted.processes, name) as generators,
    ):
        step.set_status("the generators to be up")

        def told(progress: Progress) -> None:
            fault.load_flows()
            _show(step, progress, time.monotonic() - generators.start, wanted.timetable.seconds)

        parts = generators.run(told)
        late = sum(part.late for part in parts)
        step.set_result(f"{sum(part.arrivals for part in parts)} arrivals, {late} late")
        return generators.start, parts


def _show(step: ProgressStep, progress: Progress, passed: float, seconds: float) -> None:
    step.set_status(
        f"{min(passed, seconds):.0f} of {seconds:g} s: {progress.due} due, {progress.open} open, "
        f"{progress.done} done, {progress.failed} failed"
    )


def _settled(  # noqa: PLR0913, PLR0917 - all that is known of the run
    wanted: Wanted, report: Report, parts: list[Told], stands: Ground, doors: Doors, steps: ProgressReporter
) -> Report:
    """Return the report with what can only be known when the platform has worked everything off."""
    if wanted.journey.reported:
        with steps.step("callbacks") as step:
            callbacks = ledger.await_read(stands, doors, AFTER_SECONDS, step)
            step.set_result(f"{callbacks.behind:.1f} s behind")
            return report.model_copy(update={"callbacks": callbacks})
    if not wanted.journey.followed:
        return report
    created: list[Created] = [each for part in parts for each in part.created]
    with steps.step("ledger") as step:
        messages = ledger.follow(created, doors, AFTER_SECONDS, step)
        step.set_result(
            f"{messages.planned} messages, {messages.lost} lost, {messages.duplicated} duplicated"
        )
        return report.model_copy(update={"messages": messages})


def _keep(environment: Environment, wanted: Wanted, report: Report, page: Path) -> None:
    if not wanted.as_declared:
        return
    for verdict in report.verdicts:
        detail = {"journey": report.journey, "report": str(page), "metric": verdict.metric}
        record(environment, verdict.slo_id, verdict.distribution.values, report.command, detail)
