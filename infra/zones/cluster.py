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
    cgroups,
    control_plane,
    edge,
    foundation,
    network,
    nodes,
    pki,
    preflight,
    registry,
    strays,
    toolbox,
    vault,
)
from infra.zones.api import POLL_SECONDS, READY_SECONDS, Api, late
from infra.zones.layout import Layout, write
from infra.zones.spec import ClusterSpec
from infra.zones.status import ClusterStatus, NodeStatus
from infra.zones.supervision import Program, Supervisor, children, render

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

    def __init__(self, spec: ClusterSpec, state: Path, tools: Tools, vault: Path | None = None) -> None:
        self.spec = spec
        self._vault_folder = vault
        self._layout = Layout(state, spec.name)
        self._tools = tools
        self._supervisor = Supervisor(self._layout)
        self._api = Api(str(spec.control), self._layout, tools)

    @property
    def layout(self) -> Layout:
        """Where its files are."""
        return self._layout

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator, readable by its owner only."""
        return self._layout.kubeconfig

    @property
    def registry(self) -> str:
        """`host:port` of the registry, reachable from every node and from the host."""
        return self.spec.registry

    @property
    def address(self) -> str:
        """Address of the edge, which speaks HTTPS on 443."""
        return str(self.spec.gateway)

    @property
    def vault(self) -> OffsiteStoreAccess | None:
        """Where backups go that are to outlive the zones; None when there is no such store."""
        found = vault.find(self._vault_folder, self._tools)
        return found.access(self.spec, self._layout) if found else None

    @property
    def ca(self) -> Path:
        """Certificate authority of the API server, the registry and the edge."""
        return self._layout.pki / "ca.crt"

    @property
    def supervisor_pid(self) -> int | None:
        """Process id that every process of the cluster descends from; None when it is down."""
        return self._supervisor.pid

    def preflight(self) -> list[Problem]:
        """Return everything that stands in the way of `up`."""
        return preflight.check(self.spec, self._layout)

    def up(self, steps: ProgressReporter) -> None:
        """Bring the cluster up, or whatever of it is not.

        Raises:
            ProblemsError: the host lacks something; nothing was started.
            UsageError: it was made with another subnet or other zones; nothing was started.
            EsqError: it was started and did not become ready; the logs tell why.
        """
        with steps.step(f"cluster {self.spec.name}") as step, self._alone():
            self._refuse_another_spec()
            if self._unchanged():
                step.set_result("already running")
                return
            problems = self.preflight()
            if problems:
                raise ProblemsError("this host cannot carry the zones yet", problems)
            self._configure()
            if self._supervisor.pid is None or not network.present(self.spec):
                self._end_processes()
                network.create(self.spec)
            for zone in self.spec.zones:
                network.heal(self.spec, zone)
                cgroups.thaw(self.spec.namespace(zone))
            self._supervisor.start()
            self._supervisor.wake(self.spec.zones)
            self._api.await_ready(step)
            self._api.apply(foundation.manifests(), foundation.FIELD_MANAGER)
            self._await_healthy(step)
            step.set_result(f"{len(self.spec.zones)} nodes ready")

    def down(self, steps: ProgressReporter, *, purge: bool = False) -> None:
        """End every process and take away namespaces, mounts, interfaces and control groups.

        Args:
            steps: told what happens.
            purge: delete the state as well: volumes, certificates, etcd; never the vault.
        """
        with steps.step(f"cluster {self.spec.name} down"), self._alone():
            self._end_processes()
            network.remove(self.spec)
            for zone in self.spec.zones:
                cgroups.remove(self.spec.namespace(zone))
            shutil.rmtree(self._layout.run, ignore_errors=True)
            if purge:
                shutil.rmtree(self._layout.root, ignore_errors=True)

    def status(self) -> ClusterStatus:
        """Return what the supervisor and the API server say."""
        states = self._supervisor.states()
        for zone in self.spec.zones if states else ():
            inner = self._supervisor.inner_states(zone) or {"supervisor": "UNKNOWN"}
            states |= {f"{zone}/{name}": state for name, state in inner.items()}
        try:
            found = self._nodes() if states else ()
        except CommandFailedError:
            found = ()
        return ClusterStatus(
            name=self.spec.name,
            running=bool(states),
            processes=states,
            nodes=found,
            kubeconfig=str(self.kubeconfig),
            edge=f"https://{self.address}",
            registry=self.registry,
        )

    def logs(self) -> dict[str, Path]:
        """Return the log file of every process by name; processes of a node are called `zone-a/kubelet`."""
        files = {path.stem: path for path in self._layout.logs.glob("*.log")}
        for zone in self.spec.zones:
            files |= {
                f"{zone}/{path.stem}": path for path in (self._layout.node(zone) / "logs").glob("*.log")
            }
        return dict(sorted(files.items()))

    def trust(self, authority: str) -> None:
        """Let the edge trust services whose certificates are signed by `authority` (PEM)."""
        path = self._layout.config / "backends.pem"
        if path.read_text() != authority:
            write(path, authority)
            self._supervisor.call("stopProcess", "edge")
            self._supervisor.call("startProcess", "edge")

    def cut(self, zone: str) -> None:
        """Cut a zone off: it goes on running and reaches nobody."""
        network.cut(self.spec, zone)

    def heal(self, zone: str) -> None:
        """End a cut."""
        network.heal(self.spec, zone)

    def kill(self, zone: str) -> None:
        """Let a zone die at once, with everything in it. The supervisor brings it back."""
        for process in children(self._supervisor.program_pid(zone)):
            os.kill(process.pid, signal.SIGKILL)

    def stop(self, zone: str) -> None:
        """Let a zone die and stay dead until `start`."""
        self._supervisor.call("stopProcess", zone)

    def start(self, zone: str) -> None:
        """Bring a stopped zone back."""
        self._supervisor.call("startProcess", zone)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for whoever else is bringing this cluster up or down."""
        self._layout.lock.parent.mkdir(parents=True, exist_ok=True)
        with self._layout.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _refuse_another_spec(self) -> None:
        kept = ClusterSpec.kept(self._layout.root)
        if kept is not None and kept != self.spec:
            raise UsageError(
                f"cluster {kept.name} was made with {kept.subnet} and {', '.join(kept.zones)}",
                location=f"cluster {kept.name}",
                remedy="Leave the subnet as it was, or delete the cluster first: `esq cluster down --purge`.",
            )

    def _nodes(self) -> tuple[NodeStatus, ...]:
        known = {node.name: node for node in self._api.nodes()}
        unknown = {zone: NodeStatus(name=zone, zone=zone, reason="never seen") for zone in self.spec.zones}
        return tuple((unknown | known).values())

    def _await_healthy(self, step: ProgressStep) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not (status := self.status()).healthy:
            lacking = ", ".join(status.lacking) or "the API server"
            if time.monotonic() > deadline:
                raise late(self.spec.name, f"not ready: {lacking}")
            step.set_status(lacking)
            time.sleep(POLL_SECONDS)

    def _end_processes(self) -> None:
        for zone in self.spec.zones:
            cgroups.thaw(self.spec.namespace(zone))
        self._supervisor.stop()
        strays.end(self.spec, self._layout)

    def _unchanged(self) -> bool:
        if self._supervisor.pid is None or not network.present(self.spec):
            return False
        before = self._layout.supervisor.read_text()
        return self._configure() == before and self.status().healthy

    def _configure(self) -> str:
        """Write all files; return the supervisor's configuration."""
        spec, layout = self.spec, self._layout
        layout.make(spec.zones)
        pki.ensure(spec, layout)
        write(layout.spec, spec.model_dump_json(indent=2))
        write(layout.config / "toolbox.tar", toolbox.archive())
        storage = platformdirs.user_cache_path("esq") / "registry"
        storage.mkdir(parents=True, exist_ok=True)
        store = vault.find(self._vault_folder, self._tools)
        behind = vault.frontend(store, spec, layout) if store else ""
        files = {
            "edge": write(layout.config / "haproxy.cfg", edge.render(spec, layout) + behind),
            "registry": write(layout.config / "registry.yml", registry.render(spec, layout, storage)),
        }
        if not (layout.config / "backends.pem").exists():
            write(layout.config / "backends.pem", self.ca.read_text())
        host = [
            Program(
                "registry",
                ["docker-registry", "serve", str(files["registry"])],
                layout.log("registry"),
                reads=[files["registry"], layout.pki / "gateway.pem"],
            ),
            Program(
                "edge",
                [*HIGH_PRIORITY_PREFIX, "haproxy", "-db", "-f", str(files["edge"])],
                layout.log("edge"),
                reads=[files["edge"], layout.pki / "gateway.pem", layout.pki / f"{OFFSITE_STORE}.pem"],
            ),
            *([store.configured(spec, layout)] if store else []),
        ]
        programs = [
            *control_plane.programs(spec, layout, self._tools),
            *(nodes.program(spec, layout, self._tools, zone) for zone in spec.zones),
            *host,
        ]
        text = render(programs, socket=layout.socket, pidfile=layout.pidfile, log=layout.log("supervisor"))
        write(layout.supervisor, text)
        return text
