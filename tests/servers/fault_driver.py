"""Injects faults into a cluster and observes their effects on the host."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos.faults import host_processes, render
from infra.subprocesses import run
from infra.zones import cgroups, disks
from infra.zones.busybox_image import BUSYBOX_IMAGE
from infra.zones.paths import ClusterPaths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaos.faults import Command, Fault
    from infra.zones.spec import ClusterSpec
    from tests.servers.zones import ZonesUnderTest

PING_TIMEOUT_SECONDS = 1
BULK_PORT = 7007
VICTIM = "default/victim"
_RECEIVE = """
import socket, sys, time
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as server:
    server.settimeout(20)
    print(flush=True)
    connection, _ = server.accept()
    with connection:
        connection.settimeout(20)
        started_at, size = time.monotonic(), 0
        while piece := connection.recv(1 << 16):
            size += len(piece)
print(size, time.monotonic() - started_at)
"""
_SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as connection:
    connection.sendall(bytes(int(sys.argv[3]) << 20))
"""


@dataclass(frozen=True)
class HostUnderTest:
    """A host with a cluster.

    Attributes:
        zones: the cluster.
    """

    zones: ZonesUnderTest

    @property
    def spec(self) -> ClusterSpec:
        """Spec of the cluster."""
        return self.zones.cluster.spec

    @property
    def paths(self) -> ClusterPaths:
        """Files of the cluster."""
        return ClusterPaths(self.zones.state, self.spec.name)

    def inject(self, fault: Fault) -> None:
        """Inject a fault; a failing command fails the test."""
        self.run_commands(fault.inject)

    def undo(self, fault: Fault) -> None:
        """Undo a fault twice: the second time must change nothing."""
        self.run_commands(fault.undo)
        self.run_commands(fault.undo)

    def inject_partially(self, fault: Fault, commands: int) -> None:
        """Run the first commands of a fault in a shell that is then killed.

        Args:
            fault: to inject.
            commands: number of commands to run.
        """
        done = subprocess.run(
            ["sh", "-ec", f"{render(fault.inject[:commands])}\nkill -KILL $$"],
            check=False,
            capture_output=True,
        )
        assert done.returncode == -9, done.stderr

    def run_commands(self, commands: Iterable[Command]) -> None:
        """Run commands."""
        for command in commands:
            run(command)

    def snapshot(self) -> dict[str, object]:
        """Return the state that faults change; equal before and after a fault."""
        state: dict[str, object] = {
            "links": sorted(
                line.split(": ", 1)[1].split(" qlen")[0]
                for line in run(["ip", "-o", "link"]).splitlines()
                if self.spec.name in line
            ),
            "tables": [
                line for line in run(["nft", "list", "tables"]).splitlines() if self.spec.name in line
            ],
            "latency programs": sorted(path.name for path in self.paths.run.glob("delay-*")),
        }
        for zone in self.spec.zones:
            port, namespace = self.spec.bridge_port(zone), self.spec.namespace(zone)
            state |= {
                f"{zone} port": _queue_kinds(["tc", "qdisc", "show", "dev", port]),
                f"{zone} eth0": _queue_kinds(["tc", "-netns", namespace, "qdisc", "show", "dev", "eth0"]),
                f"{zone} offload": run([*self.in_network_of(zone), "ethtool", "-k", "eth0"]),
                f"{zone} freezer": (cgroups.MOUNT / "freezer" / namespace / "freezer.state").read_text(),
                f"{zone} quota": host_processes.cpu_quota(zone_cgroup(self.spec, zone, "cpu")),
                f"{zone} files": sorted(path.name for path in self.volumes(zone).iterdir()),
            }
        return state

    def is_healthy(self) -> bool:
        """Return whether every process is running and every node is ready."""
        return self.zones.cluster.status().healthy

    def in_network_of(self, machine: str) -> list[str]:
        """Return the command prefix that enters the network namespace of a host."""
        return ["nsenter", f"--net=/run/netns/{self.spec.namespace(machine)}"]

    def volumes(self, zone: str) -> Path:
        """Return the path of a node's disk on the host."""
        first = self.zones.pid(f"-n -c {self.paths.config / zone / 'supervisor.conf'}")
        return Path(f"/proc/{first}/root{disks.MOUNT_POINT}")

    def reaches(self, source: str, destination: str, count: int = 1) -> bool:
        """Return whether all pings are answered.

        Args:
            source: host that pings.
            destination: host that is pinged.
            count: of pings.
        """
        address = str(self.spec.hosts[destination])
        args = ["busybox", "ping", "-q", "-A", "-c", str(count), "-W", str(PING_TIMEOUT_SECONDS), address]
        done = subprocess.run(
            [*self.in_network_of(source), *args], check=False, capture_output=True, text=True
        )
        return f" {count} packets received" in done.stdout

    def round_trips(self, source: str, destination: str, count: int = 10) -> list[float]:
        """Return the round-trip times of pings (ms).

        Args:
            source: host that pings.
            destination: host that is pinged.
            count: of pings.
        """
        address = str(self.spec.hosts[destination])
        text = run(
            [*self.in_network_of(source), "busybox", "ping", "-A", "-c", str(count), "-W", "2", address]
        )
        return [float(line.split("time=")[1].split()[0]) for line in text.splitlines() if "time=" in line]

    def megabits(self, source: str, destination: str, mebibytes: int = 2) -> float:
        """Return the throughput of one TCP connection (Mbit/s).

        Args:
            source: host that sends.
            destination: host that receives.
            mebibytes: to send.
        """
        address = str(self.spec.hosts[destination])
        receive = [*self.in_network_of(destination), sys.executable, "-c", _RECEIVE, address, str(BULK_PORT)]
        send = [
            *self.in_network_of(source),
            sys.executable,
            "-c",
            _SEND,
            address,
            str(BULK_PORT),
            str(mebibytes),
        ]
        with subprocess.Popen(receive, stdout=subprocess.PIPE, text=True) as receiver:
            assert receiver.stdout is not None
            receiver.stdout.readline()  # the receiver listens
            run(send, timeout=30)
            size, seconds = receiver.stdout.readline().split()
        assert int(size) == mebibytes << 20
        return int(size) * 8 / 1e6 / float(seconds)

    def resolves(self, zone: str) -> bool:
        """Return whether a zone's DNS resolves a name."""
        args = ["busybox", "nslookup", "-type=a", "kubernetes.default.svc.cluster.local"]
        command = [*args, str(self.spec.node(zone))]
        with suppress(subprocess.TimeoutExpired):
            return subprocess.run(command, check=False, capture_output=True, timeout=2).returncode == 0
        return False

    def create_victim(self, zone: str) -> tuple[str, str]:
        """Create a pod as the target of faults; return its uid and its container id."""
        name = VICTIM.rpartition("/")[2]
        container = {
            "name": name,
            "image": BUSYBOX_IMAGE,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", "tail -f /dev/null & wait"],
            "resources": {"limits": {"memory": "256Mi"}},
        }
        self.zones.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {
                    "containers": [container],
                    "nodeName": zone,
                    "terminationGracePeriodSeconds": 0,
                    "enableServiceLinks": False,
                },
            }
        )
        self.zones.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
        return self.pod_identity(self.zones.get("pod", name))

    def pod_identity(self, pod: dict[str, Any]) -> tuple[str, str]:
        """Return the uid and the container id of a pod."""
        return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["containerID"]


def zone_cgroup(spec: ClusterSpec, zone: str, controller: str) -> Path:
    """Return the cgroup of a whole zone.

    Args:
        spec: names of the cluster.
        zone: name of the zone.
        controller: folder of the hierarchy, e.g. `cpu`.
    """
    return cgroups.MOUNT / controller / spec.namespace(zone)


def run_in_groups(groups: Iterable[Path], *args: str) -> int:
    """Run a command inside control groups; return its exit code.

    Args:
        groups: folders of the groups.
        args: the command.
    """
    enter = "; ".join(f"echo 0 > {group}/cgroup.procs" for group in groups)
    return subprocess.run(["sh", "-ec", f'{enter}; exec "$@"', "sh", *args], check=False).returncode


def allocate_command(mebibytes: int) -> list[str]:
    """Return a command that allocates memory briefly."""
    return [sys.executable, "-I", "-S", "-c", f"bytearray(b'x') * ({mebibytes} << 20)"]


def _queue_kinds(command: list[str]) -> list[str]:
    """Return the queueing disciplines of a device without their handles."""
    return [line.split()[1] for line in run(command).splitlines()]
