"""`esq queue list | show | pause | resume | drain | limit | top`."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - Typer reads annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.output import AsJson, Kubeconfig  # noqa: TC001 - Typer reads annotations
from infra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from cli.actions.queue import Row
    from cli.edge import Edge
    from infra.progress import ProgressReporter

app = typer.Typer(help="The queues: what waits, and holding or draining them.")

Env = Annotated[str, typer.Option("--env", help="The environment.")]
Name = Annotated[str, typer.Argument(metavar="QUEUE", help="Its name, e.g. `whatsapp.dispatch`.")]
Rate = Annotated[float, typer.Argument(metavar="RATE", min=0, help="Jobs per second; 0 for no limit.")]
Timeout = Annotated[float, typer.Option(help="Seconds after which to stop following.")]
ANSWER_SECONDS = 30.0
COLUMNS = (
    "queue",
    "waiting by priority",
    "delayed",
    "leased",
    "at risk",
    "oldest",
    "wait",
    "dead",
    "done/s",
    "state",
)
COLOURS = {"running": "green", "paused": "yellow"}
"""Of states that are one word."""


@app.callback()
def queue() -> None:
    """Queues."""


@app.command("list")
def list_(env: Env = "local", kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """Show every queue."""
    from cli.actions import queue as action  # noqa: PLC0415 - help needs none of it

    with _edge(env, kubeconfig, output.steps(as_json=json)) as edge:
        found = action.list_queues(edge)
    if json:
        output.print_json({"environment": env, "queues": found})
    else:
        _print(_table([action.row(each) for each in found]))


@app.command()
def show(name: Name, env: Env = "local", kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """Show a queue with its rules and its newest dead letters."""
    from cli.actions import queue as action  # noqa: PLC0415 - help needs none of it

    with _edge(env, kubeconfig, output.steps(as_json=json)) as edge:
        found = action.show(edge, name)
    if json:
        output.print_json({"environment": env, **found})
        return
    _print(_table([action.row(found)]))
    for part in ("totals", "rules"):
        typer.echo(f"{part}: " + ", ".join(f"{key} {value:g}" for key, value in found[part].items()))
    for letter in found["letters"]:
        typer.echo(f"  dead: {letter['id']} after {letter['attempts']} attempts: {letter['reason']}")


@app.command()
def pause(name: Name, env: Env = "local", kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """Hand nothing out; producers may still put jobs in."""
    _control(name, env, kubeconfig, {"paused": True}, as_json=json)


@app.command()
def resume(name: Name, env: Env = "local", kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """End pausing and draining."""
    _control(name, env, kubeconfig, {"paused": False, "draining": False}, as_json=json)


@app.command()
def limit(
    name: Name, rate: Rate, env: Env = "local", kubeconfig: Kubeconfig = None, *, json: AsJson = False
) -> None:
    """Hand out no more than so many jobs per second."""
    _control(name, env, kubeconfig, {"limit": rate}, as_json=json)


@app.command()
def drain(
    name: Name,
    env: Env = "local",
    timeout: Timeout = 600.0,
    kubeconfig: Kubeconfig = None,
    *,
    json: AsJson = False,
) -> None:
    """Let nothing new in and wait until the queue is empty. It stays closed until it is resumed."""
    from cli.actions import queue as action  # noqa: PLC0415 - help needs none of it

    steps = output.steps(as_json=json)
    with _edge(env, kubeconfig, steps, timeout) as edge, steps.step(f"drain {name}") as step:
        edge.waiting = step.set_status
        action.drain(edge, name, step)
        step.set_result("empty")
    if json:
        output.print_json({"environment": env, "queue": name, "steps": output.timings(steps)})


@app.command()
def top(env: Env = "local", kubeconfig: Kubeconfig = None) -> None:
    """Show the queues live, until Ctrl-C."""
    from rich.console import Console  # noqa: PLC0415 - help needs none of it
    from rich.live import Live  # noqa: PLC0415 - same

    from cli.actions import queue as action  # noqa: PLC0415 - same

    console = Console()
    if not console.is_terminal:
        raise UsageError(
            "a live view needs a terminal", location="esq queue top", remedy="Use `esq queue list --json`."
        )
    with (
        _edge(env, kubeconfig, output.steps(as_json=False), float("inf")) as edge,
        Live(console=console, auto_refresh=False, screen=True) as live,
    ):
        for rows in action.looks(edge):
            live.update(_table(rows), refresh=True)


def _control(name: str, env: str, kubeconfig: Path | None, wanted: dict[str, Any], *, as_json: bool) -> None:
    from cli.actions import queue as action  # noqa: PLC0415 - help needs none of it

    with _edge(env, kubeconfig, output.steps(as_json=as_json)) as edge:
        found = action.control(edge, name, **wanted)
    if as_json:
        output.print_json({"environment": env, **found})
    else:
        typer.echo(", ".join(f"{key} {value}" for key, value in found.items()))


@contextmanager
def _edge(
    env: str, kubeconfig: Path | None, steps: ProgressReporter, seconds: float = ANSWER_SECONDS
) -> Iterator[Edge]:
    """Open the way to the platform."""
    from cli.actions.doors import through_the_edge  # noqa: PLC0415 - help needs none of it
    from cli.actions.queue import OPERATORS  # noqa: PLC0415 - same
    from cli.environment import find  # noqa: PLC0415 - same

    with through_the_edge(find(env, kubeconfig=kubeconfig), OPERATORS, seconds, steps) as edge:
        yield edge


def _table(rows: Sequence[Row]) -> Table:
    """Draw queues; what an operator should look at is coloured."""
    table = output.table(*COLUMNS)
    table.columns[0].no_wrap = True
    for each in rows:
        colour = COLOURS.get(each.state, "cyan")
        table.add_row(
            each.queue,
            " / ".join(map(str, each.waiting)),
            str(each.delayed),
            str(each.leased),
            f"[red]{each.at_risk}[/]" if each.at_risk else "0",
            f"{each.oldest:.1f} s",
            f"{each.wait:.1f} s",
            f"[yellow]{each.dead}[/]" if each.dead else "0",
            "" if each.done_per_second is None else f"{each.done_per_second:.0f}",
            f"[{colour}]{each.state}[/]",
        )
    return table


def _print(table: Table) -> None:
    from rich.console import Console  # noqa: PLC0415 - machines do without

    Console().print(table)
