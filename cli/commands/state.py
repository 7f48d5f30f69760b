"""`esq state export | import | unlock ENV`."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.output import AsJson, Env, Yes  # noqa: TC001 - Typer reads annotations

app = output.command_group("Export, import and unlock the state of an environment's stacks.")

Export = Annotated[Path, typer.Argument(metavar="FILE", help="A file that `esq state export` wrote.")]


@app.command("export")
def export(env: Env) -> None:
    """Print the states of all stacks as JSON, e.g. before a repair; secrets stay encrypted."""
    from cli.actions.stack_state import export_state  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    state = export_state(load_environment(env), output.progress_reporter(as_json=True))
    typer.echo(json_format.dumps(state, indent=2))


@app.command("import")
def import_(env: Env, file: Export, *, yes: Yes = False, json: AsJson = False) -> None:
    """Replace the states of the stacks by an export, except for credentials that exist.

    The cluster is not changed: see `esq drift` then.
    """
    output.require_confirmation(
        f"Replace the state of `{env}` by {file}?",
        remedy=f"To confirm: `esq state import {env} {file} --yes`.",
        yes=yes,
        as_json=json,
    )
    from cli.actions.stack_state import import_state  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    layers = import_state(load_environment(env), file, output.progress_reporter(as_json=json))
    if json:
        output.print_json({"environment": env, "layers": layers})
    else:
        typer.echo(f"Imported {', '.join(layers) or 'nothing'}. Compare with the cluster: esq drift {env}")


@app.command("unlock")
def unlock(env: Env, *, yes: Yes = False, json: AsJson = False) -> None:
    """Remove the locks that a run on another machine left. Make sure first that it does not run any more."""
    from cli.actions import stack_state  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    environment, progress = load_environment(env), output.progress_reporter(as_json=json)
    holder = stack_state.find_lock_holder(environment, progress)
    output.require_confirmation(
        f"The lock is held by {holder or 'nobody'}. Remove it?",
        remedy=f"To confirm: `esq state unlock {env} --yes`.",
        yes=yes,
        as_json=json,
    )
    removed = stack_state.unlock(environment, progress)
    if json:
        output.print_json({"environment": env, "holder": holder, "removed": removed})
    else:
        typer.echo("\n".join(removed) or "No lock.")
