"""`esq preview ENV` and `esq deploy ENV`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli import output
from cli.output import AsJson, Env, Layers, Targets, Yes  # noqa: TC001 - Typer reads annotations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.actions.deploy import DeployResult
    from cli.engine_results import StackResult

app = output.command_group()


@app.command()
def preview(
    env: Env,
    layer: Layers = None,
    target: Targets = None,
    *,
    json: AsJson = False,
) -> None:
    """Show what a deploy would install, build, start and change.

    Nothing of that happens, except that the engine and its provider are built if they are missing.
    """
    from cli.actions import preview as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=json)
    environment = load_environment(env)
    layers = output.parse_layers(layer, environment.layers)
    result = action.preview(environment, layers, progress, output.parse_targets(target, layers))
    if json:
        output.print_json({"environment": env, **result.to_dict(), "steps": output.timings(progress)})
        return
    for preparation in result.preparations:
        typer.echo(f"- {preparation}")
    if result.layers is None:
        typer.echo("The cluster is not running, so that its resources cannot be compared.")
    else:
        output.print_changes(result.layers)


@app.command()
def deploy(
    env: Env,
    layer: Layers = None,
    target: Targets = None,
    *,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Deploy an environment. The command is idempotent; after a failure it resumes."""
    output.require_terminal(
        remedy=f"Check with `esq preview {env}`, then confirm: `esq deploy {env} --yes`.",
        yes=yes,
        as_json=json,
    )
    from cli.actions import deploy as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=json)
    environment = load_environment(env)
    layers = output.parse_layers(layer, environment.layers)
    targets = output.parse_targets(target, layers)
    result = action.deploy(environment, layers, progress, None if yes else _confirm, targets)
    if json:
        output.print_json({"environment": env, **result.to_dict(), "steps": output.timings(progress)})
    else:
        _print_result(env, result)


def _confirm(results: Sequence[StackResult]) -> None:
    output.print_changes(results)
    if any(result.changes for result in results):
        typer.confirm("Continue?", abort=True, err=True)


def _print_result(env: str, result: DeployResult) -> None:
    for layer in result.layers:
        for warning in layer.warnings:
            typer.echo(f"  ! {layer.layer}: {warning}")
    target = result.target
    if result.health is not None:
        typer.echo(f"\n`{env}` is healthy: {result.health.summary}")
    if target.cluster is not None:
        typer.echo(f"  edge         {target.address}  (certificate authority: {target.cluster.ca})")
    typer.echo(f"  kubeconfig   {target.kubeconfig}")
    typer.echo(f"  credentials  encrypted in the stacks' backend; a copy: esq credentials export {env}")
    typer.echo("\nNext commands:")
    typer.echo(f"  esq status {env}")
    sample = "--contacts examples/contacts.csv --template examples/welcome.txt"
    typer.echo(f"  esq campaign send {env} --company acme {sample}")
