"""Zones that die, stand still or lose their names, and a control plane that is away.

Who keeps the processes alive is asked through its own command line, for which doing again what is done
already is no failure.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from chaos.faults.fault import Command, Fault
from infra.zones import cgroups
from infra.zones.supervision import SUPERVISORCTL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.zones.layout import Layout
    from infra.zones.spec import ClusterSpec

CONTROL_PLANE = ("etcd", "apiserver", "controller-manager", "scheduler")
"""In the order in which they start."""


def node_death(layout: Layout, zone: str) -> Fault:
    """Let a zone's node die at once with everything in it, and stay dead until it is undone."""
    return Fault(
        kind="node-death",
        target=zone,
        inject=(_ask(layout, "stop", zone),),
        undo=(_once_up(layout, "start", zone),),
    )


def node_crash(layout: Layout, zone: str) -> Fault:
    """Let a zone's node die at once with everything in it; its supervisor starts it again immediately."""
    return Fault(
        kind="node-crash",
        target=zone,
        inject=(_ask(layout, "signal", "KILL", zone),),
        undo=(_once_up(layout, "start", zone),),
    )


def zone_freeze(spec: ClusterSpec, zone: str) -> Fault:
    """Let everything of a zone stand still: node and pods keep their connections and answer nothing.

    The kernel itself goes on: packets are acknowledged and queued until buffers are full.
    """
    state = cgroups.MOUNT / "freezer" / spec.namespace(zone) / "freezer.state"
    thaw = f"[ ! -e {shlex.quote(str(state))} ] || echo THAWED > {shlex.quote(str(state))}"
    return Fault(
        kind="zone-freeze",
        target=zone,
        inject=(("sh", "-c", f"echo FROZEN > {shlex.quote(str(state))}"),),
        undo=(("sh", "-c", thaw),),
    )


def control_plane_outage(layout: Layout, programs: Sequence[str] = ("apiserver",)) -> Fault:
    """Take the API server away, or any of `CONTROL_PLANE`: what runs goes on, and nothing is rescheduled."""
    ordered = [name for name in CONTROL_PLANE if name in programs]
    if len(ordered) != len(programs):
        raise ValueError(f"{', '.join(programs)}: the control plane is {', '.join(CONTROL_PLANE)}")
    return Fault(
        kind="control-plane-outage",
        target=", ".join(ordered),
        inject=(_ask(layout, "stop", *reversed(ordered)),),
        undo=(_once_up(layout, "start", *ordered),),
    )


def dns_failure(layout: Layout, zones: Sequence[str]) -> Fault:
    """Take the DNS of zones away: their pods get no name resolved, and are told so at once."""
    return Fault(
        kind="dns-failure",
        target=", ".join(zones),
        inject=tuple(_inside(layout, zone, "stop", missing=1) for zone in zones),
        undo=tuple(_inside(layout, zone, "start", missing=0) for zone in zones),
    )


def _ask(layout: Layout, *words: str) -> Command:
    return (SUPERVISORCTL, "-c", str(layout.supervisor), *words)


def _once_up(layout: Layout, *words: str) -> Command:
    """Return what asks a supervisor that is there: a cluster that is down starts with everything anyway."""
    return (
        "sh",
        "-c",
        f"[ ! -S {shlex.quote(str(layout.socket))} ] || exec {shlex.join(_ask(layout, *words))}",
    )


def _inside(layout: Layout, zone: str, verb: str, *, missing: int) -> Command:
    """Return what asks a node's own supervisor about its DNS, wherever the node's processes are by now.

    Args:
        layout: files of the cluster.
        zone: the node's.
        verb: what to do.
        missing: exit code when the node does not run; whenever it starts, it starts its DNS.
    """
    node = layout.config / zone / "supervisor.conf"
    script = f"""\
outer=$({shlex.join(_ask(layout, "pid", zone))}) || exit {missing}
inner=$([ "$outer" -gt 0 ] && pgrep -P "$outer") || exit {missing}
exec nsenter --target "$inner" --mount {shlex.join((SUPERVISORCTL, "-c", str(node), verb, "dns"))}"""
    return ("sh", "-c", script)
