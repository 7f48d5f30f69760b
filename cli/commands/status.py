"""`esq status ENV`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli import output
from cli.output import AsJson, Env, Kubeconfig  # noqa: TC001 - Typer reads annotations

if TYPE_CHECKING:
    from rich.table import Table

    from cli.actions.health import Health

app = typer.Typer()

UNWELL = 1


@app.command()
def status(env: Env, kubeconfig: Kubeconfig = None, *, json: AsJson = False) -> None:
    """Show each part of an environment by zone, and whether it is well; exit code 1 when it is not."""
    from cli.actions import ground, health  # noqa: PLC0415 - imports the Kubernetes client
    from cli.environment import find  # noqa: PLC0415 - same

    environment = find(env, kubeconfig=kubeconfig)
    found = health.look(ground.look(environment, output.steps(as_json=True)))
    if json:
        output.print_json({"environment": env, **found.report()})
    else:
        _show(found)
    if not found.healthy:
        raise typer.Exit(UNWELL)


def _show(found: Health) -> None:
    from rich.console import Console  # noqa: PLC0415 - machines do without

    console = Console(highlight=False)
    for table in (_data(found), _services(found)):
        console.print(table)
    nodes = ", ".join(f"{node.name} {_mark(good=node.ready)}" for node in found.nodes)
    console.print(f"nodes  {nodes}")
    console.print(f"backups {_mark(good=not found.backups.troubles)} {found.backups.summary}")
    doors = ", ".join(f"{door.path} {_mark(good=not door.trouble)}" for door in found.edge)
    if doors:
        console.print(f"edge   {doors}")
    for trouble in found.troubles:
        console.print(f"[red]✗[/] {trouble}")
    if found.healthy:
        console.print("[green]✓[/] all well")


def _mark(*, good: bool) -> str:
    return "[green]✓[/]" if good else "[red]✗[/]"


def _data(found: Health) -> Table:
    table = output.table("data", "replica", "zone", "role", "state", "lag")
    for report in found.data:
        for replica in report.replicas:
            lag = "" if replica.lag is None else f"{replica.lag} {replica.lag_unit}"
            state = f"[{'green' if replica.healthy else 'red'}]{replica.state}[/]"
            table.add_row(report.thing, replica.name, replica.zone or "none", replica.role, state, lag)
    return table


def _services(found: Health) -> Table:
    zones = sorted({node.zone for node in found.nodes})
    table = output.table("service", "ready", *zones)
    for service in found.services:
        ready = f"[{'green' if service.healthy else 'red'}]{service.ready}/{service.wanted}[/]"
        table.add_row(service.name, ready, *(str(service.zones.get(zone, "")) for zone in zones))
    return table
