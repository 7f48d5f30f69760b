"""`esq log-patterns ENV`: what the services write in their logs, as patterns."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

if TYPE_CHECKING:
    from cli.actions.log_patterns import Baseline, Pattern

app = output.command_group()

Workloads = Annotated[
    list[str] | None,
    typer.Argument(metavar="WORKLOAD", help="Workloads; by default all processes of the application."),
]
Since = Annotated[str, typer.Option(metavar="AGE", help="Maximum age of a line, e.g. `10m`.")]
SaveBaseline = Annotated[
    bool,
    typer.Option("--save-baseline", help="Store these patterns as what is normal."),
]
ShowAll = Annotated[bool, typer.Option("--all", help="Also show known patterns.")]


@app.command("log-patterns")
def log_patterns(  # noqa: PLR0913 - one per option
    env: Env,
    workload: Workloads = None,
    *,
    since: Since = "10m",
    save_baseline: SaveBaseline = False,
    show_all: ShowAll = False,
    json: AsJson = False,
) -> None:
    """Show new and exploded patterns of log lines. Exit code 99 if one has exploded.

    A pattern has exploded when it has five times as many lines per minute as in the baseline, and 20 lines or
    more. Numbers, ids, addresses and phone numbers are masked.
    """
    from cli.actions import log_patterns as action  # noqa: PLC0415 - not needed for help
    from cli.actions.deployment_target import open_deployed_target  # noqa: PLC0415 - same
    from cli.actions.pod_logs import read_logs  # noqa: PLC0415 - same
    from cli.actions.workloads import find_workloads  # noqa: PLC0415 - same
    from cli.environment import load_environment  # noqa: PLC0415 - same

    seconds, environment = action.parse_age(since), load_environment(env)
    file = environment.folder / "log-patterns.json"
    baseline = None if save_baseline else action.load_baseline(file)
    target = open_deployed_target(environment, output.progress_reporter(as_json=True))
    lines = read_logs(target.kubeconfig, find_workloads(workload or []), seconds)
    patterns = action.mine(lines, baseline, seconds / 60)
    if save_baseline:
        action.save_baseline(file, patterns, seconds / 60, dt.datetime.now(dt.UTC))
    if json:
        output.print_json({"environment": env, "patterns": [pattern.to_dict() for pattern in patterns]})
    else:
        _print_patterns(patterns, baseline, show_all=show_all or baseline is None)
        if save_baseline:
            typer.echo(f"stored as the baseline: {file}")
    if any(pattern.status is action.PatternStatus.EXPLODED for pattern in patterns):
        raise typer.Exit(ExitCode.SLO_VIOLATED)


def _print_patterns(patterns: list[Pattern], baseline: Baseline | None, *, show_all: bool) -> None:
    from rich.markup import escape  # noqa: PLC0415 - not needed for JSON

    from cli.actions.log_patterns import PatternStatus  # noqa: PLC0415 - same

    shown = [pattern for pattern in patterns if show_all or pattern.status is not PatternStatus.KNOWN]
    table = output.table("lines", "per min", "before", "status", "pattern")
    for pattern in shown:
        before = "" if pattern.baseline_per_minute is None else f"{pattern.baseline_per_minute:.1f}"
        row = (str(pattern.lines), f"{pattern.per_minute:.1f}", before, pattern.status.value)
        table.add_row(*row, escape(pattern.text))
    if shown:
        output.print_table(table, wraps_last=True)
    compared = f"; baseline of {baseline.recorded_at:%Y-%m-%d %H:%M} UTC" if baseline else "; no baseline"
    typer.echo(f"{len(patterns)} patterns, {len(patterns) - len(shown)} known ones not shown{compared}")
