"""Paths of a cluster: persistent files in its state folder, and runtime files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RUNTIME = Path("/run/esq")
"""Sockets and PID files: a socket path must be under 108 bytes, and a reboot must clear the folder."""


@dataclass(frozen=True)
class ClusterPaths:
    """Paths of one cluster.

    Attributes:
        root: its state folder, owner-only.
        name: name of the cluster.
    """

    root: Path
    name: str

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Rendered configuration, rewritten by every `up`."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """One log file per process of the host and the control plane."""
        return self.root / "logs"

    @property
    def spec(self) -> Path:
        """Name and addresses, so that later commands need only the name."""
        return self.root / "spec.json"

    @property
    def etcd(self) -> Path:
        """Folder of etcd: its data, on the disk of the control plane."""
        return self.root / "etcd"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator."""
        return self.root / "kubeconfig"

    @property
    def lock(self) -> Path:
        """Lock of `up` and `down`; next to the state folder, which `down` may delete."""
        return self.root.with_name(f".{self.root.name}.lock")

    @property
    def run(self) -> Path:
        """Sockets and PID files."""
        return RUNTIME / self.name

    @property
    def socket(self) -> Path:
        """Socket of the cluster's supervisor."""
        return self.run / "supervisor.sock"

    @property
    def pidfile(self) -> Path:
        """PID file of the cluster's supervisor."""
        return self.run / "supervisor.pid"

    @property
    def supervisor_config(self) -> Path:
        """Configuration of the cluster's supervisor."""
        return self.config / "supervisor.conf"

    @property
    def applied_config(self) -> Path:
        """Copy of the configuration of the last `up` that was completed."""
        return self.run / "supervisor.conf"

    def node(self, zone: str) -> Path:
        """Return the folder of a node: its disks and its logs."""
        return self.root / "nodes" / zone

    def log(self, name: str) -> Path:
        """Return the log of process `name`; names of node processes are like `zone-a/kubelet`."""
        zone, _, process = name.rpartition("/")
        return (self.node(zone) / "logs" if zone else self.logs) / f"{process}.log"

    def create(self, zones: tuple[str, ...]) -> None:
        """Create all folders."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for folder in (self.pki, self.config, self.logs, self.etcd, self.run):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for zone in zones:
            for part in ("kubelet", "containerd", "pods", "containers", "cni", "logs"):
                (self.node(zone) / part).mkdir(parents=True, exist_ok=True)
