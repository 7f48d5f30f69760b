"""`esq load list | show | run | report`."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson  # noqa: TC001 - Typer reads annotations
from infra.errors import SloViolatedError
from loadtests.shapes import Shape

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from loadtests.result import Report

app = typer.Typer(
    no_args_is_help=True, help="Put load on an environment by an open loop, and see how it holds."
)

INVALID = 1
Name = Annotated[str, typer.Argument(metavar="JOURNEY", help="As `esq load list` names it.")]
Env = Annotated[str, typer.Option("--env", help="The environment.")]
AsShape = Annotated[Shape | None, typer.Option(help="How the rate changes over the run.")]
Rate = Annotated[float | None, typer.Option(help="Units per second, at the highest.", min=0.001, max=100_000)]
Seconds = Annotated[float | None, typer.Option(help="Length of the run.", min=1, max=86_400)]
Processes = Annotated[int, typer.Option(help="Generators that share the timetable.", min=1, max=64)]
Experiment = Annotated[
    str | None, typer.Option("--with-chaos", metavar="EXPERIMENT", help="A fault to be had meanwhile.")
]


@app.command("list")
def list_journeys(*, json: AsJson = False) -> None:
    """List the journeys."""
    from loadtests.catalogue import JOURNEYS  # noqa: PLC0415 - help needs none of it

    if json:
        rows = [
            {"name": each.name, "title": each.title, "promises": list(each.promises)} for each in JOURNEYS
        ]
        output.print_json({"journeys": rows})
        return
    for each in JOURNEYS:
        typer.echo(f"{each.name:12} {each.title}")


@app.command()
def show(name: Name, *, json: AsJson = False) -> None:
    """Show what a journey asks for, how much of it, and which promises it measures."""
    from loadtests.catalogue import find  # noqa: PLC0415 - help needs none of it

    journey = find(name)
    table = journey.timetable
    if json:
        output.print_json(
            {"name": name, "title": journey.title, "unit": journey.unit, "promises": dict(journey.promises)}
            | table.model_dump(mode="json")
        )
        return
    typer.echo(f"{journey.title}\n")
    typer.echo(
        f"timetable {table.shape.value}, {table.rate:g} {journey.unit} per second, {table.seconds:g} s"
    )
    typer.echo(f"companies {journey.companies}, each with {journey.contacts} contacts")
    for promise, metric in journey.promises.items():
        typer.echo(f"promise   {promise} by {metric}")


@app.command()
def run(  # noqa: PLR0913, PLR0917 - one per option
    name: Name,
    env: Env = "local",
    shape: AsShape = None,
    rate: Rate = None,
    seconds: Seconds = None,
    processes: Processes = 2,
    with_chaos: Experiment = None,
    *,
    json: AsJson = False,
) -> None:
    """Run a journey. Exit code 99 when a promise does not hold, 1 when the generator could not keep up."""
    from cli.actions import load as action  # noqa: PLC0415 - imports clients and SDK
    from cli.environment import find as find_environment  # noqa: PLC0415 - same
    from loadtests.catalogue import find  # noqa: PLC0415 - same

    journey = find(name)
    asked = {"shape": shape, "rate": rate, "seconds": seconds}
    changes = {key: value for key, value in asked.items() if value is not None}
    wanted = action.Wanted(
        journey=journey,
        timetable=journey.timetable.model_copy(update=changes),
        processes=processes,
        experiment=with_chaos,
        command=shlex.join(["esq", *sys.argv[1:]]),
    )
    report, page = action.run(find_environment(env), wanted, output.steps(as_json=json))
    _told(report, page, as_json=json)
    if not report.valid:
        raise typer.Exit(INVALID)
    if report.broken:
        raise typer.Exit(SloViolatedError.exit_code)


@app.command("report")
def show_report(
    report: Annotated[str | None, typer.Argument(help="Its name; the last one when not given.")] = None,
    env: Env = "local",
    *,
    list_all: Annotated[bool, typer.Option("--list", help="Name all reports.")] = False,
    json: AsJson = False,
) -> None:
    """Show what a run came to, and where its page is."""
    from cli.actions import load as action  # noqa: PLC0415 - help needs none of it
    from cli.environment import find  # noqa: PLC0415 - same

    kept = action.reports(find(env))
    if list_all:
        output.names(kept.names(), env, as_json=json)
        return
    _told(*kept.read(report), as_json=json)


def _told(report: Report, page: Path, *, as_json: bool) -> None:
    if as_json:
        found = report.model_dump(mode="json", exclude={"requests": {"series"}})
        verdicts = [verdict.model_dump(mode="json") for verdict in report.verdicts]
        output.print_json({"page": str(page), "valid": report.valid, "verdicts": verdicts, **found})
        return
    _show(report)
    typer.echo(f"report   {page}")
    if not report.valid:
        requests = report.requests
        typer.echo(
            f"✗ the run is not valid: {requests.late} of {requests.arrivals} arrivals began late "
            f"(the worst {requests.worst_late:.2f} s). Use more --processes, or a smaller --rate."
        )


def _show(report: Report) -> None:
    from rich.console import Console  # noqa: PLC0415 - machines do without

    from infra.measurements.html import format_number  # noqa: PLC0415 - same
    from loadtests.result import PERCENTILES  # noqa: PLC0415 - same

    console = Console(highlight=False)
    heads = (f"{each:g} %" for each in PERCENTILES)
    table = output.table("seconds from when it was due", "count", "failed", *heads)
    for name, each in report.latencies.items():
        table.add_row(
            name, str(each.count), str(each.failed), *(f"{seconds:.3f}" for seconds in each.percentiles)
        )
    console.print(table)
    judged = output.table("promise", "target", "ceiling", "measured", "verdict")
    for verdict in report.verdicts:
        colour, standing = output.STANDINGS[verdict.status.value], verdict.status.value
        judged.add_row(
            verdict.description,
            f"{format_number(verdict.objective)} {verdict.unit}",
            f"{format_number(verdict.limit)} {verdict.unit}",
            format_number(verdict.distribution.median),
            f"[{colour}]{standing}[/]",
        )
    console.print(judged)
    if report.uses:
        console.print(_uses(report))
    if report.machine:
        machine = report.machine
        typer.echo(
            f"machine  {machine.taken:.2f} of {machine.cores} cores taken, with all that it bears; "
            f"{machine.stolen:.2f} by other machines"
        )


def _uses(report: Report) -> Table:
    from infra.measurements.html import format_number  # noqa: PLC0415 - machines do without

    table = output.table("part of the platform", "pods", "cores", "MiB of one", "of")
    for name, each in report.uses.items():
        limit = format_number(each.limit) if each.limit else "-"
        table.add_row(name, str(each.pods), f"{each.cores:.3f}", format_number(each.memory), limit)
    pods, cores = (sum(getattr(each, of) for each in report.uses.values()) for of in ("pods", "cores"))
    table.add_row("all pods", str(pods), f"{cores:.3f}", "", "")
    return table
