"""What all commands share: the options, where steps are shown, and how results are printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from rich.table import Table

    from infra.config import Layer
    from infra.progress import ProgressReporter

Env = Annotated[str, typer.Argument(metavar="ENV", help="The environment, e.g. `local`.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]
STANDINGS = {"kept": "green", "behind": "yellow", "broken": "red"}
"""Colour of each standing of a promise."""

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", help="Only this layer: cluster, data or services. May be repeated."),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option(help="A cluster that is there already, instead of the zones (or ESQ_KUBECONFIG)."),
]
Backend = Annotated[
    str | None,
    typer.Option(help="Pulumi backend URL (or ESQ_BACKEND); a folder of the environment by default."),
]


def steps(*, as_json: bool) -> ProgressReporter:
    """Return where steps are shown: live for people, remembered for machines."""
    if as_json:
        return RecordingProgress()
    from cli.progress import RichSteps  # noqa: PLC0415 - machines do without

    return RichSteps()


def timings(shown: ProgressReporter) -> list[dict[str, Any]]:
    """Return what each step took, where that was remembered."""
    if not isinstance(shown, RecordingProgress):
        return []
    return [
        {"step": step.name, "seconds": round(step.seconds or 0.0, 3), "notes": step.results}
        for step in shown.steps
    ]


def table(*columns: str) -> Table:
    """Return an empty table in the style of all commands."""
    from rich import box  # noqa: PLC0415 - machines do without
    from rich.table import Table  # noqa: PLC0415 - same

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column)
    return made


def names(reports: list[str], environment: str, *, as_json: bool) -> None:
    """Print the names of reports."""
    if as_json:
        print_json({"environment": environment, "reports": reports})
    else:
        typer.echo("\n".join(reports) or "there are no reports yet")


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON object."""
    sys.stdout.write(json.dumps(values, ensure_ascii=False, default=str) + "\n")


def chosen(layers: list[str] | None) -> list[Layer]:
    """Return the layers that were asked for, in the order they are deployed in; all by default.

    Raises:
        UsageError: one of them does not exist.
    """
    from infra.config import Layer  # noqa: PLC0415 - help needs none of it
    from infra.errors import UsageError  # noqa: PLC0415 - same

    known = [layer.value for layer in Layer]
    wrong = [layer for layer in layers or [] if layer not in known]
    if wrong:
        raise UsageError(
            f"no such layer: {', '.join(wrong)}",
            location="--layer",
            remedy=f"The layers are {', '.join(known)}.",
        )
    return [layer for layer in Layer if not layers or layer.value in layers]
