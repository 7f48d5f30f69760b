"""`esq destroy ENV`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Env, Layers, Yes  # noqa: TC001 - Typer reads annotations

if TYPE_CHECKING:
    from infra.stack_settings import Layer

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

Preview = Annotated[bool, typer.Option("--preview", help="Show what would be deleted, and delete nothing.")]


@app.command()
def destroy(  # noqa: PLR0913 - one per option
    env: Env,
    layer: Layers = None,
    *,
    keep_cluster: KeepCluster = False,
    keep_backups: KeepBackups = False,
    preview: Preview = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Delete an environment: its layers with their data and, for `local`, the cluster."""
    purge = not layer and not keep_cluster
    if preview:
        _preview(env, output.parse_layers(layer), purge=purge, keep_backups=keep_backups, as_json=json)
        return
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
    layers = output.parse_layers(layer)
    results = action.destroy(environment, layers, progress, purge=purge, keep_backups=keep_backups)
    if json:
        deleted_layers = [result.to_dict() for result in results]
        output.print_json({"environment": env, "layers": deleted_layers, "steps": output.timings(progress)})
    else:
        deleted = not results or any(result.changes for result in results)
        typer.echo(_summary(env, purge=purge, deleted=deleted))
        if action.leaves_backups(environment, layers, purge=purge, keep_backups=keep_backups):
            typer.echo(_next_commands(env, has_cluster=not (purge and environment.is_local_cluster)))


def _summary(env: str, *, purge: bool, deleted: bool) -> str:
    if not deleted:
        return f"The stacks of `{env}` had no resources: nothing was deleted in a cluster."
    return f"`{env}` is deleted." if purge else f"The selected layers of `{env}` are deleted."


def _next_commands(env: str, *, has_cluster: bool) -> str:
    start_new = f" To start anew: `esq env rebind {env} --confirm {env}`." if has_cluster else ""
    return f"Its backups are kept. To restore them: `esq recover {env}`.{start_new}"


def _preview(env: str, layers: list[Layer], *, purge: bool, keep_backups: bool, as_json: bool) -> None:
    from cli.actions.destroy import preview_destroy  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=as_json)
    preview = preview_destroy(load_environment(env), layers, progress, purge=purge, keep_backups=keep_backups)
    if as_json:
        results = [result.to_dict() for result in preview.layers]
        output.print_json({"environment": env, "layers": results, "also": preview.everything_else})
        return
    output.print_changes(preview.layers)
    for text in preview.everything_else:
        typer.echo(f"- {text}")
