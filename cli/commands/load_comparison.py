"""Output of `esq load compare`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from cli import output
from infra.errors import ExitCode, UsageError
from infra.measurements.html import format_number
from loadtests.comparison import compare, find_regressions, is_comparable

if TYPE_CHECKING:
    from rich.table import Table

    from loadtests.comparison import Difference
    from loadtests.results import LoadReport


def print_comparison(
    before: LoadReport, after: LoadReport, *, max_increase_percent: float | None, as_json: bool
) -> ExitCode:
    """Print the figures of two runs beside each other.

    Args:
        before: the earlier run.
        after: the later run.
        max_increase_percent: tolerated increase of latencies; None for any.
        as_json: whether JSON is printed instead of text.

    Returns:
        The exit code: failed if a run is not valid, else whether a latency increased by more than tolerated.

    Raises:
        UsageError: the runs did not offer the same load.
    """
    if not is_comparable(before, after):
        raise UsageError(
            "the runs differ in scenario, load profile or experiment",
            location=f"{before.command}; {after.command}",
            remedy="Compare runs of one scenario with the same options.",
        )
    differences = compare(before, after)
    regressions = [] if max_increase_percent is None else find_regressions(differences, max_increase_percent)
    if as_json:
        output.print_json(_as_json(before, after, differences, regressions))
    else:
        output.print_table(_table(before, after, differences, regressions))
        for name, report in (("before", before), ("after", after)):
            for reason in report.reasons:
                typer.echo(f"✗ {name} is {report.outcome}: {reason}")
        for regression in regressions:
            typer.echo(f"✗ {regression.name} increased by {regression.change_percent:.0f} %")
    if not (before.valid and after.valid):
        return ExitCode.FAILED
    return ExitCode.SLO_VIOLATED if regressions else ExitCode.OK


def _as_json(
    before: LoadReport, after: LoadReport, differences: list[Difference], regressions: list[Difference]
) -> dict[str, object]:
    return {
        "before": {"started_at": before.started_at, "outcome": before.outcome, "reasons": before.reasons},
        "after": {"started_at": after.started_at, "outcome": after.outcome, "reasons": after.reasons},
        "figures": [
            {**asdict(difference), "change_percent": difference.change_percent} for difference in differences
        ],
        "regressions": [regression.name for regression in regressions],
    }


def _table(
    before: LoadReport, after: LoadReport, differences: list[Difference], regressions: list[Difference]
) -> Table:
    table = output.table("", f"before ({before.outcome})", f"after ({after.outcome})", "change, %")
    for difference in differences:
        change = "" if difference.change_percent is None else f"{difference.change_percent:+.1f}"
        name = f"{difference.name}, {difference.unit}" if difference.unit else difference.name
        values = (
            "-" if value is None else format_number(value) for value in (difference.before, difference.after)
        )
        table.add_row(name, *values, f"[red]{change}[/]" if difference in regressions else change)
    return table
