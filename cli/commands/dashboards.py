"""`esq dashboards export | apply`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.output import AsJson  # noqa: TC001 - Typer reads annotations
from infra.errors import UsageError

app = output.command_group("Dashboards of the platform for Grafana.")

TOKEN_VARIABLE = "GRAFANA_TOKEN"  # noqa: S105 - the name of a variable
TokenFile = Annotated[
    Path | None,
    typer.Option(help=f"File with the token of a service account; by default ${TOKEN_VARIABLE}."),
]


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for the JSON files.")],
    *,
    json: AsJson = False,
) -> None:
    """Write the dashboards as JSON, for Grafana's file provisioning or its import."""
    from cli.actions.dashboards import export_dashboards  # noqa: PLC0415 - not needed for help

    files = export_dashboards(folder)
    if json:
        output.print_json({"files": [str(file) for file in files]})
    else:
        typer.echo("\n".join(map(str, files)))


@app.command()
def apply(
    url: Annotated[str, typer.Argument(metavar="URL", help="URL of the Grafana.")],
    *,
    token_file: TokenFile = None,
    json: AsJson = False,
) -> None:
    """Create or replace the dashboards in a Grafana, in a folder of their own."""
    from cli.actions.dashboards import apply_dashboards  # noqa: PLC0415 - not needed for help

    dashboards = apply_dashboards(url, _read_token(token_file))
    if json:
        output.print_json({"dashboards": dashboards})
    else:
        output.print_rows(dashboards.items())


def _read_token(file: Path | None) -> str:
    try:
        token = file.read_text(encoding="utf-8") if file else os.environ.get(TOKEN_VARIABLE, "")
    except OSError as error:
        raise UsageError(
            f"the token cannot be read: {error.strerror}", location=str(file), remedy="Name a readable file."
        ) from error
    if not token.strip():
        raise UsageError(
            "there is no token for Grafana",
            location="--token-file",
            remedy=f"Name a file with the token of a service account, or set {TOKEN_VARIABLE}.",
        )
    return token.strip()
