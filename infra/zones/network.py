"""The network of a cluster: a bridge, and a network namespace for the control plane and for each zone.

A cluster cannot reach the outside, and the outside cannot reach a cluster. Linux accepts packets for its
addresses on every interface, and a host with Docker forwards packets; an nftables table of the cluster drops
both kinds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from infra.subprocesses import run

if TYPE_CHECKING:
    from infra.zones.spec import ClusterSpec

NAMESPACES = Path("/run/netns")
_SYSCTLS = ("net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")
"""Set inside a namespace only: pods of one node reach each other's Services through the node's own rules."""


def exists(spec: ClusterSpec) -> bool:
    """Return whether the bridge, all links and all namespaces exist."""
    links = {link["ifname"] for link in json.loads(run(["ip", "-json", "link", "show"]))}
    hosts = spec.hosts
    expected = {spec.bridge, *(spec.bridge_port(host) for host in hosts)}
    return expected <= links and all((NAMESPACES / spec.namespace(machine)).exists() for machine in hosts)


def create(spec: ClusterSpec) -> None:
    """Create the network after removing the remains of an interrupted start."""
    remove(spec)
    bridge = f"link add {spec.bridge} address {spec.bridge_mac} type bridge nf_call_iptables 0"
    _run_batch([bridge, f"link set {spec.bridge} up"])
    _run_batch([f"addr add {spec.gateway}/{spec.lan.prefixlen} dev {spec.bridge}"])
    for host in spec.hosts:
        _attach(spec, host)
    routes = [f"route add {spec.pods(zone)} via {spec.node(zone)}" for zone in spec.zones]
    _run_batch([*routes, f"route add {spec.service_range} via {spec.control}"])


def remove(spec: ClusterSpec) -> None:
    """Remove the network and its nftables tables; missing parts are ignored."""
    for host in spec.hosts:
        if (NAMESPACES / spec.namespace(host)).exists():
            run(["ip", "netns", "delete", spec.namespace(host)])
        run(["ip", "link", "delete", spec.bridge_port(host)], check=False)
    run(["ip", "link", "delete", spec.bridge], check=False)
    for line in run(["nft", "list", "tables"]).splitlines():
        _, family, name = line.split()
        if name == spec.nftables_table or name.startswith(spec.nftables_prefix):
            run(["nft", "delete", "table", family, name])


def restrict_access(spec: ClusterSpec) -> None:
    """Drop packets between the cluster and other machines; replaces the rules, so that lost ones return."""
    run(["nft", "--file", "-"], stdin=access_rules(spec))


def access_rules(spec: ClusterSpec) -> str:
    """Return the nftables rules: the addresses of the cluster are reachable from this host only."""
    table = f"table inet {spec.nftables_table}"
    return f"""\
{table}
delete {table}
{table} {{
    chain input {{
        type filter hook input priority filter; policy accept;
        ip daddr {spec.subnet} iifname != {{ "lo", "{spec.bridge}" }} drop
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{spec.bridge}" oifname != "{spec.bridge}" drop
        oifname "{spec.bridge}" iifname != "{spec.bridge}" drop
    }}
}}
"""


def disconnect(spec: ClusterSpec, zone: str) -> None:
    """Set a zone's bridge port down: the zone keeps running without a network.

    Args:
        spec: specification of the cluster.
        zone: zone to disconnect.
    """
    run(["ip", "link", "set", spec.bridge_port(zone), "down"])


def reconnect(spec: ClusterSpec, zone: str) -> None:
    """Set a zone's bridge port up.

    Args:
        spec: specification of the cluster.
        zone: zone to reconnect.
    """
    run(["ip", "link", "set", spec.bridge_port(zone), "up"])


def _attach(spec: ClusterSpec, host: str) -> None:
    name, port, address = spec.namespace(host), spec.bridge_port(host), spec.hosts[host]
    run(["ip", "netns", "add", name])
    _run_batch(
        [
            f"link add {port} type veth peer name eth0 netns {name}",
            f"link set {port} master {spec.bridge} up",
        ]
    )
    other_zones = [zone for zone in spec.zones if zone != host]
    commands = [
        "link set lo up",
        f"addr add {address}/{spec.lan.prefixlen} dev eth0",
        "link set eth0 up",
        f"route add default via {spec.gateway}",
        *(f"route add {spec.pods(zone)} via {spec.node(zone)}" for zone in other_zones),
    ]
    if host == "control":
        # The host routes ClusterIPs here; kube-proxy rewrites the destination before this route is used.
        commands.append(f"route add {spec.service_range} dev eth0")
    _run_batch(commands, name)
    run(["ip", "netns", "exec", name, "sysctl", "-qw", *_SYSCTLS])


def _run_batch(lines: list[str], namespace: str = "") -> None:
    target = ["-netns", namespace] if namespace else []
    run(["ip", *target, "-batch", "-"], stdin="\n".join(lines) + "\n")
