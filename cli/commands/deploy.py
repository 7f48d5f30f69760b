"""`esq preview ENV` and `esq deploy ENV`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from cli import output
from cli.output import AsJson, Backend, Env, Kubeconfig, Layers, Yes  # noqa: TC001 - Typer reads annotations
from infra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.actions.deploy import Deployed
    from cli.engine import Outcome

app = typer.Typer()

_SIGNS = {"create": "+", "update": "~", "delete": "-", "replace": "±"}


@app.command()
def preview(
    env: Env,
    layer: Layers = None,
    kubeconfig: Kubeconfig = None,
    backend: Backend = None,
    *,
    json: AsJson = False,
) -> None:
    """Show what a deploy would change. The cluster and its images are made; nothing is changed in them."""
    from cli.actions import deploy as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import find  # noqa: PLC0415 - same

    steps = output.steps(as_json=json)
    environment = find(env, kubeconfig=kubeconfig, backend=backend)
    outcomes = action.preview(environment, output.chosen(layer), steps)
    if json:
        layers = [outcome.report() for outcome in outcomes]
        output.print_json({"environment": env, "layers": layers, "steps": output.timings(steps)})
    else:
        _show(outcomes)


@app.command()
def deploy(  # noqa: PLR0913 - one per option
    env: Env,
    layer: Layers = None,
    kubeconfig: Kubeconfig = None,
    backend: Backend = None,
    *,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Bring an environment to what this version describes. May be repeated: it goes on from where it is."""
    _must_be_able_to_ask(env, yes=yes, as_json=json)
    from cli.actions import deploy as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import find  # noqa: PLC0415 - same

    steps = output.steps(as_json=json)
    environment = find(env, kubeconfig=kubeconfig, backend=backend)
    done = action.deploy(environment, output.chosen(layer), steps, None if yes else _confirm)
    if json:
        output.print_json({"environment": env, **done.report(), "steps": output.timings(steps)})
    else:
        _tell(env, done)


def _must_be_able_to_ask(env: str, *, yes: bool, as_json: bool) -> None:
    if not yes and (as_json or not sys.stdin.isatty()):
        raise UsageError(
            "nobody can be asked whether to go ahead",
            location="--yes",
            remedy=f"Look with `esq preview {env}`, then say so: `esq deploy {env} --yes`.",
        )


def _show(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        same = outcome.counts.get("same", 0)
        typer.echo(f"{outcome.layer}: {len(outcome.changes)} to change, {same} the same")
        for change in outcome.changes:
            fields = f"  ({', '.join(change.fields)})" if change.fields else ""
            typer.echo(f"  {_SIGNS.get(change.operation, '?')} {change.resource}{fields}")
        for warning in outcome.warnings:
            typer.echo(f"  ! {warning}")


def _confirm(outcomes: Sequence[Outcome]) -> None:
    _show(outcomes)
    if any(outcome.changes for outcome in outcomes):
        typer.confirm("Go ahead?", abort=True, err=True)


def _tell(env: str, done: Deployed) -> None:
    for outcome in done.outcomes:
        for warning in outcome.warnings:
            typer.echo(f"  ! {outcome.layer}: {warning}")
    ground = done.ground
    if done.health is not None:
        typer.echo(f"\n`{env}` is well: {done.health.summary}")
    if ground.cluster is not None:
        typer.echo(f"  edge         {ground.address}  (certificate authority: {ground.cluster.ca})")
    typer.echo(f"  kubeconfig   {ground.kubeconfig}")
    typer.echo(
        f"  credentials  encrypted in {ground.environment.folder}/stacks; "
        f"the key is {ground.environment.folder}/passphrase"
    )
    typer.echo("\nTry next:")
    typer.echo(f"  esq status {env}")
    sample = "--contacts examples/contacts.csv --text examples/welcome.txt"
    typer.echo(f"  esq campaign send --env {env} --company acme {sample}")
