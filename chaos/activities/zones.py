"""Actions on zones (node death, freeze, partitions, network, disk, DNS) and on the control plane.

`isolate_zone` and `fail_dns` work on any Kubernetes cluster, the others on hosts of the embedded cluster.

An action injects. `chaos.activities.rollbacks.undo` undoes; until then, the fault stays open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.context import current
from chaos.faults import network, resource_exhaustion
from chaos.faults import zones as zone_faults

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def kill_zone(zone: str) -> str:
    """Kill the node of a zone with all its processes and keep it down.

    Args:
        zone: name of a zone, or a pod in it, for example `postgres-primary`.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    current().inject(zone_faults.node_death(target.zones.paths, name))
    return name


def crash_node(zone: str) -> str:
    """Kill the node of a zone with all its processes; the undo restarts it.

    Args:
        zone: name of a zone, or a pod in it.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    current().inject(zone_faults.node_crash(target.zones.paths, name))
    return name


def freeze_zone(zone: str) -> str:
    """Freeze all processes of a zone.

    Args:
        zone: name of a zone, or a pod in it.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    current().inject(zone_faults.zone_freeze(target.zones.spec, name))
    return name


def isolate_zone(zone: str) -> str:
    """Disconnect a zone from all other machines; it keeps running.

    Args:
        zone: name of a zone, or a pod in it.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    current().inject(target.faults.isolate_zone(name))
    return name


def partition_zones(zone: str, control_plane: bool = False) -> str:  # noqa: FBT001, FBT002 - named in the file
    """Partition a zone from the other zones; clients still reach it.

    Args:
        zone: name of a zone, or a pod in it.
        control_plane: whether to partition it from the control plane as well.

    Returns:
        The name of the zone.
    """
    target = current().target
    name, spec = target.resolve_zone(zone), target.zones.spec
    peers = [peer for peer in spec.zones if peer != name] + (["control"] if control_plane else [])
    for peer in peers:
        current().inject(network.partition(spec, name, peer))
    return name


def partition_zone_one_way(zone: str) -> str:
    """Drop the packets from a zone to the other zones; it receives theirs.

    Args:
        zone: name of a zone, or a pod in it.

    Returns:
        The name of the zone.
    """
    target = current().target
    name, spec = target.resolve_zone(zone), target.zones.spec
    for peer in spec.zones:
        if peer != name:
            current().inject(network.one_way_partition(spec, name, peer))
    return name


def drop_packets(zone: str, percent: float) -> str:
    """Drop a share of the packets from and to a zone.

    Args:
        zone: name of a zone, or a pod in it.
        percent: share of the packets in percent.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    current().inject(network.packet_loss(target.zones.spec, name, percent))
    return name


def delay_zone(zone: str, milliseconds: float, jitter: float = 0.0) -> str:
    """Delay all packets from and to a zone.

    Args:
        zone: name of a zone, or a pod in it.
        milliseconds: delay in one direction in milliseconds.
        jitter: maximum deviation from the delay, up or down, in milliseconds.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    fault = network.latency(target.zones.spec, target.zones.paths, name, milliseconds, jitter)
    current().inject(fault)
    return name


def limit_bandwidth(zone: str, megabits: float) -> str:
    """Limit the bandwidth of a zone.

    Args:
        zone: name of a zone, or a pod in it.
        megabits: bandwidth in each direction in Mbit/s.

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    current().inject(network.bandwidth_limit(target.zones.spec, name, megabits))
    return name


def fill_disk(zone: str, leave_mebibytes: int) -> str:
    """Fill the disk of a zone's node, which all volumes of the zone share.

    Args:
        zone: name of a zone, or a pod in it.
        leave_mebibytes: free space that remains (MiB).

    Returns:
        The name of the zone.
    """
    target = current().target
    name = target.resolve_zone(zone)
    fault = resource_exhaustion.disk_full(target.zones.paths, name, leave_mebibytes)
    current().inject(fault)
    return name


def fail_dns(zones: Sequence[str] = ()) -> list[str]:
    """Fail the DNS queries of the pods of zones.

    Args:
        zones: names of the zones; all if empty. Only the embedded cluster can select zones.

    Returns:
        The names of the zones.
    """
    target = current().target
    names = [target.resolve_zone(zone) for zone in zones]
    current().inject(target.faults.fail_dns(names))
    return names


def stop_control_plane(programs: Sequence[str] = zone_faults.CONTROL_PLANE) -> list[str]:
    """Stop the control plane, or some of its programs.

    Args:
        programs: programs to stop, each one of etcd, apiserver, controller-manager, scheduler.

    Returns:
        The stopped programs.
    """
    current().inject(zone_faults.control_plane_outage(current().target.zones.paths, programs))
    return list(programs)
