"""Actions on zones (node death, freeze, partitions, network, disk, DNS) and on the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.context import current
from chaos.faults import network, resource_exhaustion
from chaos.faults import zones as zone_faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.faults import Fault

__all__ = [
    "crash_node",
    "delay_zone",
    "drop_packets",
    "fail_dns",
    "fill_disk",
    "freeze_zone",
    "isolate_zone",
    "kill_zone",
    "limit_bandwidth",
    "partition_zone_one_way",
    "partition_zones",
    "stop_control_plane",
]


def kill_zone(zone: str, seconds: float) -> str:
    """Kill the node of a zone with all its processes and keep it down.

    Args:
        zone: name of a zone, or a pod in it, for example `postgres-primary`.
        seconds: duration in seconds.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    return _inject_for(zone_faults.node_death(target.zones.paths, name), name, seconds)


def crash_node(zone: str) -> str:
    """Kill the node of a zone with all its processes; it restarts immediately.

    Args:
        zone: name of a zone, or a pod in it.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    current().inject(zone_faults.node_crash(target.zones.paths, name))
    current().undo()
    return name


def freeze_zone(zone: str, seconds: float) -> str:
    """Freeze all processes of a zone.

    Args:
        zone: name of a zone, or a pod in it.
        seconds: duration in seconds.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    return _inject_for(zone_faults.zone_freeze(target.zones.spec, name), name, seconds)


def isolate_zone(zone: str, seconds: float) -> str:
    """Disconnect a zone from all other machines; it keeps running.

    Args:
        zone: name of a zone, or a pod in it.
        seconds: duration in seconds.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    return _inject_for(network.zone_isolation(target.zones.spec, name), name, seconds)


def partition_zones(zone: str, seconds: float, control_plane: bool = False) -> str:  # noqa: FBT001, FBT002 - named in the file
    """Partition a zone from the other zones; clients still reach it.

    Args:
        zone: name of a zone, or a pod in it.
        seconds: duration in seconds.
        control_plane: whether to partition it from the control plane as well.

    Returns:
        The name of the zone.
    """
    target = current().target
    name, spec = target.resolve_zone(zone), target.zones.spec
    peers = [peer for peer in spec.zones if peer != name] + (["control"] if control_plane else [])
    for peer in peers:
        current().inject(network.partition(spec, name, peer))
    current().wait(seconds, f"{name} is partitioned from {', '.join(peers)}")
    current().undo()
    return name


def partition_zone_one_way(zone: str, seconds: float) -> str:
    """Drop the packets from a zone to the other zones; it receives theirs.

    Args:
        zone: name of a zone, or a pod in it.
        seconds: duration in seconds.

    Returns:
        The name of the zone.
    """
    target = current().target
    name, spec = target.resolve_zone(zone), target.zones.spec
    for peer in spec.zones:
        if peer != name:
            current().inject(network.one_way_partition(spec, name, peer))
    current().wait(seconds, f"packets from {name} are dropped")
    current().undo()
    return name


def drop_packets(zone: str, percent: float, seconds: float) -> str:
    """Drop a share of the packets from and to a zone.

    Args:
        zone: name of a zone, or a pod in it.
        percent: share of the packets in percent.
        seconds: duration in seconds.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    return _inject_for(network.packet_loss(target.zones.spec, name, percent), name, seconds)


def delay_zone(zone: str, milliseconds: float, seconds: float, jitter: float = 0.0) -> str:
    """Delay all packets from and to a zone.

    Args:
        zone: name of a zone, or a pod in it.
        milliseconds: delay in one direction in milliseconds.
        seconds: duration in seconds.
        jitter: maximum deviation from the delay, up or down, in milliseconds.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    fault = network.latency(target.zones.spec, target.zones.paths, name, milliseconds, jitter)
    return _inject_for(fault, name, seconds)


def limit_bandwidth(zone: str, megabits: float, seconds: float) -> str:
    """Limit the bandwidth of a zone.

    Args:
        zone: name of a zone, or a pod in it.
        megabits: bandwidth in each direction in Mbit/s.
        seconds: duration in seconds.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    return _inject_for(network.bandwidth_limit(target.zones.spec, name, megabits), name, seconds)


def fill_disk(zone: str, leave_mebibytes: int, seconds: float) -> str:
    """Fill the disk of a zone's node, which all volumes of the zone share.

    Args:
        zone: name of a zone, or a pod in it.
        leave_mebibytes: free space that remains (MiB).
        seconds: duration in seconds.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    fault = resource_exhaustion.disk_full(target.zones.paths, name, leave_mebibytes)
    return _inject_for(fault, name, seconds)


def fail_dns(seconds: float, zones: Sequence[str] = ()) -> list[str]:
    """Stop the DNS servers of zones.

    Args:
        seconds: duration in seconds.
        zones: names of the zones; all if empty.

    Returns:
        The names of the zones.
    """
    target = current().target
    names = [target.resolve_zone(zone) for zone in zones] or list(target.zones.spec.zones)
    _inject_for(zone_faults.dns_failure(target.zones.paths, names), "DNS", seconds)
    return names


def stop_control_plane(seconds: float, programs: Sequence[str] = zone_faults.CONTROL_PLANE) -> list[str]:
    """Stop the control plane, or some of its programs.

    Args:
        seconds: duration in seconds.
        programs: programs to stop, each one of etcd, apiserver, controller-manager, scheduler.

    Returns:
        The stopped programs.
    """
    fault = zone_faults.control_plane_outage(current().target.zones.paths, programs)
    _inject_for(fault, "the control plane", seconds)
    return list(programs)


def _inject_for(fault: Fault, target: str, seconds: float) -> str:
    """Inject a fault, wait, undo it; return `target`."""
    current().inject(fault)
    current().wait(seconds, f"{target}: {fault.kind}")
    current().undo()
    return target
