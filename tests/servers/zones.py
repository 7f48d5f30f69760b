"""A cluster of zones under test, and its traces on the host."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from infra.progress import RecordingProgress
from infra.subprocesses import run
from infra.zones import Cluster, ClusterSpec, cgroups
from infra.zones.paths import RUNTIME
from infra.zones.supervisord import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.zones.control_plane import Tools

DAEMONS = {
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "local-path-provisioner",
    "haproxy",
    "docker-registry",
    "garage",
    "containerd",
    "coredns",
    "kubelet",
    "unshare",
}
HOST_SETTINGS = (
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
)


def supervisor_pid(cluster: Cluster) -> int | None:
    """Return the PID of the ancestor of every process of a cluster; None when it is down."""
    return Supervisor(cluster.paths).pid


@dataclass
class ZonesUnderTest:
    """A cluster under test.

    Attributes:
        folder: used as the user's state folder.
        name: of the cluster.
        network: prefix of all of its addresses, e.g. `10.97.`.
        tools: the toolchain.
        steps: progress of `up` and `down`.
        figures: measurements as sentences, shown at the end.
    """

    folder: Path
    name: str
    network: str
    tools: Tools
    steps: RecordingProgress = field(default_factory=RecordingProgress)
    figures: list[str] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """Its state folder."""
        return self.folder / "esq" / "clusters" / self.name

    @property
    def cluster(self) -> Cluster:
        """A new instance of the cluster, as in each command."""
        return self.with_network(self.network)

    def with_network(self, network: str) -> Cluster:
        """Return the cluster with other addresses."""
        spec = ClusterSpec.model_validate({"name": self.name, "subnet": f"{network}0.0/16"})
        return Cluster(spec, self.state, self.tools)

    def up(self) -> float:
        """Start it; return the duration (seconds)."""
        started_at = time.monotonic()
        self.cluster.up(self.steps)
        return time.monotonic() - started_at

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator.

        Args:
            args: of kubectl.
            stdin: text for standard input.
        """
        kubeconfig = f"--kubeconfig={self.cluster.kubeconfig}"
        return run([str(self.tools.path("kubectl")), kubeconfig, *args], stdin=stdin, timeout=90)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects."""
        document = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(document))

    def get(self, *args: str) -> dict[str, Any]:
        """Return an object."""
        return dict(json.loads(self.kubectl("get", *args, "--output=json")))

    def ready(self, zone: str) -> bool:
        """Return whether a node is ready according to the API server."""
        return next(node.ready for node in self.cluster.status().nodes if node.name == zone)

    def pid(self, argument: str) -> int:
        """Return the PID of the only process of this cluster with `argument` in its command line."""
        (pid,) = [pid for pid, argv in self.processes().items() if argument in " ".join(argv)]
        return pid

    def processes(self) -> dict[int, list[str]]:
        """Return the command lines of the cluster's supervisor and its descendants, by PID."""
        pid = supervisor_pid(self.cluster)
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)] if pid else []
        arguments = {}
        for process in family:
            with suppress(psutil.NoSuchProcess):  # a short-lived helper
                arguments[process.pid] = process.cmdline()
        return arguments

    def daemons(self) -> dict[int, str]:
        """Return PIDs and names of the long-running processes."""
        names = {pid: Path(argv[0]).name for pid, argv in self.processes().items() if argv}
        return {pid: name for pid, name in names.items() if name in DAEMONS}

    def leaked_resources(self) -> list[str]:
        """Return a description of each resource of the cluster on the host."""
        identifiers = (self.name, self.network)

        def lines(kind: str, text: str) -> list[str]:
            return [
                f"{kind}: {line}"
                for line in text.splitlines()
                if any(identifier in line for identifier in identifiers)
            ]

        leaked = [
            *lines("interface", run(["ip", "-o", "link"])),
            *lines("address", run(["ip", "-o", "address"])),
            *lines("route", run(["ip", "route", "show", "table", "all"])),
            *lines("namespace", run(["ip", "netns"])),
            *lines("nft rule", run(["nft", "list", "ruleset"])),
            *lines("mount", Path("/proc/self/mounts").read_text()),
            *lines("loop device", run(["losetup", "--list", "--noheadings", "--output=NAME,BACK-FILE"])),
        ]
        for zone in self.cluster.spec.zones:
            group = self.cluster.spec.namespace(zone)
            leaked += [f"group: {root / group}" for root in cgroups.hierarchies() if (root / group).is_dir()]
        for process in psutil.process_iter(["cmdline"]):
            command = " ".join(process.info["cmdline"] or [])
            ours = str(self.state) in command or f"{RUNTIME / self.name}/" in command
            leaked += [f"process: {process.pid} {command[:120]}"] if ours else []
        leaked += [f"folder: {RUNTIME / self.name}"] if (RUNTIME / self.name).exists() else []
        return leaked


def host_settings() -> dict[str, str]:
    """Return host-wide settings that a kubelet would change."""
    return {name: (Path("/proc/sys") / name).read_text().strip() for name in HOST_SETTINGS}


def seconds_until(condition: Callable[[], object], timeout: float) -> float:
    """Wait until the condition holds; return the duration (seconds).

    Args:
        condition: polled.
        timeout: seconds; exceeding it fails the test.
    """
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < timeout, f"timed out after {timeout:g} s"
        time.sleep(0.1)
    return time.monotonic() - start
