"""`esq chaos list | show | run | recover | report`."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Kubeconfig  # noqa: TC001 - Typer reads annotations
from infra.errors import SloViolatedError

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.result import Report

app = typer.Typer(no_args_is_help=True, help="Hurt an environment on purpose, and see what it costs.")

FAILED = 1

Name = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="As `esq chaos list` names it.")]
Env = Annotated[str, typer.Option("--env", help="The environment.")]
Runs = Annotated[
    int, typer.Option(help="How often; a report gives minimum, median and maximum.", min=1, max=100)
]
Confirm = Annotated[
    str | None, typer.Option(help="Name of the environment, to hurt any but `local`.", metavar="ENV")
]


@app.command("list")
def list_experiments(*, json: AsJson = False) -> None:
    """List the experiments."""
    from chaos import experiment  # noqa: PLC0415 - help needs none of it

    found = [experiment.load(name) for name in experiment.names()]
    if json:
        rows = [
            {"name": each.name, "title": each.title, "promises": list(each.addition.promises)}
            for each in found
        ]
        output.print_json({"experiments": rows})
        return
    for each in found:
        typer.echo(f"{each.name:28} {each.title}")


@app.command()
def show(name: Name, *, json: AsJson = False) -> None:
    """Show what an experiment does, what it measures, and what its activities are."""
    from chaos import experiment  # noqa: PLC0415 - help needs none of it

    found = experiment.load(name)
    if json:
        output.print_json({"name": name, **found.document})
        return
    addition = found.addition
    typer.echo(f"{found.title}\n\n{found.description}\n")
    for activity in found.document["method"]:
        arguments = activity["provider"].get("arguments", {})
        given = ", ".join(f"{key}={value}" for key, value in arguments.items())
        typer.echo(f"  {activity['type']:7} {activity['name']}  {activity['provider']['func']}({given})")
    typer.echo(f"\nneeds     {addition.needs}\ntraffic   {', '.join(addition.traffic) or 'none'}")
    for promise, metric in addition.promises.items():
        typer.echo(f"promise   {promise} by {metric}")
    for lane, seconds in addition.blast.items():
        typer.echo(f"ends when {lane} is silent for {seconds:g} s")
    typer.echo(f"runbook   runbooks/{addition.runbook}.md")


@app.command()
def run(  # noqa: PLR0913 - one per option
    name: Name,
    env: Env = "local",
    runs: Runs = 1,
    confirm: Confirm = None,
    kubeconfig: Kubeconfig = None,
    *,
    json: AsJson = False,
) -> None:
    """Run an experiment. Exit code 99 when a promise does not hold, 1 when a run did not end well.

    Whatever happens to this command, what it hurt is undone: by it, by a timer, or by `esq chaos recover`.
    """
    from cli.actions import chaos as action  # noqa: PLC0415 - imports clients and SDK
    from cli.environment import find  # noqa: PLC0415 - same

    steps = output.steps(as_json=json)
    environment = find(env, kubeconfig=kubeconfig)
    command = shlex.join(["esq", *sys.argv[1:]])
    report, page = action.run(environment, name, runs, confirm, command, steps)
    _told(report, page, as_json=json)
    if report.broken:
        raise typer.Exit(SloViolatedError.exit_code)
    if not report.good:
        raise typer.Exit(FAILED)


@app.command()
def recover(env: Env = "local", kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """Undo every fault that an experiment left open, after whatever crash."""
    from cli.actions import chaos as action  # noqa: PLC0415 - help needs none of it
    from cli.environment import find  # noqa: PLC0415 - same

    undone = action.recover(find(env, kubeconfig=kubeconfig), output.steps(as_json=json))
    if json:
        output.print_json({"environment": env, "undone": [str(entry.fault) for entry in undone]})


@app.command("report")
def show_report(
    report: Annotated[str | None, typer.Argument(help="Its name; the last one when not given.")] = None,
    env: Env = "local",
    *,
    list_all: Annotated[bool, typer.Option("--list", help="Name all reports.")] = False,
    json: AsJson = False,
) -> None:
    """Show what an experiment came to, and where its page is."""
    from cli.actions import chaos as action  # noqa: PLC0415 - help needs none of it
    from cli.environment import find  # noqa: PLC0415 - same

    kept = action.reports(find(env))
    if list_all:
        output.names(kept.names(), env, as_json=json)
        return
    _told(*kept.read(report), as_json=json)


def _told(report: Report, page: Path, *, as_json: bool) -> None:
    if as_json:
        verdicts = [verdict.model_dump(mode="json") for verdict in report.verdicts]
        runs = [
            run.model_dump(mode="json", exclude={"lanes": {"__all__": {"series"}}}) for run in report.runs
        ]
        output.print_json(
            {"experiment": report.experiment, "page": str(page), "verdicts": verdicts, "runs": runs}
        )
        return
    _show(report, page)


def _show(report: Report, page: Path) -> None:
    from rich.console import Console  # noqa: PLC0415 - machines do without

    from infra.measurements.html import format_number  # noqa: PLC0415 - same

    console = Console(highlight=False)
    console.print(f"[bold]{report.title}[/], {len(report.complete)} of {len(report.runs)} runs complete")
    table = output.table("promise", "target, ceiling", "min", "median", "max", "verdict")
    table.columns[0].no_wrap = True
    for each in report.verdicts:
        figures, colour = each.distribution, output.STANDINGS[each.status.value]
        table.add_row(
            each.slo_id,
            f"{format_number(each.objective)}, {format_number(each.limit)} {each.unit}",
            *(format_number(value) for value in (figures.min, figures.median, figures.max)),
            f"[{colour}]{each.status.value}[/]",
        )
    console.print(table)
    for number, run in enumerate(report.runs, 1):
        if not run.good:
            console.print(f"[red]✗[/] run {number}: {run.trouble}")
    console.print(f"report   {page}\nrunbook  runbooks/{report.runbook}.md")
