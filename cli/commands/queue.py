"""`esq queue list | show | pause | resume | drain | rate-limit | top`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from cli.actions.queue import QueueRow
    from cli.platform_client import PlatformClient
    from infra.progress import ProgressReporter

app = output.command_group("Show, pause, rate-limit and drain job queues.")

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue, e.g. `whatsapp.dispatch`.")]
Rate = Annotated[float, typer.Argument(metavar="RATE", min=0, help="Jobs per second; 0 for no limit.")]
Timeout = Annotated[float, typer.Option(help="Seconds after which to stop waiting.")]
REQUEST_TIMEOUT_SECONDS = 30.0
COLUMNS = (
    "queue",
    "ready by priority",
    "delayed",
    "leased",
    "near deadline",
    "oldest",
    "estimated wait",
    "done/s",
    "state",
)
STATE_COLOURS = {"running": "green", "paused": "yellow"}
"""Colours of single states; combinations are cyan."""


@app.callback()
def queue() -> None:
    """Job queues."""


@app.command("list")
def list_(env: Env, *, json: AsJson = False) -> None:
    """List all queues."""
    from cli.actions import queue as action  # noqa: PLC0415 - not needed for help

    with _platform_client(env, output.progress_reporter(as_json=json)) as client:
        queues = action.list_queues(client)
    if json:
        output.print_json({"environment": env, "queues": queues})
    else:
        output.print_table(_table([action.queue_row(queue) for queue in queues]))


@app.command()
def show(env: Env, name: Name, *, json: AsJson = False) -> None:
    """Show a queue with its totals and its configuration."""
    from cli.actions import queue as action  # noqa: PLC0415 - not needed for help

    with _platform_client(env, output.progress_reporter(as_json=json)) as client:
        queue = action.show_queue(client, name)
    if json:
        output.print_json({"environment": env, **queue})
        return
    output.print_table(_table([action.queue_row(queue)]))
    for section in ("totals", "config"):
        typer.echo(f"{section}: " + ", ".join(f"{key} {value:g}" for key, value in queue[section].items()))


@app.command()
def pause(env: Env, name: Name, *, json: AsJson = False) -> None:
    """Hand out no jobs; producers can still add jobs."""
    _update(env, name, {"paused": True}, as_json=json)


@app.command()
def resume(env: Env, name: Name, *, json: AsJson = False) -> None:
    """Stop pausing and draining."""
    _update(env, name, {"paused": False, "draining": False}, as_json=json)


@app.command("rate-limit")
def rate_limit(env: Env, name: Name, rate: Rate, *, json: AsJson = False) -> None:
    """Set the maximum number of jobs handed out per second."""
    _update(env, name, {"rate_limit": rate}, as_json=json)


@app.command()
def drain(
    env: Env,
    name: Name,
    timeout: Timeout = 600.0,
    *,
    json: AsJson = False,
) -> None:
    """Reject new jobs and wait until the queue is empty. It rejects jobs until `esq queue resume`."""
    from cli.actions import queue as action  # noqa: PLC0415 - not needed for help

    steps = output.progress_reporter(as_json=json)
    with (
        _platform_client(env, steps, timeout) as client,
        steps.step(f"drain {name}") as step,
    ):
        client.on_retry = step.set_status
        action.drain_queue(client, name, env, step)
        step.set_result("empty")
    if json:
        output.print_json({"environment": env, "queue": name, "steps": output.timings(steps)})


@app.command()
def top(env: Env) -> None:
    """Show all queues live, until Ctrl-C."""
    from rich.console import Console  # noqa: PLC0415 - not needed for help
    from rich.live import Live  # noqa: PLC0415 - same

    from cli.actions import queue as action  # noqa: PLC0415 - same

    console = Console()
    if not console.is_terminal:
        raise UsageError(
            "standard output is not a terminal",
            location="esq queue top",
            remedy=f"Use `esq queue list {env} --json`.",
        )
    with (
        _platform_client(env, output.progress_reporter(as_json=False), float("inf")) as client,
        Live(console=console, auto_refresh=False, screen=True) as live,
    ):
        for rows in action.poll(client):
            live.update(output.fit(_table(rows), console.width), refresh=True)


def _update(env: str, name: str, controls: dict[str, Any], *, as_json: bool) -> None:
    from cli.actions import queue as action  # noqa: PLC0415 - not needed for help

    with _platform_client(env, output.progress_reporter(as_json=as_json)) as client:
        updated = action.update_queue(client, name, **controls)
    if as_json:
        output.print_json({"environment": env, **updated})
    else:
        typer.echo(", ".join(f"{key} {value}" for key, value in updated.items()))


@contextmanager
def _platform_client(
    env: str, steps: ProgressReporter, seconds: float = REQUEST_TIMEOUT_SECONDS
) -> Iterator[PlatformClient]:
    """Open a client of the platform API."""
    from cli.actions.platform_access import open_platform_client  # noqa: PLC0415 - not needed for help
    from cli.actions.queue import OPERATOR_TENANT  # noqa: PLC0415 - same
    from cli.environment import load_environment  # noqa: PLC0415 - same

    with open_platform_client(load_environment(env), OPERATOR_TENANT, seconds, steps) as client:
        yield client


def _table(rows: Sequence[QueueRow]) -> Table:
    """Return a table of queues; values that need attention are coloured."""
    table = output.table(*COLUMNS)
    for row in rows:
        colour = STATE_COLOURS.get(row.state, "cyan")
        table.add_row(
            row.queue,
            " / ".join(map(str, row.ready)),
            str(row.delayed),
            str(row.leased),
            f"[red]{row.near_deadline}[/]" if row.near_deadline else "0",
            f"{row.oldest_age:.1f} s",
            f"{row.estimated_wait:.1f} s",
            "" if row.done_per_second is None else f"{row.done_per_second:.0f}",
            f"[{colour}]{row.state}[/]",
        )
    return table
