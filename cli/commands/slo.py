"""`esq slo ENV`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from cli.actions.slo import SloReport
    from services.contracts.slo import Slo

app = output.command_group()

RequireMeasured = Annotated[
    bool, typer.Option("--require-measured", help="Exit with 1 when an SLO has too few measured runs.")
]
Html = Annotated[Path | None, typer.Option(help="Also write an HTML page to this file.")]


@app.command()
def slo(
    env: Env, html: Html = None, *, require_measured: RequireMeasured = False, json: AsJson = False
) -> None:
    """Show every SLO with its last runs. Exit code 99 when an SLO is violated, 1 for an unreadable record."""
    from cli.actions.slo import evaluate_slos, measurement_store, render_html  # noqa: PLC0415 - not for help
    from cli.environment import load_environment  # noqa: PLC0415 - same

    reports = evaluate_slos(measurement_store(load_environment(env)))
    if html is not None:
        html.write_text(render_html(env, reports), encoding="utf-8")
    if json:
        output.print_json({"environment": env, "slos": [report.to_dict() for report in reports]})
    else:
        _print_table(env, reports)
    if any(report.violated for report in reports):
        raise typer.Exit(ExitCode.SLO_VIOLATED)
    is_unmeasured = require_measured and not all(report.measured for report in reports)
    if is_unmeasured or any(report.problems for report in reports):
        raise typer.Exit(ExitCode.FAILED)


def _print_table(env: str, reports: list[SloReport]) -> None:
    from cli.actions.slo import format_age  # noqa: PLC0415 - same
    from infra.measurements.html import format_number  # noqa: PLC0415 - same
    from services.contracts.slo import MIN_RUNS  # noqa: PLC0415 - same

    # The longest id makes it 80 columns at most; --json and --html also show runs and times.
    table = output.table("SLO", "objective,\nlimit", "median", "worst", "age", "status")
    for report in reports:
        colour = output.SLO_COLOURS.get(report.status, "dim")
        values = (report.distribution.median, report.distribution.max)
        table.add_row(
            report.slo.id,
            _format_target(report.slo),
            *("" if value.value is None else format_number(value).replace(" ", "") for value in values),
            format_age(report.age).removesuffix(" ago"),
            f"[{colour}]{report.status}[/]",
        )
    console = output.console()
    console.print(table)
    commands = dict.fromkeys(
        report.slo.command.replace("ENV", env) for report in reports if not report.measured
    )
    if commands:
        console.print(f"Fewer than {MIN_RUNS} runs count; to measure:", *commands, sep="\n  ")
    _print_runs_that_do_not_count(reports, console)
    for problem in [problem for report in reports for problem in report.problems]:
        console.print(f"[red]✗[/] {problem}")


def _print_runs_that_do_not_count(reports: list[SloReport], console: Console) -> None:
    """Print how many of the last runs count, for each SLO of which not all do."""
    rows = [report.to_dict() for report in reports]
    incomplete = [row for row in rows if row["runs_counted"] < row["runs"]]
    if incomplete:
        console.print("Runs that count (≥ marks a lower bound):")
    for row in incomplete:
        outcomes = ("invalid", "aborted", "crashed")
        others = [f"{row[f'runs_{outcome}']} {outcome}" for outcome in outcomes if row[f"runs_{outcome}"]]
        reasons = f" ({', '.join(others)})" if others else ""
        console.print(f"  {row['id']}: {row['runs_counted']} of {row['runs']}{reasons}")


def _format_target(slo: Slo) -> str:
    """Return objective and limit with their unit, e.g. `15, 30 s`; one number when they are equal."""
    from infra.measurements.html import format_number  # noqa: PLC0415 - not needed for JSON

    numbers = dict.fromkeys(format_number(value) for value in (slo.objective, slo.limit))
    return f"{', '.join(numbers)} {slo.unit}"
