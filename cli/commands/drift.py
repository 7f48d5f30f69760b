"""`esq drift ENV`."""

from __future__ import annotations

import typer

from cli import output
from cli.output import AsJson, Backend, Env, Kubeconfig, Layers  # noqa: TC001 - Typer reads annotations
from infra.errors import SloViolatedError

app = typer.Typer()


@app.command()
def drift(
    env: Env,
    layer: Layers = None,
    kubeconfig: Kubeconfig = None,
    backend: Backend = None,
    *,
    json: AsJson = False,
) -> None:
    """Compare the cluster with what was deployed, changing nothing; exit code 99 when it differs."""
    from cli.actions import drift as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import find  # noqa: PLC0415 - same

    steps = output.steps(as_json=json)
    environment = find(env, kubeconfig=kubeconfig, backend=backend)
    changes = action.drift(environment, output.chosen(layer), steps)
    if json:
        found = [{"layer": name, **vars(change)} for name, change in changes]
        output.print_json({"environment": env, "changes": found, "steps": output.timings(steps)})
        raise typer.Exit(SloViolatedError.exit_code if found else 0)
    for name, change in changes:
        typer.echo(f"{name}: {change.resource} {change.operation}d outside: {', '.join(change.fields)}")
    if changes:
        raise SloViolatedError(
            f"{len(changes)} resources differ from what was deployed",
            location=env,
            remedy=f"Bring them back: `esq deploy {env}`.",
        )
    typer.echo("The cluster is as it was deployed.")
