"""Wires that are cut, deaf on one side, lossy, narrow or slow.

A zone's wire is a veth pair: its port in the bridge on the host, and `eth0` in the zone's namespace. What
goes through the bridge is judged there by a table of nftables per fault, named after cluster, fault and
target, so that faults and clusters do not disturb each other and `cluster down` finds them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from chaos import delayline
from chaos.faults.fault import Command, Fault

if TYPE_CHECKING:
    from infra.zones.layout import Layout
    from infra.zones.spec import ClusterSpec

_LOSS_STEPS = 10_000
"""Loss is drawn in hundredths of a percent."""
_ALL = 100.0
_BURST_SECONDS = 0.01
"""A narrowed wire lets through at once what a timer tick at 100 Hz is worth, or at least some frames."""
_BURST_BYTES = 16_384
_QUEUE = "100ms"
"""How long a frame may wait for a narrowed wire before it is dropped."""


def zone_cut(spec: ClusterSpec, zone: str) -> Fault:
    """Cut a zone off from everybody: it goes on running and reaches nobody."""
    port = spec.port(zone)
    return Fault(
        kind="zone-cut",
        target=zone,
        inject=(("ip", "link", "set", port, "down"),),
        undo=(_if_there(port, f"ip link set {port} up"),),
    )


def partition(spec: ClusterSpec, one: str, other: str) -> Fault:
    """Cut two machines of a cluster off from each other; everybody else still reaches both.

    Args:
        spec: of the cluster.
        one: a zone, or `control`.
        other: another.
    """
    rules = [_between(spec, one, other), _between(spec, other, one)]
    return _table(spec, "partition", f"{one} and {other}", f"{one}-{other}", {"forward": rules})


def one_way_partition(spec: ClusterSpec, source: str, destination: str) -> Fault:
    """Drop what goes from one machine of a cluster to another; the other way passes.

    Args:
        spec: of the cluster.
        source: a zone, or `control`, that is not heard any more.
        destination: by whom.
    """
    rules = [_between(spec, source, destination)]
    return _table(spec, "oneway", f"{source} to {destination}", f"{source}-{destination}", {"forward": rules})


def packet_loss(spec: ClusterSpec, zone: str, percent: float) -> Fault:
    """Lose each frame to and from a zone with a probability of `percent`, independently of the others."""
    if not 0 < percent <= _ALL:
        raise ValueError(f"{percent} % of packets cannot be lost")
    port = spec.port(zone)
    lost = f"numgen random mod {_LOSS_STEPS} < {round(percent * _LOSS_STEPS / _ALL)} counter drop"
    chains = {"prerouting": [f'iifname "{port}" {lost}'], "postrouting": [f'oifname "{port}" {lost}']}
    return _table(spec, "loss", f"{zone} ({percent:g} %)", zone, chains)


def bandwidth_limit(spec: ClusterSpec, zone: str, megabits: float) -> Fault:
    """Narrow a zone's wire to `megabits` per second, in each direction on its own."""
    if megabits <= 0:
        raise ValueError(f"{megabits} Mbit/s is no width")
    port, namespace = spec.port(zone), spec.namespace(zone)
    burst = max(_BURST_BYTES, round(megabits * 1e6 / 8 * _BURST_SECONDS))
    shape = f"root tbf rate {round(megabits * 1000)}kbit burst {burst} latency {_QUEUE}".split()
    return Fault(
        kind="bandwidth-limit",
        target=f"{zone} ({megabits:g} Mbit/s)",
        inject=(
            ("tc", "qdisc", "replace", "dev", port, *shape),
            ("tc", "-netns", namespace, "qdisc", "replace", "dev", "eth0", *shape),
        ),
        undo=(_wide("tc", port), _wide(f"tc -netns {namespace}", "eth0")),
    )


def latency(spec: ClusterSpec, layout: Layout, zone: str, milliseconds: float, jitter: float = 0.0) -> Fault:
    """Delay every frame to and from a zone by `milliseconds`: a round trip takes twice as much longer.

    Args:
        spec: of the cluster.
        layout: of its files.
        zone: whose wire becomes long.
        milliseconds: one way.
        jitter: each frame's delay is drawn evenly from `milliseconds` plus and minus this; order is kept.
    """
    if not 0 <= jitter <= milliseconds:
        raise ValueError(f"a delay of {milliseconds} ms cannot vary by {jitter} ms")
    port, tap = spec.port(zone), f"{spec.port(zone)}d"
    pidfile = str(layout.run / f"delay-{zone}.pid")
    program = (sys.executable, "-I", "-S", delayline.__file__)
    # Frames are carried as they are: the sum must be in them, and none may be larger than the wire takes.
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
            _if_there(port, f"ip link set {port} master {spec.bridge} arp on"),
            _if_there(port, f"{offload} on"),
        ),
    )


def _between(spec: ClusterSpec, source: str, destination: str) -> str:
    return f'iifname "{spec.port(source)}" oifname "{spec.port(destination)}" counter drop'


def _table(spec: ClusterSpec, kind: str, target: str, tag: str, chains: dict[str, list[str]]) -> Fault:
    """Return a fault that is a table of the bridge with a chain per hook."""
    name = f"{spec.tables}{kind}-{tag}"
    # A table that is declared is there, so that deleting it cannot fail.
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


def _if_there(port: str, line: str) -> Command:
    """Return `line`, which is not needed when the cluster has been taken away meanwhile."""
    return ("sh", "-c", f"ip link show {port} >/dev/null 2>&1 || exit 0; exec {line}")


def _wide(tc: str, device: str) -> Command:
    gone = f"{tc} qdisc show dev {device} 2>/dev/null | grep -q ' tbf ' || exit 0"
    return ("sh", "-c", f"{gone}; exec {tc} qdisc delete dev {device} root")
