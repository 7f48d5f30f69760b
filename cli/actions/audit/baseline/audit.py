"""`esq audit baseline`: records the services under load and compares them with the last baseline."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from cli.actions.audit.baseline.allocations import isolated_settings, record_allocations
from cli.actions.audit.baseline.processes import find_processes
from cli.actions.audit.baseline.recording import recorded
from cli.actions.audit.baseline.report import BaselineReport, ProcessCost, increases
from cli.actions.audit.baseline.stacks import costliest, flame_graph, render_stacks
from cli.actions.audit.extras import require_module, require_program
from cli.actions.audit.report_stores import report_store
from infra.errors import EsqError, UsageError
from infra.measurements.html import render_page
from infra.measurements.measurements import current_commit, host_facts, package_versions
from infra.subprocesses import PYTHON_MODULE, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cli.actions.audit.baseline.processes import ServiceProcess
    from cli.actions.audit.baseline.recording import Recording
    from cli.environment import Environment
    from infra.measurements.report_store import ReportStore
    from infra.progress import ProgressReporter

FUNCTIONS = 8
"""Functions that the report names for each process; the flame graphs have all."""
LOAD_TIMEOUT_SECONDS = 3600.0
_MEBIBYTE = 1 << 20
_TEMPLATE = Path(__file__).parents[3] / "html" / "audit_baseline.html.j2"


@dataclass(frozen=True)
class BaselineRequest:
    """A requested baseline.

    Attributes:
        environment: name of the environment.
        folder: folder of its state.
        scenario: name of the load scenario.
        max_increase: limit of an increase over the last baseline of this scenario, in percent.
        command: command line.
    """

    environment: str
    folder: Path
    scenario: str
    max_increase: float
    command: str


def audit_baseline(
    environment: Environment, scenario: str, max_increase: float, command: str, progress: ProgressReporter
) -> tuple[BaselineReport, Path]:
    """Record all processes of the services of a local environment during a load test.

    Args:
        environment: the environment.
        scenario: name of the load scenario.
        max_increase: limit of an increase over the last baseline of this scenario, in percent.
        command: command line.
        progress: reports the steps.

    Returns:
        The report and the path of its HTML page, beside the recorded stacks.

    Raises:
        UsageError: the environment has no processes on this machine, or the extra `audit` is not installed.
        EsqError: the load test or a recording failed.
    """
    require_program("py-spy")
    require_module("memray")
    processes = find_processes(environment.cluster) if environment.is_local_cluster else []
    if not processes:
        raise UsageError(
            "no process of the services runs on this machine",
            location=environment.name,
            remedy=f"Run: esq deploy {environment.name}. Processes of other machines cannot be recorded.",
        )

    def load() -> None:
        """Run the scenario. It may miss its own limits, with exit code 1 or 99: there was a load."""
        argv = [*PYTHON_MODULE, "cli.main", "load", "run", environment.name, scenario, "--json"]
        output = run(argv, timeout=LOAD_TIMEOUT_SECONDS, check=False)
        if '"requests"' not in output:
            raise EsqError("the load test did not run", location=scenario, detail=output[-2000:])

    request = BaselineRequest(environment.name, environment.folder, scenario, max_increase, command)
    return record_baseline(processes, load, request, progress)


def record_baseline(
    processes: Sequence[ServiceProcess],
    load: Callable[[], None],
    request: BaselineRequest,
    progress: ProgressReporter,
) -> tuple[BaselineReport, Path]:
    """Record processes while a load runs; write the report and the stacks.

    Args:
        processes: the processes.
        load: returns when the load has ended.
        request: what was requested.
        progress: reports the steps.

    Returns:
        The report and the path of its HTML page.
    """
    started_at = dt.datetime.now(dt.UTC)
    store = report_store("baseline", BaselineReport, request.folder)
    before = last_accepted(store, request.scenario)
    folder = store.create(request.scenario, started_at)
    with progress.step("CPU, memory and I/O under load") as step:
        with recorded(processes, folder) as recordings:
            load()
        step.set_result(f"{len(processes)} processes")
    with progress.step("allocations after the start") as step:
        allocations = _record_allocations(processes, folder, step.set_status)
    report = BaselineReport(
        started_at=started_at.isoformat(timespec="seconds"),
        environment=request.environment,
        scenario=request.scenario,
        seconds=max(recording.seconds for recording in recordings),
        processes=tuple(_costs(recordings, allocations)),
        command=request.command,
        commit=current_commit(),
        versions=package_versions(),
        host=host_facts(),
    )
    if before is not None:
        name, earlier = before
        violations = tuple(increases(earlier, report, request.max_increase))
        report = report.model_copy(update={"compared_with": name, "violations": violations})
    return report, store.write(folder, report, render_html(report, recordings, allocations))


def last_accepted(store: ReportStore[BaselineReport], scenario: str) -> tuple[str, BaselineReport] | None:
    """Return the last report of a scenario without violations, and its name; None if there is none.

    One with violations is no baseline: a second run would accept what the first one reported.

    Args:
        store: the reports.
        scenario: name of the scenario.
    """
    names = [name for name in reversed(store.names()) if name.endswith(f"-{scenario}")]
    reports = ((name, store.read(name)[0]) for name in names)
    return next(((name, report) for name, report in reports if not report.violations), None)


def _record_allocations(
    processes: Sequence[ServiceProcess], folder: Path, report: Callable[[str], None]
) -> dict[str, Counter[tuple[str, ...]]]:
    """Start a second process of each type; return the bytes at its peak by stack."""
    allocations = {}
    for name, replicas in itertools.groupby(processes, lambda process: process.name):
        report(name)
        running = psutil.Process(next(replicas).pid)
        argv, settings = running.cmdline()[1:], isolated_settings(running.environ())
        stacks = record_allocations(argv, settings, folder / f"{name}.memray")
        (folder / f"{name}-allocations.txt").write_text(render_stacks(stacks), encoding="utf-8")
        allocations[name] = stacks
    return allocations


def _costs(
    recordings: Sequence[Recording], allocations: Mapping[str, Counter[tuple[str, ...]]]
) -> Iterator[ProcessCost]:
    for name, group in itertools.groupby(recordings, lambda recording: recording.process.name):
        replicas = list(group)
        stacks = _merged(replicas)
        yield ProcessCost(
            name=name,
            replicas=len(replicas),
            cores=sum(item.cpu_seconds / item.seconds for item in replicas if item.seconds),
            resident_mib=max(item.max_resident_mib for item in replicas),
            read_bytes=sum(item.read_bytes for item in replicas),
            written_bytes=sum(item.written_bytes for item in replicas),
            samples=sum(stacks.values()),
            functions=tuple(costliest(stacks, FUNCTIONS)),
            allocated_mib=sum(allocations[name].values()) / _MEBIBYTE if name in allocations else None,
            allocations=tuple(costliest(allocations.get(name, {}), FUNCTIONS)),
        )


def _merged(recordings: Iterable[Recording]) -> Counter[tuple[str, ...]]:
    return sum((recording.stacks for recording in recordings), Counter())


def render_html(
    report: BaselineReport,
    recordings: Iterable[Recording],
    allocations: Mapping[str, Counter[tuple[str, ...]]],
) -> str:
    """Return the HTML page of a report.

    Args:
        report: the report.
        recordings: the recordings, those of a process type after each other.
        allocations: bytes by stack of each process type.
    """
    graphs = {}
    for name, group in itertools.groupby(recordings, lambda recording: recording.process.name):
        graphs[name] = [("CPU", flame_graph(_merged(group)))]
        if name in allocations:
            graphs[name].append(("allocated bytes", flame_graph(allocations[name])))
    return render_page(_TEMPLATE, report=report, graphs=graphs)
