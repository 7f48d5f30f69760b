"""`esq cluster up | down | status | logs`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson  # noqa: TC001 - Typer reads annotations

if TYPE_CHECKING:
    from infra.zones import Cluster, ClusterStatus

app = typer.Typer(no_args_is_help=True)

Name = Annotated[
    str | None, typer.Option(help="Name of the cluster; that of the environment `local` when not given.")
]
Subnet = Annotated[str | None, typer.Option(help="An IPv4 /16 that nothing else on this machine uses.")]

UNWELL = 1


def _cluster(name: str | None, subnet: str | None = None) -> Cluster:
    from cli.actions import ground  # noqa: PLC0415 - same
    from cli.environment import find  # noqa: PLC0415 - same
    from infra.zones import ClusterSpec  # noqa: PLC0415 - same

    environment = find("local")
    environment = replace(environment, cluster=name or environment.cluster)
    before = ClusterSpec.kept(environment.clusters / environment.cluster)
    if subnet or before:
        environment = replace(environment, subnet=subnet or str(before.subnet if before else ""))
    return ground.zones(environment, ground.toolchain(output.steps(as_json=True)))


@app.command()
def up(name: Name = None, subnet: Subnet = None, *, json: AsJson = False) -> None:
    """Bring the cluster up, or whatever of it is not; nothing happens when it is."""
    from cli.actions import ground  # noqa: PLC0415 - help needs none of it

    steps = output.steps(as_json=json)
    cluster = _cluster(name, subnet)
    ground.prepare(cluster, steps)
    ground.toolchain(steps).ensure(ground.CLUSTER_TOOLS, steps)
    cluster.up(steps)
    _show(cluster.status(), as_json=json)


@app.command()
def down(
    name: Name = None,
    *,
    purge: Annotated[
        bool, typer.Option(help="Delete its state as well: volumes, certificates, etcd.")
    ] = False,
    json: AsJson = False,
) -> None:
    """End every process and take away all but the state, with which the next `up` goes on."""
    cluster = _cluster(name)
    cluster.down(output.steps(as_json=json), purge=purge)
    if json:
        output.print_json({"name": cluster.spec.name, "running": False, "purged": purge})


@app.command()
def status(name: Name = None, *, json: AsJson = False) -> None:
    """Show processes and nodes; exit code 1 when something is not well."""
    found = _cluster(name).status()
    _show(found, as_json=json)
    if not found.healthy:
        raise typer.Exit(UNWELL)


@app.command()
def logs(
    process: Annotated[
        str | None, typer.Argument(help="Name of a process; a list of them when not given.")
    ] = None,
    name: Name = None,
    *,
    lines: Annotated[int, typer.Option(help="How many of the last lines.")] = 100,
) -> None:
    """Show the last lines of a process's log, e.g. `apiserver` or `zone-a/kubelet`."""
    from collections import deque  # noqa: PLC0415 - only here

    from infra.errors import UsageError  # noqa: PLC0415 - only here

    files = _cluster(name).logs()
    if process is None:
        typer.echo("\n".join(files) or "no logs: the cluster was never up")
        return
    if process not in files:
        raise UsageError(
            f"no log of {process}", location="cluster logs", remedy=f"One of: {', '.join(files)}"
        )
    with files[process].open(errors="replace") as file:
        typer.echo("".join(deque(file, maxlen=lines)), nl=False)


def _show(found: ClusterStatus, *, as_json: bool) -> None:
    if as_json:
        output.print_json({**found.model_dump(), "healthy": found.healthy})
        return
    for node in found.nodes:
        typer.echo(f"{node.name:12} {'ready' if node.ready else f'not ready: {node.reason}'}")
    for process, state in found.processes.items():
        typer.echo(f"{process:20} {state.lower()}")
    if not found.running:
        typer.echo(f"cluster {found.name} is down")
        return
    typer.echo(f"\nkubeconfig  {found.kubeconfig}\nedge        {found.edge}\nregistry    {found.registry}")
