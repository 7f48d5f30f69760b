"""Network faults: isolation, partitions, packet loss, bandwidth limits, latency.

The link of a zone is a veth pair: a port of the bridge on the host, and `eth0` in the zone's namespace.
Packets through the bridge are filtered by one nftables table per fault, named after cluster, fault and
target: faults and clusters do not affect each other, and `cluster down` finds all tables.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from chaos import latency_injector
from chaos.faults.fault import Command, Fault

if TYPE_CHECKING:
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec

_LOSS_STEPS = 10_000
"""Resolution of the loss: hundredths of a percent."""
_MAX_PERCENT = 100.0
_BURST_SECONDS = 0.01
"""Burst of a limited link: the traffic of one timer tick at 100 Hz, or at least some frames."""
_MIN_BURST_BYTES = 16_384
_MAX_QUEUE_DELAY = "100ms"
"""Time in the queue of a limited link after which a frame is dropped."""


def zone_isolation(spec: ClusterSpec, zone: str) -> Fault:
    """Disconnect a zone from all other machines; it keeps running.

    Args:
        spec: names of the cluster.
        zone: name of the zone.

    Returns:
        The fault, with its undo.
    """
    port = spec.bridge_port(zone)
    return Fault(
        kind="zone-isolation",
        target=zone,
        inject=(("ip", "link", "set", port, "down"),),
        undo=(_if_exists(port, f"ip link set {port} up"),),
    )


def partition(spec: ClusterSpec, first: str, second: str) -> Fault:
    """Drop all packets between two machines of a cluster; other machines reach both.

    Args:
        spec: names of the cluster.
        first: a zone, or `control`.
        second: another zone, or `control`.

    Returns:
        The fault, with its undo.
    """
    rules = [_drop_rule(spec, first, second), _drop_rule(spec, second, first)]
    return _nftables_fault(
        spec, "partition", f"{first} and {second}", f"{first}-{second}", {"forward": rules}
    )


def one_way_partition(spec: ClusterSpec, source: str, destination: str) -> Fault:
    """Drop the packets from one machine of a cluster to another; the reverse direction works.

    Args:
        spec: names of the cluster.
        source: a zone, or `control`, whose packets are dropped.
        destination: the machine that does not receive them.

    Returns:
        The fault, with its undo.
    """
    rules = [_drop_rule(spec, source, destination)]
    return _nftables_fault(
        spec, "oneway", f"{source} to {destination}", f"{source}-{destination}", {"forward": rules}
    )


def packet_loss(spec: ClusterSpec, zone: str, percent: float) -> Fault:
    """Drop each frame from and to a zone with a probability, independently of other frames.

    Args:
        spec: names of the cluster.
        zone: name of the zone.
        percent: probability in percent, in each direction.

    Returns:
        The fault, with its undo.

    Raises:
        ValueError: the probability is not in the range above 0 up to 100 %.
    """
    if not 0 < percent <= _MAX_PERCENT:
        raise ValueError(f"invalid packet loss: {percent} %")
    port = spec.bridge_port(zone)
    drop = f"numgen random mod {_LOSS_STEPS} < {round(percent * _LOSS_STEPS / _MAX_PERCENT)} counter drop"
    chains = {"prerouting": [f'iifname "{port}" {drop}'], "postrouting": [f'oifname "{port}" {drop}']}
    return _nftables_fault(spec, "loss", f"{zone} ({percent:g} %)", zone, chains)


def bandwidth_limit(spec: ClusterSpec, zone: str, megabits: float) -> Fault:
    """Limit the bandwidth of a zone's link, separately in each direction.

    Args:
        spec: names of the cluster.
        zone: name of the zone.
        megabits: bandwidth in Mbit/s.

    Returns:
        The fault, with its undo.

    Raises:
        ValueError: the bandwidth is not positive.
    """
    if megabits <= 0:
        raise ValueError(f"invalid bandwidth: {megabits} Mbit/s")
    port, namespace = spec.bridge_port(zone), spec.namespace(zone)
    burst = max(_MIN_BURST_BYTES, round(megabits * 1e6 / 8 * _BURST_SECONDS))
    shape = f"root tbf rate {round(megabits * 1000)}kbit burst {burst} latency {_MAX_QUEUE_DELAY}".split()
    return Fault(
        kind="bandwidth-limit",
        target=f"{zone} ({megabits:g} Mbit/s)",
        inject=(
            ("tc", "qdisc", "replace", "dev", port, *shape),
            ("tc", "-netns", namespace, "qdisc", "replace", "dev", "eth0", *shape),
        ),
        undo=(_remove_bandwidth_limit("tc", port), _remove_bandwidth_limit(f"tc -netns {namespace}", "eth0")),
    )


def latency(
    spec: ClusterSpec, paths: ClusterPaths, zone: str, milliseconds: float, jitter: float = 0.0
) -> Fault:
    """Delay every frame from and to a zone: the round-trip time grows by twice the delay.

    Args:
        spec: names of the cluster.
        paths: files of the cluster.
        zone: name of the zone.
        milliseconds: delay in one direction.
        jitter: maximum deviation in milliseconds; the delay of a frame is distributed uniformly within it.
            Order is kept.

    Returns:
        The fault, with its undo.

    Raises:
        ValueError: the jitter is negative or larger than the delay.
    """
    if not 0 <= jitter <= milliseconds:
        raise ValueError(f"invalid jitter for a delay of {milliseconds} ms: {jitter} ms")
    port, tap = spec.bridge_port(zone), f"{spec.bridge_port(zone)}d"
    pidfile = str(paths.run / f"delay-{zone}.pid")
    program = (sys.executable, "-I", "-S", latency_injector.__file__)
    # Frames are forwarded unchanged: they must contain the checksum and not exceed the MTU of the link.
    offload = f"nsenter --net=/run/netns/{spec.namespace(zone)} ethtool -K eth0 tx"
    return Fault(
        kind="latency",
        target=f"{zone} ({milliseconds:g} ms)",
        inject=(
            (*f"{offload} off".split(),),
            (*program, "start", pidfile, port, tap, spec.bridge, str(milliseconds), str(jitter)),
        ),
        undo=(
            (*program, "stop", pidfile),
            _if_exists(port, f"ip link set {port} master {spec.bridge} arp on"),
            _if_exists(port, f"{offload} on"),
        ),
    )


def _drop_rule(spec: ClusterSpec, source: str, destination: str) -> str:
    return f'iifname "{spec.bridge_port(source)}" oifname "{spec.bridge_port(destination)}" counter drop'


def _nftables_fault(
    spec: ClusterSpec, kind: str, target: str, tag: str, chains: dict[str, list[str]]
) -> Fault:
    """Return a fault that is an nftables table of the bridge with a chain per hook."""
    name = f"{spec.nftables_prefix}{kind}-{tag}"
    # The declaration creates a missing table, so that the deletion cannot fail.
    clear = f"table bridge {name}; delete table bridge {name}"
    body = "; ".join(
        f"chain {hook} {{ type filter hook {hook} priority 0; {'; '.join(rules)}; }}"
        for hook, rules in chains.items()
    )
    return Fault(
        kind={"loss": "packet-loss", "oneway": "one-way-partition"}.get(kind, kind),
        target=target,
        inject=(("nft", f"{clear}; table bridge {name} {{ {body}; }}"),),
        undo=(("nft", clear),),
    )


def _if_exists(port: str, line: str) -> Command:
    """Return `line` as a command that does nothing if the port, and with it the cluster, is gone."""
    return ("sh", "-c", f"ip link show {port} >/dev/null 2>&1 || exit 0; exec {line}")


def _remove_bandwidth_limit(tc: str, device: str) -> Command:
    """Return the command that removes the queue of `bandwidth_limit`, if it exists."""
    if_absent = f"{tc} qdisc show dev {device} 2>/dev/null | grep -q ' tbf ' || exit 0"
    return ("sh", "-c", f"{if_absent}; exec {tc} qdisc delete dev {device} root")
