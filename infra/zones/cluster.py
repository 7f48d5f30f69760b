"""A cluster of three zones on this machine: start, status, faults of a zone, stop."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import psutil

from infra.errors import ProblemsError, UsageError
from infra.files import write_atomically
from infra.names import OFFSITE_STORE
from infra.subprocesses import HIGH_PRIORITY_PREFIX, CommandFailedError
from infra.zones import (
    bootstrap_manifests,
    busybox_image,
    cgroups,
    control_plane,
    edge,
    network,
    nodes,
    offsite_store,
    orphan_processes,
    pki,
    preflight,
    registry,
)
from infra.zones.api import POLL_INTERVAL_SECONDS, READY_TIMEOUT_SECONDS, Api, start_timeout_error
from infra.zones.paths import ClusterPaths
from infra.zones.spec import ClusterSpec
from infra.zones.status import ClusterStatus, NodeStatus
from infra.zones.supervisord import Program, Supervisor, render, wait_for_children

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.credentials import OffsiteStoreAccess
    from infra.errors import Problem
    from infra.progress import ProgressReporter, ProgressStep
    from infra.zones.control_plane import Tools
    from infra.zones.registry import RegistryAccess


_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def running_clusters(tools: Tools) -> list[Cluster]:
    """Return the running clusters of this machine, whatever state folder they have.

    Args:
        tools: the toolchain.
    """
    clusters = []
    for process in psutil.process_iter(["name", "cmdline"]):
        *_, config = process.info["cmdline"] or ("",)
        root = Path(config).parents[1] if config.endswith("/config/supervisor.conf") else None
        spec = ClusterSpec.load_saved(root) if root and process.info["name"] == "supervisord" else None
        if root and spec:
            clusters.append(Cluster(spec, root, tools))
    return clusters


def registry_storage() -> Path:
    """Return the folder of the images of all registries of the user."""
    return platformdirs.user_cache_path("esq") / "registry"


class Cluster:
    """One cluster of this machine.

    Args:
        spec: its name and addresses.
        state: its state folder; kept when the cluster is down, so that `up` brings the same cluster back.
        tools: the toolchain with the programs that it runs.
        offsite_folder: folder of the off-site store, which `down` never deletes; None for no store.
    """

    def __init__(
        self, spec: ClusterSpec, state: Path, tools: Tools, offsite_folder: Path | None = None
    ) -> None:
        self.spec = spec
        self._offsite_folder = offsite_folder
        self._paths = ClusterPaths(state, spec.name)
        self._tools = tools
        self._supervisor = Supervisor(self._paths)
        self._api = Api(str(spec.control), self._paths, tools)

    @property
    def paths(self) -> ClusterPaths:
        """Paths of its files."""
        return self._paths

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator, readable by its owner only."""
        return self._paths.kubeconfig

    @property
    def registry(self) -> str:
        """`host:port` of the registry, reachable from every node and from the host."""
        return self.spec.registry

    @property
    def registry_access(self) -> RegistryAccess:
        """Write access to the registry."""
        return registry.push_access(self.spec, self._paths)

    @property
    def address(self) -> str:
        """Address of the edge, which serves HTTPS on port 443."""
        return str(self.spec.gateway)

    @property
    def offsite_store(self) -> OffsiteStoreAccess | None:
        """Access to the store of backups that outlive the zones; None if there is none."""
        store = offsite_store.open_store(self._offsite_folder, self._tools)
        return store.access(self.spec, self._paths) if store else None

    @property
    def ca(self) -> Path:
        """Certificate authority of the API server, the registry and the edge."""
        return self._paths.pki / "ca.crt"

    def preflight(self) -> list[Problem]:
        """Return all problems that prevent `up`."""
        return preflight.check(self.spec, self._paths)

    def up(self, steps: ProgressReporter) -> None:
        """Start the cluster, or those parts of it that are not running.

        Raises:
            ProblemsError: the host does not meet the requirements; nothing was started.
            UsageError: it was created with another subnet, other zones or by an earlier version; nothing was
                started.
            EsqError: it did not become ready; the logs contain the reason.
        """
        with steps.step(f"cluster {self.spec.name}") as step, self._locked():
            self._reject_unusable_state()
            problems = self.preflight()
            if problems:
                raise ProblemsError("this host does not meet the requirements of the zones", problems)
            configuration = self._write_configuration()
            if self._is_running(configuration):
                network.restrict_access(self.spec)
                step.set_result("already running")
                return
            if self._supervisor.pid is None or not network.exists(self.spec):
                self._kill_processes()
                network.create(self.spec)
            network.restrict_access(self.spec)
            for zone in self.spec.zones:
                network.reconnect(self.spec, zone)
                cgroups.thaw(self.spec.namespace(zone))
            self._supervisor.start()
            self._supervisor.poll_nodes(self.spec.zones)
            self._api.wait_until_ready(step)
            self._api.apply(bootstrap_manifests.manifests(), bootstrap_manifests.FIELD_MANAGER)
            self._wait_until_healthy(step)
            # Last: after an interrupted `up` the next one repeats what may be missing.
            write_atomically(self._paths.applied_config, configuration)
            step.set_result(f"{len(self.spec.zones)} nodes ready")

    def down(self, steps: ProgressReporter, *, purge: bool = False) -> None:
        """Stop every process and remove namespaces, mounts, interfaces and control groups.

        Args:
            steps: progress reporter.
            purge: whether the state (volumes, certificates, etcd) is deleted too; the off-site store is kept.
        """
        with steps.step(f"cluster {self.spec.name} down"), self._locked():
            self._kill_processes()
            network.remove(self.spec)
            for zone in self.spec.zones:
                cgroups.remove(self.spec.namespace(zone))
            shutil.rmtree(self._paths.run, ignore_errors=True)
            if purge:
                shutil.rmtree(self._paths.root, ignore_errors=True)

    def status(self) -> ClusterStatus:
        """Return the states of the processes and of the nodes."""
        states = self._supervisor.states()
        for zone in self.spec.zones if states else ():
            node_states = self._supervisor.node_states(zone) or {"supervisor": "UNKNOWN"}
            states |= {f"{zone}/{name}": state for name, state in node_states.items()}
        try:
            node_statuses = self._nodes() if states else ()
        except CommandFailedError:
            node_statuses = ()
        return ClusterStatus(
            name=self.spec.name,
            running=bool(states),
            processes=states,
            nodes=node_statuses,
            kubeconfig=str(self.kubeconfig),
            edge=f"https://{self.address}",
            registry=self.registry,
        )

    def logs(self) -> dict[str, Path]:
        """Return the log file of every process by name; names of node processes are like `zone-a/kubelet`."""
        files = {path.stem: path for path in self._paths.logs.glob("*.log")}
        for zone in self.spec.zones:
            files |= {f"{zone}/{path.stem}": path for path in (self._paths.node(zone) / "logs").glob("*.log")}
        return dict(sorted(files.items()))

    def image_digests(self) -> set[str]:
        """Return the digests of all images that workloads refer to, also those of earlier rollouts.

        Raises:
            CommandFailedError: the API server does not respond.
        """
        kinds = "pods,replicasets,statefulsets,cronjobs,jobs"
        return set(_DIGEST.findall(self._api.kubectl("get", kinds, "--all-namespaces", "--output=json")))

    def trust_backend_ca(self, authorities: str) -> None:
        """Make the edge trust backends whose certificates are signed by one of `authorities` (PEM)."""
        edge.trust_backend_ca(self._paths, authorities)

    def disconnect(self, zone: str) -> None:
        """Disconnect a zone from the network: it keeps running."""
        network.disconnect(self.spec, zone)

    def reconnect(self, zone: str) -> None:
        """Reconnect a zone."""
        network.reconnect(self.spec, zone)

    def kill(self, zone: str) -> None:
        """Kill a zone with all of its processes. The supervisor restarts it."""
        for process in wait_for_children(self._supervisor.program_pid(zone)):
            os.kill(process.pid, signal.SIGKILL)

    def stop(self, zone: str) -> None:
        """Kill a zone and keep it stopped until `start`."""
        self._supervisor.call("stopProcess", zone)

    def start(self, zone: str) -> None:
        """Start a stopped zone."""
        self._supervisor.call("startProcess", zone)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the cluster's lock: one `up` or `down` at a time."""
        self._paths.lock.parent.mkdir(parents=True, exist_ok=True)
        with self._paths.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _reject_unusable_state(self) -> None:
        saved = ClusterSpec.load_saved(self._paths.root)
        if saved is not None and saved != self.spec:
            raise UsageError(
                f"cluster {saved.name} was created with {saved.subnet} and {', '.join(saved.zones)}",
                location=f"cluster {saved.name}",
                remedy="Keep the subnet, or delete the cluster first: `esq cluster down --purge`.",
            )
        if (self._paths.etcd / "member").exists():
            # The disk of the control plane would hide it: an empty cluster would start on volumes with data.
            raise UsageError(
                f"cluster {self.spec.name} was created by an earlier version, which had no disk for etcd",
                location=str(self._paths.etcd),
                remedy="Take a backup with that version (`esq backup create ENV`), delete the cluster "
                "(`esq cluster down --purge`), then `esq recover ENV`; without data to keep, "
                "`esq env rebind ENV --confirm ENV` and a deploy.",
            )

    def _nodes(self) -> tuple[NodeStatus, ...]:
        registered = {node.name: node for node in self._api.nodes()}
        unregistered = {
            zone: NodeStatus(name=zone, zone=zone, reason="not registered") for zone in self.spec.zones
        }
        return tuple((unregistered | registered).values())

    def _wait_until_healthy(self, step: ProgressStep) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while not (status := self.status()).healthy:
            unhealthy = ", ".join(status.unhealthy) or "the API server"
            if time.monotonic() > deadline:
                raise start_timeout_error(self.spec.name, f"not ready: {unhealthy}")
            step.set_status(unhealthy)
            time.sleep(POLL_INTERVAL_SECONDS)

    def _kill_processes(self) -> None:
        for zone in self.spec.zones:
            cgroups.thaw(self.spec.namespace(zone))
        self._supervisor.stop()
        orphan_processes.kill_orphans(self.spec, self._paths)

    def _is_running(self, configuration: str) -> bool:
        """Return whether the cluster is healthy, and the last completed `up` had this configuration."""
        if self._supervisor.pid is None or not network.exists(self.spec):
            return False
        applied = self._paths.applied_config
        return applied.exists() and applied.read_text() == configuration and self.status().healthy

    def _write_configuration(self) -> str:
        """Write all files and return the supervisor's configuration."""
        spec, paths = self.spec, self._paths
        paths.create(spec.zones)
        pki.ensure(spec, paths)
        write_atomically(paths.spec, spec.model_dump_json(indent=2))
        write_atomically(paths.config / "busybox.tar", busybox_image.archive())
        storage = registry_storage()
        storage.mkdir(parents=True, exist_ok=True)
        store = offsite_store.open_store(self._offsite_folder, self._tools)
        sections = [
            edge.render(spec, paths),
            registry.frontend(spec, paths),
            offsite_store.frontend(store, spec, paths) if store else "",
        ]
        files = {
            "edge": write_atomically(paths.config / "haproxy.cfg", "".join(sections)),
            "registry": write_atomically(paths.config / "registry.yml", registry.render(paths, storage)),
        }
        if not edge.backend_ca_file(paths).exists():
            write_atomically(edge.backend_ca_file(paths), self.ca.read_text())
        host_programs = [
            Program(
                "registry",
                ["docker-registry", "serve", str(files["registry"])],
                paths.log("registry"),
                watched_files=[files["registry"]],
            ),
            Program(
                "edge",
                [*HIGH_PRIORITY_PREFIX, "haproxy", "-db", "-f", str(files["edge"])],
                paths.log("edge"),
                watched_files=[
                    files["edge"],
                    *(paths.pki / name for name in ("gateway.pem", "ca.crt", f"{OFFSITE_STORE}.pem")),
                ],
            ),
            *([store.configure(spec, paths)] if store else []),
        ]
        programs = [
            *control_plane.programs(spec, paths, self._tools),
            *(nodes.node_program(spec, paths, self._tools, zone) for zone in spec.zones),
            *host_programs,
        ]
        text = render(programs, socket=paths.socket, pidfile=paths.pidfile, log=paths.log("supervisor"))
        write_atomically(paths.supervisor_config, text)
        return text
