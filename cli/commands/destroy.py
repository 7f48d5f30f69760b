"""`esq destroy ENV`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli import output
from cli.output import AsJson, Backend, Env, Kubeconfig, Layers, Yes  # noqa: TC001 - Typer reads annotations
from infra.errors import UsageError

app = typer.Typer()

KeepCluster = Annotated[
    bool, typer.Option("--keep-cluster", help="Remove what was deployed, and leave the zones running.")
]
KeepBackups = Annotated[
    bool,
    typer.Option(
        "--keep-backups",
        help="Leave the vault and the keys to it: `esq backup rebuild` brings the environment back.",
    ),
]


@app.command()
def destroy(  # noqa: PLR0913 - one per option
    env: Env,
    layer: Layers = None,
    kubeconfig: Kubeconfig = None,
    backend: Backend = None,
    *,
    keep_cluster: KeepCluster = False,
    keep_backups: KeepBackups = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Take an environment away: its layers with their data and, for `local`, the zones."""
    _must_be_meant(env, yes=yes, as_json=json)
    from cli.actions import destroy as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import find  # noqa: PLC0415 - same

    steps = output.steps(as_json=json)
    environment = find(env, kubeconfig=kubeconfig, backend=backend)
    whole = not layer and not keep_cluster
    outcomes = action.destroy(
        environment, output.chosen(layer), steps, whole=whole, keep_backups=keep_backups
    )
    if json:
        layers = [outcome.report() for outcome in outcomes]
        output.print_json({"environment": env, "layers": layers, "steps": output.timings(steps)})
    else:
        typer.echo(f"`{env}` is gone." if whole else f"What was named of `{env}` is gone.")


def _must_be_meant(env: str, *, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise UsageError(
            "nobody can be asked whether to go ahead",
            location="--yes",
            remedy=f"All data of `{env}` is lost by it. If that is meant: `esq destroy {env} --yes`.",
        )
    typer.confirm(f"All data of `{env}` will be lost. Go ahead?", abort=True, err=True)
