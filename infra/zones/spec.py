"""What a cluster is called and where everything of it lives: one address plan, derived from a name and a /16.

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

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,8}$")]


class ClusterSpec(BaseModel):
    """A cluster of one control plane and one node per zone.

    Attributes:
        name: at most nine letters and digits, so that interface names (15 characters) can carry it.
        subnet: an IPv4 /16 that nothing else on this machine uses.
        zones: names of the zones and of their nodes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = "local"
    subnet: IPv4Network = IPv4Network("10.90.0.0/16")
    zones: tuple[str, ...] = ("zone-a", "zone-b", "zone-c")

    @field_validator("subnet")
    @classmethod
    def _check_prefix_length(cls, subnet: IPv4Network) -> IPv4Network:
        if subnet.prefixlen != _PREFIX:
            raise ValueError(f"{subnet} is no /16: nodes, pods and services share it")
        return subnet

    @classmethod
    def load_saved(cls, state: Path) -> ClusterSpec | None:
        """Return what a state folder says of its cluster; None when it never was up."""
        path = state / "spec.json"
        return cls.model_validate_json(path.read_text()) if path.exists() else None

    @property
    def bridge(self) -> str:
        """Interface name of the bridge."""
        return f"esq-{self.name}"

    @property
    def bridge_mac(self) -> str:
        """Hardware address of the bridge; were it not given, it would change with the ports."""
        return "02:00:" + ":".join(f"{byte:02x}" for byte in self.gateway.packed)

    @property
    def nftables_prefix(self) -> str:
        """How the names of all tables of nftables begin that judge frames in the bridge."""
        return f"esq-{self.name}-"

    @property
    def gateway(self) -> IPv4Address:
        """Address of the bridge: registry and edge listen here."""
        return self.subnet[1]

    @property
    def control(self) -> IPv4Address:
        """Address of the control plane."""
        return self.subnet[_CONTROL_HOST]

    @property
    def hosts(self) -> dict[str, IPv4Address]:
        """Address by name of everything that has a network namespace: `control` and the zones."""
        return {"control": self.control, **{zone: self.node(zone) for zone in self.zones}}

    @property
    def lan(self) -> IPv4Network:
        """Network of bridge, control plane and nodes."""
        return IPv4Network((self.subnet.network_address, 24))

    @property
    def pod_range(self) -> IPv4Network:
        """All pods."""
        return IPv4Network((self.subnet[_FIRST_POD_NET * 256], 20))

    @property
    def service_range(self) -> IPv4Network:
        """All ClusterIPs."""
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
        """Return the name of a machine's network namespace and cgroup."""
        return f"esq-{self.name}-{host}"

    def bridge_port(self, host: str) -> str:
        """Return the name of the bridge port that leads to a machine."""
        return f"{self.name}-{list(self.hosts).index(host)}"
