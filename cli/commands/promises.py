"""`esq promises [ENV]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson  # noqa: TC001 - Typer reads annotations
from infra.errors import SloViolatedError

if TYPE_CHECKING:
    from cli.actions.promises import Stand

app = typer.Typer()

UNMEASURED = 1

Env = Annotated[str, typer.Argument(metavar="[ENV]", help="The environment.")]
Strict = Annotated[bool, typer.Option("--strict", help="End with 1 when a promise was never measured.")]
Html = Annotated[Path | None, typer.Option(help="Write a page to this file as well.")]


@app.command()
def promises(env: Env = "local", html: Html = None, *, strict: Strict = False, json: AsJson = False) -> None:
    """Show every promise with its last figure; exit code 99 when one is broken."""
    from cli.actions import promises as action  # noqa: PLC0415 - help needs none of it
    from cli.environment import find  # noqa: PLC0415 - same

    environment = find(env)
    found = action.stand(action.store(environment))
    if html is not None:
        html.write_text(action.html(env, found), encoding="utf-8")
    if json:
        output.print_json({"environment": env, "promises": [each.report() for each in found]})
    else:
        _show(found)
    if any(each.broken for each in found):
        raise typer.Exit(SloViolatedError.exit_code)
    if strict and any(each.evidence is None for each in found):
        raise typer.Exit(UNMEASURED)


def _show(found: list[Stand]) -> None:
    from rich.console import Console  # noqa: PLC0415 - machines do without

    from cli.actions.promises import age  # noqa: PLC0415 - same
    from infra.measurements.html import format_number  # noqa: PLC0415 - same

    table = output.table("promise", "target, ceiling", "median", "worst", "runs", "measured", "verdict")
    table.columns[0].no_wrap = True
    for each in found:
        row, promise = each.report(), each.promise
        colour = output.STANDINGS.get(each.verdict, "dim")
        table.add_row(
            promise.id,
            f"{format_number(promise.target)}, {format_number(promise.ceiling)} {promise.unit}",
            *(
                "" if each.evidence is None else format_number(row[name])
                for name in ("median", "worst", "runs")
            ),
            age(each.age),
            f"[{colour}]{each.verdict}[/]",
        )
    console = Console(highlight=False)
    console.print(table)
    if unmeasured := dict.fromkeys(each.promise.command for each in found if each.evidence is None):
        console.print("To measure what never was:", *unmeasured, sep="\n  ")
