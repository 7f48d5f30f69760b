"""`esq credentials export | import | rotate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.output import AsJson, Env, Yes  # noqa: TC001 - Typer reads annotations
from infra.errors import UsageError

app = output.command_group("Export, restore and rotate the credentials of an environment.")

Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="A new file, readable by its owner only.")
]
Export = Annotated[Path, typer.Argument(metavar="FILE", help="A file that `esq credentials export` wrote.")]


@app.callback()
def credentials() -> None:
    """Credentials."""


@app.command("export")
def export(env: Env, *, file: Output = None) -> None:
    """Export the credentials in clear, to keep a copy outside of the stacks' backend.

    Without them, volumes and backups of the environment are lost.
    """
    if file is None and sys.stdout.isatty():
        raise UsageError(
            "the credentials would appear on the terminal",
            location="--output",
            remedy=f"Write them to a file: `esq credentials export {env} --output FILE`.",
        )
    from cli.actions import credentials as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    environment = load_environment(env)
    text = action.export_credentials(environment, output.progress_reporter(as_json=file is None))
    if file is None:
        sys.stdout.write(text)
        return
    action.write_export(text, file)
    typer.echo(f"The credentials of `{env}` are in {file}, in clear. Keep it in a safe place.")


@app.command("import")
def import_(
    env: Env,
    file: Export,
    *,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Restore lost credentials from an export; refused while the environment has other ones."""
    output.require_confirmation(
        f"Make {file} the credentials of `{env}`?",
        remedy=f"To confirm: `esq credentials import {env} {file} --yes`.",
        yes=yes,
        as_json=json,
    )
    from cli.actions import credentials as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=json)
    environment = load_environment(env)
    imported = action.import_credentials(environment, file, progress)
    if json:
        output.print_json({"environment": env, "imported": imported, "steps": output.timings(progress)})
    elif imported:
        typer.echo(
            f"The credentials of `{env}` are restored. "
            f"If the cluster is lost: esq recover {env}; otherwise: esq deploy {env}"
        )
    else:
        typer.echo(f"`{env}` has these credentials already.")


@app.command()
def rotate(
    env: Env,
    *,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Replace the certificate authority and every key and password while the platform serves.

    Three deploys of the data and services layers. After an interruption the command continues. Bearer tokens
    that were issued before are refused after its end.
    """
    output.require_confirmation(
        f"Replace all credentials of `{env}`? It restarts every pod three times, one after another.",
        remedy=f"To confirm: `esq credentials rotate {env} --yes`.",
        yes=yes,
        as_json=json,
    )
    from cli.actions import credentials_rotation as action  # noqa: PLC0415 - imports the whole SDK
    from cli.environment import load_environment  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=json)
    result = action.rotate(load_environment(env), progress)
    if json:
        values = {"environment": env, "generation": result.generation, "phases": list(result.phases)}
        output.print_json({**values, "steps": output.timings(progress)})
    else:
        typer.echo(
            f"All credentials of `{env}` are replaced. Export them again: esq credentials export {env}"
        )
