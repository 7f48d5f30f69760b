"""Options, confirmation, progress reporting and result output that all commands share."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rich.console import Console
    from rich.table import Table

    from cli.engine_results import StackResult
    from infra.progress import ProgressReporter
    from infra.stack_settings import Layer

SLO_COLOURS = {"met": "green", "missed": "yellow", "insufficient": "yellow", "violated": "red"}
"""Colour of each status of an SLO."""

_PIPE_COLUMNS = 200
_UNLIMITED_COLUMNS = 10_000
_MIN_PROSE_COLUMNS = 18
"""Least width of a column whose words are wrapped."""
_OPERATION_SIGNS = {"create": "+", "update": "~", "delete": "-", "replace": "±"}
_TARGET_HELP = "`latest`, a time (ISO 8601, UTC by default), or the label of a backup."

Env = Annotated[
    str, typer.Argument(metavar="ENV", help="Name of the environment, e.g. `local`; see `esq env list`.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", help="Only this layer: cluster, data or services. Repeatable."),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="NAME",
        help="Only resources with this name, and their certificate and Jobs; needs one --layer. Repeatable.",
    ),
]
RecoveryTarget = Annotated[str, typer.Option("--target", metavar="TARGET", help=_TARGET_HELP)]


def command_group(help_text: str | None = None, *, invoke_without_command: bool = False) -> typer.Typer:
    """Return a group for the commands of a module, with plain help and without shell completion options.

    Args:
        help_text: description of the group; None for a module whose commands are on the top level.
        invoke_without_command: whether the group itself is a command.
    """
    return typer.Typer(
        help=help_text,
        invoke_without_command=invoke_without_command,
        no_args_is_help=not invoke_without_command,
        add_completion=False,
        rich_markup_mode=None,
    )


def progress_reporter(*, as_json: bool) -> ProgressReporter:
    """Return the progress reporter: live output for people, a recording for machines."""
    if as_json:
        return RecordingProgress()
    from cli.progress import RichProgress  # noqa: PLC0415 - not needed for JSON

    return RichProgress()


def timings(progress: ProgressReporter) -> list[dict[str, Any]]:
    """Return the duration of each recorded step; empty when the reporter does not record."""
    if not isinstance(progress, RecordingProgress):
        return []
    return [
        {"step": step.name, "seconds": round(step.seconds or 0.0, 3), "results": step.results}
        for step in progress.steps
    ]


def require_terminal(*, remedy: str, yes: bool, as_json: bool) -> None:
    """Reject a command that needs a confirmation when there is no terminal to ask on.

    Args:
        remedy: the command that confirms without a terminal.
        yes: whether --yes was given.
        as_json: whether --json was given.

    Raises:
        UsageError: confirmation is required, but there is no terminal to ask on.
    """
    if not yes and (as_json or not sys.stdin.isatty()):
        raise UsageError(
            "confirmation is required, but standard input is not a terminal",
            location="--yes",
            remedy=remedy,
        )


def require_confirmation(question: str, *, remedy: str, yes: bool, as_json: bool) -> None:
    """Ask for confirmation unless --yes was given.

    Args:
        question: the question to ask.
        remedy: the command that confirms without a terminal.
        yes: whether --yes was given.
        as_json: whether --json was given.

    Raises:
        UsageError: see `require_terminal`.
        typer.Abort: the answer is no.
    """
    require_terminal(remedy=remedy, yes=yes, as_json=as_json)
    if not yes:
        typer.confirm(question, abort=True, err=True)


def table(*columns: str) -> Table:
    """Return an empty table in the style of all commands."""
    from rich import box  # noqa: PLC0415 - not needed for JSON
    from rich.table import Table  # noqa: PLC0415 - same

    empty = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    for column in columns:
        empty.add_column(column, overflow="fold")
    return empty


def print_table(table: Table, *, wraps_last: bool = False) -> None:
    """Print a table; see `fit`.

    Args:
        table: the table.
        wraps_last: whether the last column is prose, which may be broken between words.
    """
    target = console()
    target.print(fit(table, target.width, wraps_last=wraps_last))


def fit(table: Table, width: int, *, wraps_last: bool = False) -> Table:
    """Return a table that can be read at a width.

    Args:
        table: the table.
        width: width of the terminal.
        wraps_last: whether the last column is prose, which may be broken between words.

    Returns:
        The table, if no value would have to be broken; otherwise its rows below each other, one line per
        value.
    """
    from rich.console import Console  # noqa: PLC0415 - not needed for JSON
    from rich.table import Table  # noqa: PLC0415 - same

    if wraps_last:
        for column in table.columns[:-1]:
            column.no_wrap = True
        table.columns[-1].min_width = _MIN_PROSE_COLUMNS
    size = Console(width=_UNLIMITED_COLUMNS).measure(table)
    if (size.minimum if wraps_last else size.maximum) <= width:
        return table
    lines = Table.grid(padding=(0, 2, 0, 0))
    headings = [str(column.header).replace("\n", " ") for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        for heading, value in zip(headings, row, strict=True):
            lines.add_row(heading, value)
        lines.add_row()
    lines.columns[0].no_wrap = True
    return lines


def print_rows(rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows in aligned columns without headings; a terminal wraps only the last column."""
    from rich.table import Table  # noqa: PLC0415 - not needed for JSON

    grid = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        grid.add_row(*row)
    for column in grid.columns[:-1]:
        column.no_wrap = True
    console().print(grid)


def console() -> Console:
    """Return the console for results: as wide as the terminal; in a pipe wide enough for whole values."""
    from rich.console import Console  # noqa: PLC0415 - not needed for JSON

    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)


def print_changes(results: Iterable[StackResult]) -> None:
    """Print the changes of each layer and the warnings about them."""
    for result in results:
        same = result.counts.get("same", 0)
        typer.echo(f"{result.layer}: {len(result.changes)} to change, {same} unchanged")
        for change in result.changes:
            fields = f"  ({', '.join(change.fields)})" if change.fields else ""
            typer.echo(f"  {_OPERATION_SIGNS.get(change.operation, '?')} {change.resource}{fields}")
        for warning in result.warnings:
            typer.echo(f"  ! {warning}")


def print_report_names(reports: list[str], environment: str, *, as_json: bool) -> None:
    """Print the names of reports.

    Args:
        reports: names, oldest first.
        environment: name of their environment.
        as_json: whether JSON is printed instead of text.
    """
    if as_json:
        print_json({"environment": environment, "reports": reports})
    else:
        typer.echo("\n".join(reports) or "no reports")


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON object."""
    sys.stdout.write(json.dumps(values, ensure_ascii=False, default=str) + "\n")


def parse_targets(names: list[str] | None, layers: list[Layer]) -> tuple[str, ...]:
    """Return the names of the only resources to deploy; empty for all.

    Args:
        names: values of `--target`.
        layers: the selected layers.

    Raises:
        UsageError: names without exactly one layer, because another layer has no such resources.
    """
    if names and len(layers) != 1:
        raise UsageError(
            "targets are resources of one layer",
            location="--target",
            remedy="Name its layer too, e.g. `--layer services --target campaigns-api`.",
        )
    return tuple(names or ())


def parse_layers(names: list[str] | None, default: Collection[Layer] | None = None) -> list[Layer]:
    """Return the layers of these names, in deployment order.

    Args:
        names: names of layers; None or empty for the default.
        default: layers without a name; all if None.

    Raises:
        UsageError: unknown name.
    """
    from infra.stack_settings import Layer  # noqa: PLC0415 - help needs none of it

    known_layers = [layer.value for layer in Layer]
    unknown = [name for name in names or [] if name not in known_layers]
    if unknown:
        raise UsageError(
            f"no such layer: {', '.join(unknown)}",
            location="--layer",
            remedy=f"The layers are {', '.join(known_layers)}.",
        )
    selected = names or (default if default is not None else known_layers)
    return [layer for layer in Layer if layer.value in selected]
