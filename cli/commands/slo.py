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
    from services.contracts.slo import Slo

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
    from cli.actions.slo import format_age  # noqa: PLC0415 - same
    from infra.measurements.html import format_number  # noqa: PLC0415 - same

    # The longest id makes it 80 columns at most; --json and --html also show runs and times.
    table = output.table("SLO", "objective,\nlimit", "median", "worst", "age", "status")
    for report in reports:
        row, colour = report.to_dict(), output.SLO_COLOURS.get(report.status, "dim")
        table.add_row(
            report.slo.id,
            _format_target(report.slo),
            *("" if report.measurement is None else format_number(row[name]) for name in ("median", "worst")),
            format_age(report.age).removesuffix(" ago"),
            f"[{colour}]{report.status}[/]",
        )
    console = output.console()
    console.print(table)
    commands = dict.fromkeys(
        report.slo.command.replace("ENV", env) for report in reports if report.measurement is None
    )
    if commands:
        console.print("Never measured; to measure:", *commands, sep="\n  ")


def _format_target(slo: Slo) -> str:
    """Return objective and limit with their unit, e.g. `15, 30 s`; one number when they are equal."""
    from infra.measurements.html import format_number  # noqa: PLC0415 - not needed for JSON

    numbers = dict.fromkeys(format_number(value) for value in (slo.objective, slo.limit))
    return f"{', '.join(numbers)} {slo.unit}"
