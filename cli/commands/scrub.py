"""`esq scrub ENV`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

app = output.command_group()

Repair = Annotated[
    bool,
    typer.Option("--repair", help="Replace the data of damaged replicas from the other replicas."),
]


@app.command()
def scrub(env: Env, *, repair: Repair = False, json: AsJson = False) -> None:
    """Read all data of every replica of Postgres, Kafka and the object store, and verify its checksums.

    The object store repairs damaged blocks by itself. Exit code 1 when damage remains.
    """
    from cli.actions import scrub as action  # noqa: PLC0415 - imports the Kubernetes client
    from cli.environment import load_environment  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=json)
    results = action.scrub(load_environment(env), progress, repair=repair)
    if json:
        replicas = [{**result.model_dump(), "intact": result.intact} for result in results]
        output.print_json({"environment": env, "replicas": replicas, "steps": output.timings(progress)})
    else:
        table = output.table("replica", "state")
        for result in results:
            table.add_row(result.pod, action.describe(result))
        output.print_table(table)
        for damage in (damage for result in results for damage in result.damages):
            typer.echo(f"  ! {damage}")
        if not repair and not all(result.intact for result in results):
            typer.echo(f"To repair: esq scrub {env} --repair")
    if not all(result.intact for result in results):
        raise typer.Exit(ExitCode.FAILED)
