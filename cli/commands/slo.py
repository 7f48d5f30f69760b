"""`esq slo ENV`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

if TYPE_CHECKING:
    from cli.actions.slo import SloReport

app = output.command_group()

RequireMeasured = Annotated[
    bool, typer.Option("--require-measured", help="Exit with 1 when an SLO was never measured.")
]
Html = Annotated[Path | None, typer.Option(help="Also write an HTML page to this file.")]


@app.command()
def slo(
    env: Env, html: Html = None, *, require_measured: RequireMeasured = False, json: AsJson = False
) -> None:
    """Show every SLO with its last measurement. Exit code 99 when an SLO is violated."""
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
    if require_measured and any(report.measurement is None for report in reports):
        raise typer.Exit(ExitCode.FAILED)


def _print_table(env: str, reports: list[SloReport]) -> None:
    from rich.console import Console  # noqa: PLC0415 - machines do without

    from cli.actions.slo import format_age  # noqa: PLC0415 - same
    from infra.measurements.html import format_number  # noqa: PLC0415 - same

    table = output.table("SLO", "objective, limit", "median", "worst", "runs", "measured", "status")
    table.columns[0].no_wrap = True
    for report in reports:
        row, slo = report.to_dict(), report.slo
        colour = output.SLO_COLOURS.get(report.status, "dim")
        table.add_row(
            slo.id,
            f"{format_number(slo.objective)}, {format_number(slo.limit)} {slo.unit}",
            *(
                "" if report.measurement is None else format_number(row[name])
                for name in ("median", "worst", "runs")
            ),
            format_age(report.age),
            f"[{colour}]{report.status}[/]",
        )
    console = Console(highlight=False)
    console.print(table)
    commands = dict.fromkeys(
        report.slo.command.replace("ENV", env) for report in reports if report.measurement is None
    )
    if commands:
        console.print("Never measured; to measure:", *commands, sep="\n  ")
