"""Name and address plan of a cluster, derived from a name and a /16.

X.Y.0.1      bridge: registry and edge
X.Y.0.10     control plane
X.Y.0.11..   nodes, one per zone
X.Y.16.0/20  pods, a /24 per zone
X.Y.128.0/17 services
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from pathlib import Path

REGION = "local"
_PREFIX = 16
_CONTROL_HOST = 10
_FIRST_POD_NET = 16
_SERVICE_HALF = 128

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,7}$")]


class ClusterSpec(BaseModel):
    """A cluster with one control plane and one node per zone.

    Attributes:
        name: name of the cluster: at most eight letters and digits, so that it fits into interface names
            (15 characters).
        subnet: an IPv4 /16 that nothing else on this machine uses.
        zones: names of the zones, which are also the names of their nodes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = "local"
    subnet: IPv4Network = IPv4Network("10.90.0.0/16")
    zones: tuple[str, ...] = ("zone-a", "zone-b", "zone-c")

    @field_validator("subnet")
    @classmethod
    def _check_prefix_length(cls, subnet: IPv4Network) -> IPv4Network:
        if subnet.prefixlen != _PREFIX:
            raise ValueError(f"{subnet} is not a /16; nodes, pods and Services share one")
        return subnet

    @classmethod
    def load_saved(cls, state: Path) -> ClusterSpec | None:
        """Return the spec saved in a state folder; None if the cluster was never started."""
        path = state / "spec.json"
        return cls.model_validate_json(path.read_text()) if path.exists() else None

    @property
    def bridge(self) -> str:
        """Interface name of the bridge."""
        return f"esq-{self.name}"

    @property
    def bridge_mac(self) -> str:
        """MAC address of the bridge; without a fixed one it would change with its ports."""
        return "02:00:" + ":".join(f"{byte:02x}" for byte in self.gateway.packed)

    @property
    def nftables_table(self) -> str:
        """Name of the nftables table that keeps other machines out."""
        return f"esq-{self.name}"

    @property
    def nftables_prefix(self) -> str:
        """Name prefix of the nftables tables that filter frames on the bridge."""
        return f"esq-{self.name}-"

    @property
    def gateway(self) -> IPv4Address:
        """Address of the bridge, where the registry and the edge listen."""
        return self.subnet[1]

    @property
    def control(self) -> IPv4Address:
        """Address of the control plane."""
        return self.subnet[_CONTROL_HOST]

    @property
    def hosts(self) -> dict[str, IPv4Address]:
        """Address of every network namespace by name: `control` and the zones."""
        return {"control": self.control, **{zone: self.node(zone) for zone in self.zones}}

    @property
    def lan(self) -> IPv4Network:
        """Network of the bridge, the control plane and the nodes."""
        return IPv4Network((self.subnet.network_address, 24))

    @property
    def pod_range(self) -> IPv4Network:
        """Network of all pods."""
        return IPv4Network((self.subnet[_FIRST_POD_NET * 256], 20))

    @property
    def service_range(self) -> IPv4Network:
        """Network of all ClusterIPs."""
        return IPv4Network((self.subnet[_SERVICE_HALF * 256], 17))

    @property
    def registry(self) -> str:
        """`host:port` of the registry."""
        return f"{self.gateway}:5000"

    def node(self, zone: str) -> IPv4Address:
        """Return the address of a zone's node."""
        return self.subnet[_CONTROL_HOST + 1 + self.zones.index(zone)]

    def pods(self, zone: str) -> IPv4Network:
        """Return the network of a zone's pods."""
        return IPv4Network((self.subnet[(_FIRST_POD_NET + self.zones.index(zone)) * 256], 24))

    def namespace(self, host: str) -> str:
        """Return the name of a host's network namespace and control group."""
        return f"esq-{self.name}-{host}"

    def bridge_port(self, host: str) -> str:
        """Return the name of the bridge port of a host."""
        return f"{self.bridge}-{list(self.hosts).index(host)}"
