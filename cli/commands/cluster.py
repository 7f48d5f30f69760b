"""`esq cluster up | down | status | logs`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Yes  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from infra.zones import Cluster, ClusterStatus

app = output.command_group("Manage the local three-zone cluster.")

Name = Annotated[
    str | None, typer.Option(help="Name of the cluster; by default that of the environment `local`.")
]
Subnet = Annotated[str | None, typer.Option(help="An IPv4 /16 that nothing else on this machine uses.")]


def _cluster(name: str | None, subnet: str | None = None) -> Cluster:
    from cli.actions import deployment_target  # noqa: PLC0415 - help needs none of it
    from cli.environment import load_environment  # noqa: PLC0415 - same
    from infra.zones import ClusterSpec  # noqa: PLC0415 - same

    environment = load_environment("local")
    environment = replace(environment, cluster=name or environment.cluster)
    saved = ClusterSpec.load_saved(environment.clusters_dir / environment.cluster)
    if subnet or saved:
        environment = replace(environment, subnet=subnet or str(saved.subnet if saved else ""))
    toolchain = deployment_target.open_toolchain(output.progress_reporter(as_json=True))
    return deployment_target.local_cluster(environment, toolchain)


@app.command()
def up(name: Name = None, subnet: Subnet = None, *, json: AsJson = False) -> None:
    """Start the cluster, or the parts of it that do not run."""
    from cli.actions import deployment_target  # noqa: PLC0415 - help needs none of it

    progress = output.progress_reporter(as_json=json)
    cluster = _cluster(name, subnet)
    deployment_target.prepare_host(cluster, progress)
    deployment_target.open_toolchain(progress).ensure(deployment_target.CLUSTER_TOOLS, progress)
    cluster.up(progress)
    _print_status(cluster.status(), as_json=json)


@app.command()
def down(
    name: Name = None,
    *,
    purge: Annotated[
        bool, typer.Option(help="Delete its state as well: volumes, certificates, etcd.")
    ] = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Stop every process and remove everything except the state, which the next `up` reuses."""
    cluster = _cluster(name)
    if purge:
        output.require_confirmation(
            f"All data of the cluster `{cluster.spec.name}` will be deleted. Continue?",
            remedy="The command deletes all data of the cluster. To confirm: "
            "`esq cluster down --purge --yes`.",
            yes=yes,
            as_json=json,
        )
    cluster.down(output.progress_reporter(as_json=json), purge=purge)
    if json:
        output.print_json({"name": cluster.spec.name, "running": False, "purged": purge})


@app.command()
def status(name: Name = None, *, json: AsJson = False) -> None:
    """Show processes and nodes. Exit code 1 when one is not healthy."""
    cluster_status = _cluster(name).status()
    _print_status(cluster_status, as_json=json)
    if not cluster_status.healthy:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def logs(
    process: Annotated[
        str | None, typer.Argument(help="Name of a process; without it, the names are listed.")
    ] = None,
    name: Name = None,
    *,
    lines: Annotated[int, typer.Option(help="Number of lines, from the end.")] = 100,
) -> None:
    """Show the end of the log of a process, such as `apiserver` or `zone-a/kubelet`."""
    from collections import deque  # noqa: PLC0415 - only here

    files = _cluster(name).logs()
    if process is None:
        typer.echo("\n".join(files) or "no logs: the cluster was never started")
        return
    if process not in files:
        raise UsageError(
            f"no log of {process}", location="cluster logs", remedy=f"One of: {', '.join(files)}"
        )
    with files[process].open(errors="replace") as file:
        typer.echo("".join(deque(file, maxlen=lines)), nl=False)


def _print_status(cluster_status: ClusterStatus, *, as_json: bool) -> None:
    if as_json:
        output.print_json({**cluster_status.model_dump(), "healthy": cluster_status.healthy})
        return
    for node in cluster_status.nodes:
        typer.echo(f"{node.name:12} {'ready' if node.ready else f'not ready: {node.reason}'}")
    for process, state in cluster_status.processes.items():
        typer.echo(f"{process:20} {state.lower()}")
    if not cluster_status.running:
        typer.echo(f"cluster {cluster_status.name} is down")
        return
    typer.echo(f"\nkubeconfig  {cluster_status.kubeconfig}")
    typer.echo(f"edge        {cluster_status.edge}\nregistry    {cluster_status.registry}")
