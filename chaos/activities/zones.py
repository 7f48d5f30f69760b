"""Actions on zones (dead, frozen, cut off, lossy, slow, narrow, full, nameless) and the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.context import current
from chaos.faults import network, pressure, zones

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.faults import Fault

__all__ = [
    "control_plane_away",
    "crash_node",
    "cut_zone",
    "delay_zone",
    "fill_disk",
    "freeze_zone",
    "kill_zone",
    "lose_names",
    "lose_packets",
    "narrow_zone",
    "partition_zones",
    "two_zones_apart_one_way",
]


def kill_zone(where: str, seconds: float) -> str:
    """Let a zone's node die with everything in it, and stay dead for some seconds.

    Args:
        where: a zone, or the pod whose zone is meant, e.g. `postgres-primary`.
        seconds: for how long.
    """
    zone = current().target.zone(where)
    return _for(zones.node_death(current().target.zones.layout, zone), zone, seconds)


def crash_node(where: str) -> str:
    """Let a zone's node die with everything in it; it starts again at once.

    Args:
        where: a zone, or the pod whose zone is meant.
    """
    zone = current().target.zone(where)
    current().inject(zones.node_crash(current().target.zones.layout, zone))
    current().undo()
    return zone


def freeze_zone(where: str, seconds: float) -> str:
    """Let everything of a zone stand still for some seconds.

    Args:
        where: a zone, or the pod whose zone is meant.
        seconds: for how long.
    """
    zone = current().target.zone(where)
    return _for(zones.zone_freeze(current().target.zones.spec, zone), zone, seconds)


def cut_zone(where: str, seconds: float) -> str:
    """Cut a zone off from everybody for some seconds; it goes on running.

    Args:
        where: a zone, or the pod whose zone is meant.
        seconds: for how long.
    """
    zone = current().target.zone(where)
    return _for(network.zone_cut(current().target.zones.spec, zone), zone, seconds)


def partition_zones(where: str, seconds: float, control_plane: bool = False) -> str:  # noqa: FBT001, FBT002 - named in the file
    """Cut a zone off from the other zones for some seconds, while clients still reach it.

    Args:
        where: a zone, or the pod whose zone is meant.
        seconds: for how long.
        control_plane: whether the zone loses the control plane as well.
    """
    target = current().target
    zone, spec = target.zone(where), target.zones.spec
    others = [other for other in spec.zones if other != zone] + (["control"] if control_plane else [])
    for other in others:
        current().inject(network.partition(spec, zone, other))
    current().hold(seconds, f"{zone} is apart from {', '.join(others)}")
    current().undo()
    return zone


def two_zones_apart_one_way(where: str, seconds: float) -> str:
    """Let nothing that a zone says reach the other zones for some seconds, while it hears them.

    Args:
        where: a zone, or the pod whose zone is meant.
        seconds: for how long.
    """
    target = current().target
    zone, spec = target.zone(where), target.zones.spec
    for other in (each for each in spec.zones if each != zone):
        current().inject(network.one_way_partition(spec, zone, other))
    current().hold(seconds, f"{zone} is not heard")
    current().undo()
    return zone


def lose_packets(where: str, percent: float, seconds: float) -> str:
    """Lose a share of a zone's packets, both ways, for some seconds.

    Args:
        where: a zone, or the pod whose zone is meant.
        percent: of the packets.
        seconds: for how long.
    """
    zone = current().target.zone(where)
    return _for(network.packet_loss(current().target.zones.spec, zone, percent), zone, seconds)


def delay_zone(where: str, milliseconds: float, seconds: float, jitter: float = 0.0) -> str:
    """Delay everything to and from a zone for some seconds.

    Args:
        where: a zone, or the pod whose zone is meant.
        milliseconds: one way.
        seconds: for how long.
        jitter: milliseconds by which the delay varies to both sides.
    """
    target = current().target
    zone = target.zone(where)
    fault = network.latency(target.zones.spec, target.zones.layout, zone, milliseconds, jitter)
    return _for(fault, zone, seconds)


def narrow_zone(where: str, megabits: float, seconds: float) -> str:
    """Limit what a zone may send and receive for some seconds.

    Args:
        where: a zone, or the pod whose zone is meant.
        megabits: per second, each way.
        seconds: for how long.
    """
    zone = current().target.zone(where)
    return _for(network.bandwidth_limit(current().target.zones.spec, zone, megabits), zone, seconds)


def fill_disk(where: str, leave_mebibytes: int, seconds: float) -> str:
    """Fill the disk of a zone's node, which all volumes of the zone share, for some seconds.

    Args:
        where: a zone, or the pod whose zone is meant.
        leave_mebibytes: of room.
        seconds: for how long.
    """
    zone = current().target.zone(where)
    return _for(pressure.disk_full(current().target.zones.layout, zone, leave_mebibytes), zone, seconds)


def lose_names(seconds: float, where: Sequence[str] = ()) -> list[str]:
    """Let no pod of some zones resolve a name for some seconds.

    Args:
        seconds: for how long.
        where: zones; all when none is named.
    """
    target = current().target
    chosen = [target.zone(each) for each in where] or list(target.zones.spec.zones)
    _for(zones.dns_failure(target.zones.layout, chosen), "DNS", seconds)
    return chosen


def control_plane_away(seconds: float, programs: Sequence[str] = zones.CONTROL_PLANE) -> list[str]:
    """Take the control plane, or a part of it, away for some seconds.

    Args:
        seconds: for how long.
        programs: of etcd, apiserver, controller-manager, scheduler.
    """
    _for(zones.control_plane_outage(current().target.zones.layout, programs), "the control plane", seconds)
    return list(programs)


def _for(fault: Fault, what: str, seconds: float) -> str:
    current().inject(fault)
    current().hold(seconds, f"{what}: {fault.kind}")
    current().undo()
    return what
