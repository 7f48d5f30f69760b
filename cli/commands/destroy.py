"""`esq destroy ENV`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.output import AsJson, Env, Layers, Yes  # noqa: TC001 - Typer reads annotations

app = output.command_group()

KeepCluster = Annotated[
    bool, typer.Option("--keep-cluster", help="Remove the layers and leave the local cluster running.")
]
KeepBackups = Annotated[
    bool,
    typer.Option(
        "--keep-backups",
        help="Keep the off-site store and its keys; `esq recover` can then restore the environment.",
    ),
]


@app.command()
def destroy(  # noqa: PLR0913 - one per option
    env: Env,
    layer: Layers = None,
    *,
    keep_cluster: KeepCluster = False,
    keep_backups: KeepBackups = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Delete an environment: its layers with their data and, for `local`, the cluster."""
    output.require_confirmation(
        f"All data of `{env}` will be deleted. Continue?",
        remedy=f"The command deletes all data of `{env}`. To confirm: `esq destroy {env} --yes`.",
        yes=yes,
        as_json=json,
    )
    from cli.actions import destroy as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=json)
    environment = load_environment(env)
    purge = not layer and not keep_cluster
    results = action.destroy(
        environment, output.parse_layers(layer), progress, purge=purge, keep_backups=keep_backups
    )
    if json:
        layers = [result.to_dict() for result in results]
        output.print_json({"environment": env, "layers": layers, "steps": output.timings(progress)})
    else:
        typer.echo(f"`{env}` is deleted." if purge else f"The selected layers of `{env}` are deleted.")
