"""A cluster of three zones on this machine: brought up, looked at, hurt and taken down."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import platformdirs

from infra.errors import ProblemsError, UsageError
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
from infra.zones.paths import ClusterPaths, write_atomically
from infra.zones.spec import ClusterSpec
from infra.zones.status import ClusterStatus, NodeStatus
from infra.zones.supervisord import Program, Supervisor, render, wait_for_children

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.credentials import OffsiteStoreAccess
    from infra.errors import Problem
    from infra.progress import ProgressReporter, ProgressStep
    from infra.zones.control_plane import Tools


class Cluster:
    """One cluster of this machine.

    Args:
        spec: its name and addresses.
        state: its state folder; kept when the cluster is down, so that `up` brings the same cluster back.
        tools: where the programs are that it runs.
        vault: folder of the store for backups, which no `down` deletes; None for none.
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
        """Where its files are."""
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
    def address(self) -> str:
        """Address of the edge, which speaks HTTPS on 443."""
        return str(self.spec.gateway)

    @property
    def offsite_store(self) -> OffsiteStoreAccess | None:
        """Where backups go that are to outlive the zones; None when there is no such store."""
        found = offsite_store.open_store(self._offsite_folder, self._tools)
        return found.access(self.spec, self._paths) if found else None

    @property
    def ca(self) -> Path:
        """Certificate authority of the API server, the registry and the edge."""
        return self._paths.pki / "ca.crt"

    @property
    def supervisor_pid(self) -> int | None:
        """Process id that every process of the cluster descends from; None when it is down."""
        return self._supervisor.pid

    def preflight(self) -> list[Problem]:
        """Return everything that stands in the way of `up`."""
        return preflight.check(self.spec, self._paths)

    def up(self, steps: ProgressReporter) -> None:
        """Bring the cluster up, or whatever of it is not.

        Raises:
            ProblemsError: the host lacks something; nothing was started.
            UsageError: it was made with another subnet or other zones; nothing was started.
            EsqError: it was started and did not become ready; the logs tell why.
        """
        with steps.step(f"cluster {self.spec.name}") as step, self._locked():
            self._reject_changed_spec()
            if self._is_unchanged():
                step.set_result("already running")
                return
            problems = self.preflight()
            if problems:
                raise ProblemsError("this host cannot carry the zones yet", problems)
            self._write_configuration()
            if self._supervisor.pid is None or not network.exists(self.spec):
                self._kill_processes()
                network.create(self.spec)
            for zone in self.spec.zones:
                network.reconnect(self.spec, zone)
                cgroups.thaw(self.spec.namespace(zone))
            self._supervisor.start()
            self._supervisor.poll_nodes(self.spec.zones)
            self._api.wait_until_ready(step)
            self._api.apply(bootstrap_manifests.manifests(), bootstrap_manifests.FIELD_MANAGER)
            self._wait_until_healthy(step)
            step.set_result(f"{len(self.spec.zones)} nodes ready")

    def down(self, steps: ProgressReporter, *, purge: bool = False) -> None:
        """End every process and take away namespaces, mounts, interfaces and control groups.

        Args:
            steps: told what happens.
            purge: delete the state as well: volumes, certificates, etcd; never the vault.
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
        """Return what the supervisor and the API server say."""
        states = self._supervisor.states()
        for zone in self.spec.zones if states else ():
            inner = self._supervisor.node_states(zone) or {"supervisor": "UNKNOWN"}
            states |= {f"{zone}/{name}": state for name, state in inner.items()}
        try:
            nodes_found = self._nodes() if states else ()
        except CommandFailedError:
            nodes_found = ()
        return ClusterStatus(
            name=self.spec.name,
            running=bool(states),
            processes=states,
            nodes=nodes_found,
            kubeconfig=str(self.kubeconfig),
            edge=f"https://{self.address}",
            registry=self.registry,
        )

    def logs(self) -> dict[str, Path]:
        """Return the log file of every process by name; processes of a node are called `zone-a/kubelet`."""
        files = {path.stem: path for path in self._paths.logs.glob("*.log")}
        for zone in self.spec.zones:
            files |= {f"{zone}/{path.stem}": path for path in (self._paths.node(zone) / "logs").glob("*.log")}
        return dict(sorted(files.items()))

    def trust_backend_ca(self, certificate: str) -> None:
        """Let the edge trust services whose certificates are signed by `authority` (PEM)."""
        path = self._paths.config / "backends.pem"
        if path.read_text() != certificate:
            write_atomically(path, certificate)
            self._supervisor.call("stopProcess", "edge")
            self._supervisor.call("startProcess", "edge")

    def disconnect(self, zone: str) -> None:
        """Cut a zone off: it goes on running and reaches nobody."""
        network.disconnect(self.spec, zone)

    def reconnect(self, zone: str) -> None:
        """End a cut."""
        network.reconnect(self.spec, zone)

    def kill(self, zone: str) -> None:
        """Let a zone die at once, with everything in it. The supervisor brings it back."""
        for process in wait_for_children(self._supervisor.program_pid(zone)):
            os.kill(process.pid, signal.SIGKILL)

    def stop(self, zone: str) -> None:
        """Let a zone die and stay dead until `start`."""
        self._supervisor.call("stopProcess", zone)

    def start(self, zone: str) -> None:
        """Bring a stopped zone back."""
        self._supervisor.call("startProcess", zone)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Wait for whoever else is bringing this cluster up or down."""
        self._paths.lock.parent.mkdir(parents=True, exist_ok=True)
        with self._paths.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _reject_changed_spec(self) -> None:
        saved = ClusterSpec.load_saved(self._paths.root)
        if saved is not None and saved != self.spec:
            raise UsageError(
                f"cluster {saved.name} was made with {saved.subnet} and {', '.join(saved.zones)}",
                location=f"cluster {saved.name}",
                remedy="Leave the subnet as it was, or delete the cluster first: `esq cluster down --purge`.",
            )

    def _nodes(self) -> tuple[NodeStatus, ...]:
        known = {node.name: node for node in self._api.nodes()}
        unknown = {zone: NodeStatus(name=zone, zone=zone, reason="never seen") for zone in self.spec.zones}
        return tuple((unknown | known).values())

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

    def _is_unchanged(self) -> bool:
        if self._supervisor.pid is None or not network.exists(self.spec):
            return False
        before = self._paths.supervisor_config.read_text()
        return self._write_configuration() == before and self.status().healthy

    def _write_configuration(self) -> str:
        """Write all files; return the supervisor's configuration."""
        spec, paths = self.spec, self._paths
        paths.create(spec.zones)
        pki.ensure(spec, paths)
        write_atomically(paths.spec, spec.model_dump_json(indent=2))
        write_atomically(paths.config / "toolbox.tar", busybox_image.archive())
        storage = platformdirs.user_cache_path("esq") / "registry"
        storage.mkdir(parents=True, exist_ok=True)
        store = offsite_store.open_store(self._offsite_folder, self._tools)
        offsite_frontend = offsite_store.frontend(store, spec, paths) if store else ""
        files = {
            "edge": write_atomically(
                paths.config / "haproxy.cfg", edge.render(spec, paths) + offsite_frontend
            ),
            "registry": write_atomically(
                paths.config / "registry.yml", registry.render(spec, paths, storage)
            ),
        }
        if not (paths.config / "backends.pem").exists():
            write_atomically(paths.config / "backends.pem", self.ca.read_text())
        host_programs = [
            Program(
                "registry",
                ["docker-registry", "serve", str(files["registry"])],
                paths.log("registry"),
                watched_files=[files["registry"], paths.pki / "gateway.pem"],
            ),
            Program(
                "edge",
                [*HIGH_PRIORITY_PREFIX, "haproxy", "-db", "-f", str(files["edge"])],
                paths.log("edge"),
                watched_files=[files["edge"], paths.pki / "gateway.pem", paths.pki / f"{OFFSITE_STORE}.pem"],
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
