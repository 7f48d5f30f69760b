"""Zone faults: node death, node crash, freeze, DNS failure; and outages of the control plane.

Processes are controlled through the command line of their supervisor, for which repeating an action is no
failure.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from chaos.faults.fault import Command, Fault
from infra.zones import cgroups
from infra.zones.supervisord import SUPERVISORCTL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec

CONTROL_PLANE = ("etcd", "apiserver", "controller-manager", "scheduler")
"""In start order."""


def node_death(paths: ClusterPaths, zone: str) -> Fault:
    """Kill the node of a zone with all its processes; it stays down until the undo.

    Args:
        paths: files of the cluster.
        zone: name of the zone.

    Returns:
        The fault; its undo starts the node.
    """
    return Fault(
        kind="node-death",
        target=zone,
        inject=(supervisorctl(paths, "stop", zone),),
        undo=(start_if_running(paths, zone),),
    )


def node_crash(paths: ClusterPaths, zone: str) -> Fault:
    """Kill the node of a zone with all its processes; its supervisor restarts it immediately.

    Args:
        paths: files of the cluster.
        zone: name of the zone.

    Returns:
        The fault; its undo starts the node if it does not run.
    """
    return Fault(
        kind="node-crash",
        target=zone,
        inject=(supervisorctl(paths, "signal", "KILL", zone),),
        undo=(start_if_running(paths, zone),),
    )


def zone_freeze(spec: ClusterSpec, zone: str) -> Fault:
    """Freeze all processes of a zone: node and pods keep their connections and do not respond.

    The kernel keeps running: packets are acknowledged and queued until the buffers are full.

    Args:
        spec: names of the cluster.
        zone: name of the zone.

    Returns:
        The fault; its undo thaws the processes.
    """
    state = cgroups.MOUNT / "freezer" / spec.namespace(zone) / "freezer.state"
    thaw = f"[ ! -e {shlex.quote(str(state))} ] || echo THAWED > {shlex.quote(str(state))}"
    return Fault(
        kind="zone-freeze",
        target=zone,
        inject=(("sh", "-c", f"echo FROZEN > {shlex.quote(str(state))}"),),
        undo=(("sh", "-c", thaw),),
    )


def control_plane_outage(paths: ClusterPaths, programs: Sequence[str] = ("apiserver",)) -> Fault:
    """Stop programs of the control plane: running pods keep running, and nothing is rescheduled.

    Args:
        paths: files of the cluster.
        programs: programs to stop, each one of `CONTROL_PLANE`.

    Returns:
        The fault; its undo starts the programs.

    Raises:
        ValueError: a program is not in `CONTROL_PLANE`.
    """
    ordered = [name for name in CONTROL_PLANE if name in programs]
    if len(ordered) != len(programs):
        raise ValueError(
            f"invalid programs {', '.join(programs)}: the control plane is {', '.join(CONTROL_PLANE)}"
        )
    return Fault(
        kind="control-plane-outage",
        target=", ".join(ordered),
        inject=(supervisorctl(paths, "stop", *reversed(ordered)),),
        undo=(start_if_running(paths, *ordered),),
    )


def dns_failure(paths: ClusterPaths, zones: Sequence[str]) -> Fault:
    """Stop the DNS servers of zones: queries of their pods fail immediately.

    Args:
        paths: files of the cluster.
        zones: names of the zones.

    Returns:
        The fault; its undo starts the DNS servers.
    """
    return Fault(
        kind="dns-failure",
        target=", ".join(zones),
        inject=tuple(_control_node_dns(paths, zone, "stop", missing_status=1) for zone in zones),
        undo=tuple(_control_node_dns(paths, zone, "start", missing_status=0) for zone in zones),
    )


def supervisorctl(paths: ClusterPaths, *args: str) -> Command:
    """Return a command to the supervisor of the cluster.

    Args:
        paths: files of the cluster.
        args: of supervisorctl.
    """
    return (SUPERVISORCTL, "-c", str(paths.supervisor_config), *args)


def start_if_running(paths: ClusterPaths, *programs: str) -> Command:
    """Return a command that does nothing if the cluster is down: it starts with all programs anyway.

    A supervisor completes a stop whose command was killed, and cannot start the program before.

    Args:
        paths: files of the cluster.
        programs: programs to start.
    """
    start = shlex.join(supervisorctl(paths, "start", *programs))
    status = shlex.join(supervisorctl(paths, "status", *programs))
    script = f"""\
[ -S {shlex.quote(str(paths.socket))} ] || exit 0
{start} && exit 0
while {status} | grep -q STOPPING; do sleep 0.1; done
exec {start}"""
    return ("sh", "-c", script)


def _control_node_dns(paths: ClusterPaths, zone: str, action: str, *, missing_status: int) -> Command:
    """Return a command to the supervisor inside a node, in the current mount namespace of that node.

    Args:
        paths: files of the cluster.
        zone: name of the zone.
        action: `start` or `stop`.
        missing_status: exit code if the node does not run; it starts its DNS server when it starts.
    """
    config = paths.config / zone / "supervisor.conf"
    script = f"""\
outer=$({shlex.join(supervisorctl(paths, "pid", zone))}) || exit {missing_status}
inner=$([ "$outer" -gt 0 ] && pgrep -P "$outer") || exit {missing_status}
exec nsenter --target "$inner" --mount {shlex.join((SUPERVISORCTL, "-c", str(config), action, "dns"))}"""
    return ("sh", "-c", script)
