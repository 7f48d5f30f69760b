"""`esq chaos list | show | run | status | rollback | report`."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.commands import open_faults
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from chaoslib.types import Dry

    from chaos.experiment import EsqExtension
    from chaos.results import ChaosReport

app = output.command_group("Fault injection experiments, measured by clients.")

Name = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="Name of an experiment, see `esq chaos list`, or path of a document of Chaos Toolkit.",
    ),
]
Runs = Annotated[
    int,
    typer.Option(help="Number of runs; the report shows minimum, median and maximum.", min=1, max=100),
]
DryRun = Annotated[
    str | None,
    typer.Option(
        "--dry",
        metavar="WHAT",
        help="Only pretend to run `probes`, `actions`, `activities` or `pause`, as Chaos Toolkit does.",
    ),
]
Confirm = Annotated[
    str | None,
    typer.Option(help="Name of the environment, required unless its cluster is embedded.", metavar="ENV"),
]


@app.command("list")
def list_experiments(*, json: AsJson = False) -> None:
    """List the experiments, and the kinds of cluster that each can run on."""
    from chaos import experiment  # noqa: PLC0415 - not needed for help
    from chaos.capabilities import runs_on  # noqa: PLC0415 - same

    experiments = [experiment.load(name) for name in experiment.names()]
    if json:
        rows = [
            {
                "name": item.name,
                "title": item.title,
                "runs_on": list(runs_on(item.document)),
                "slos": list(item.extension.slos),
            }
            for item in experiments
        ]
        output.print_json({"experiments": rows})
        return
    table = output.table("experiment", "runs on", "title")
    for item in experiments:
        table.add_row(item.name, ", ".join(runs_on(item.document)), item.title)
    output.print_table(table, wraps_last=True)


@app.command()
def show(name: Name, *, json: AsJson = False) -> None:
    """Show an experiment: its activities and the SLOs that it measures."""
    from chaos import experiment  # noqa: PLC0415 - not needed for help
    from chaos.capabilities import runs_on  # noqa: PLC0415 - same

    loaded = experiment.load(name)
    if json:
        output.print_json({"name": name, "runs_on": list(runs_on(loaded.document)), **loaded.document})
        return
    output.console().print(f"{loaded.title}\n\n{' '.join(loaded.description.split())}", markup=False)
    table = output.table("activity", "type", "call")
    for activity in loaded.document["method"]:
        table.add_row(*_describe(activity))
    for activity in loaded.document.get("rollbacks") or ():
        table.add_row(*_describe(activity | {"type": "rollback"}))
    output.print_table(table, wraps_last=True)
    no_extension = [("traffic", "none: nothing measures or aborts it")]
    rows = _extension_rows(loaded.extension) if loaded.is_ours else no_extension
    output.print_rows([("runs on", ", ".join(runs_on(loaded.document))), *rows])


def _describe(activity: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return name, type and call of an activity, with the pause after it."""
    if "ref" in activity:
        return str(activity["ref"]), "again", ""
    provider = activity["provider"]
    arguments = provider.get("arguments") or {}
    if isinstance(arguments, dict):
        arguments = ", ".join(f"{key}={value}" for key, value in arguments.items())
    program = provider.get("func") or provider.get("path") or provider.get("url")
    pause = (activity.get("pauses") or {}).get("after")
    waits = f", then {pause} s" if pause else ""
    return activity["name"], activity["type"], f"{program}({arguments}){waits}"


def _extension_rows(extension: EsqExtension) -> Iterator[tuple[str, str]]:
    """Yield the traffic, SLOs, abort conditions and runbook of an experiment of ours."""
    yield "traffic", ", ".join(extension.traffic)
    for slo_id, metric in extension.slos.items():
        yield "SLO", f"{slo_id} by {metric}"
    for stream, seconds in extension.abort_after_silence_seconds.items():
        yield "aborts", f"after {seconds:g} s without acknowledgement of {stream}"
    yield "runbook", f"runbooks/{extension.runbook}.md"


@app.command()
def run(  # noqa: PLR0913 - one argument per option
    env: Env,
    name: Name,
    runs: Runs = 1,
    confirm: Confirm = None,
    dry: DryRun = None,
    *,
    json: AsJson = False,
) -> None:
    """Run an experiment. Exit code 99 if an SLO is violated, 1 if a run is invalid or measured no SLO.

    EXPERIMENT is a name of ours, or the path of any document of Chaos Toolkit. One without the extension
    `esq` has no traffic, so that nothing measures or aborts it: it needs probes of its own. Only ours,
    unchanged, are evidence for SLOs.

    When this command is interrupted, it undoes its faults. When it is killed, a watchdog undoes them, or
    `esq chaos rollback ENV`. Actions of other extensions are undone by the rollbacks of their document only,
    and thus not after a kill.
    """
    from cli.actions import chaos as action  # noqa: PLC0415 - imports clients and SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=json)
    environment = load_environment(env)
    command = shlex.join(["esq", *sys.argv[1:]])
    report, page = action.run_experiment(
        environment,
        name,
        runs=runs,
        confirmed_name=confirm,
        dry=_parse_dry(dry),
        command=command,
        progress=progress,
    )
    _print_report(report, page, as_json=json)
    if report.violated:
        raise typer.Exit(ExitCode.SLO_VIOLATED)
    if not report.all_valid or report.insufficient:
        raise typer.Exit(ExitCode.FAILED)


def _parse_dry(value: str | None) -> Dry | None:
    from chaoslib.types import Dry  # noqa: PLC0415 - not needed for help

    known = [dry.value for dry in Dry]
    if value is not None and value not in known:
        raise UsageError(
            f"`{value}` cannot be a dry run", location="--dry", remedy=f"Use one of {', '.join(known)}."
        )
    return None if value is None else Dry(value)


app.add_typer(open_faults.app)


@app.command("report")
def show_report(
    env: Env,
    report: Annotated[
        str | None, typer.Argument(help="Name of the report; the latest one by default.")
    ] = None,
    *,
    list_all: Annotated[bool, typer.Option("--list", help="List the names of all reports.")] = False,
    json: AsJson = False,
) -> None:
    """Show the results of an experiment and the path of its HTML page."""
    from cli.actions import chaos as action  # noqa: PLC0415 - not needed for help
    from cli.environment import load_environment  # noqa: PLC0415 - same

    store = action.report_store(load_environment(env))
    if list_all:
        output.print_report_names(store.names(), env, as_json=json)
        return
    _print_report(*store.read(report), as_json=json)


def _print_report(report: ChaosReport, page: Path, *, as_json: bool) -> None:
    if not as_json:
        _print_summary(report, page)
        return
    output.print_json(
        {
            "page": str(page),
            "evaluations": [evaluation.model_dump(mode="json") for evaluation in report.evaluations],
            **report.model_dump(mode="json"),
        }
    )


def _print_summary(report: ChaosReport, page: Path) -> None:
    from infra.measurements.html import format_number  # noqa: PLC0415 - same

    console = output.console()
    console.print(f"[bold]{report.title}[/], {len(report.measured_runs)} of {len(report.runs)} runs valid")
    table = output.table("SLO", "objective, limit", "min", "median", "max", "status")
    table.columns[0].no_wrap = True
    for evaluation in report.evaluations:
        values, status = evaluation.distribution, evaluation.status.value
        table.add_row(
            evaluation.slo_id,
            f"{format_number(evaluation.objective)}, {format_number(evaluation.limit)} {evaluation.unit}",
            *(format_number(value) for value in (values.min, values.median, values.max)),
            f"[{output.SLO_COLOURS[status]}]{status}[/]",
        )
    output.print_table(table)
    for number, run_result in enumerate(report.runs, 1):
        if not run_result.valid:
            console.print(f"[red]✗[/] run {number} {run_result.outcome}: {'; '.join(run_result.reasons)}")
    for evaluation in report.insufficient:
        console.print(f"[red]✗[/] {evaluation.slo_id}: no valid run measured {evaluation.metric}")
    console.print(f"report   {page}")
    if report.runbook:
        console.print(f"runbook  runbooks/{report.runbook}.md")
