"""`esq drift ENV`."""

from __future__ import annotations

import typer

from cli import output
from cli.output import AsJson, Env, Layers  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode, SloViolatedError

app = output.command_group()


@app.command()
def drift(
    env: Env,
    layer: Layers = None,
    *,
    json: AsJson = False,
) -> None:
    """Compare the cluster with the deployed state; changes nothing. Exit code 99 when they differ."""
    from cli.actions import drift as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=json)
    environment = load_environment(env)
    changes = action.detect_drift(environment, output.parse_layers(layer) if layer else None, progress)
    if json:
        rows = [{"layer": name, **vars(change)} for name, change in changes]
        output.print_json({"environment": env, "changes": rows, "steps": output.timings(progress)})
        raise typer.Exit(ExitCode.SLO_VIOLATED if rows else ExitCode.OK)
    for name, change in changes:
        typer.echo(
            f"{name}: {change.resource} {change.operation}d outside of esq: {', '.join(change.fields)}"
        )
    if changes:
        raise SloViolatedError(
            f"{len(changes)} resources differ from the deployed state",
            location=env,
            remedy=f"To correct them: `esq deploy {env}`.",
        )
    typer.echo("The cluster matches the deployed state.")
