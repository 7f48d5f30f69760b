"""`esq cache prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson  # noqa: TC001 - Typer reads annotations

if TYPE_CHECKING:
    from cli.actions.caches import PruneResult

app = output.command_group("Manage the user's cache.")
MEBIBYTE = 1 << 20

Preview = Annotated[bool, typer.Option("--preview", help="Only show what would be removed.")]


@app.callback()
def cache() -> None:
    """Manage the user's cache."""


@app.command()
def prune(*, preview: Preview = False, json: AsJson = False) -> None:
    """Remove Python environments, tools, failed builds and images that nothing uses.

    What this version of esq and running clusters use is kept; a deploy of another version builds its own
    again. A stopped cluster whose images were removed needs a deploy after its start.
    """
    from cli.actions.caches import prune_cache  # noqa: PLC0415 - help needs none of it

    print_result(prune_cache(output.progress_reporter(as_json=json), preview=preview), as_json=json)


def print_result(result: PruneResult, *, as_json: bool) -> None:
    """Print what was removed.

    Args:
        result: the result.
        as_json: whether JSON is printed instead of text.
    """
    if as_json:
        output.print_json(result.to_dict())
        return
    rows = [(f"{size / MEBIBYTE:,.0f} MiB", path) for path, size in result.folders.items()]
    output.print_rows([*rows, *(("image", name) for name in result.images)])
    verb = "would free" if result.preview else "freed"
    more = ", and the space of the images" if result.preview and result.images else ""
    if result.skipped:
        typer.echo(f"images were not checked: {result.skipped}")
    typer.echo(f"{verb} {result.freed_bytes / MEBIBYTE:,.0f} MiB{more}")
