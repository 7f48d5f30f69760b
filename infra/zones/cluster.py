"""A cluster of three zones on this machine: brought up, looked at, hurt and taken down."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import platformdirs

from infra.errors import EsqError, ProblemsError
from infra.shell import CommandFailedError, run
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
    toolbox,
)
from infra.zones.layout import Layout, write
from infra.zones.status import ClusterStatus, NodeStatus
from infra.zones.supervision import Program, Supervisor, children, render

if TYPE_CHECKING:
    from pathlib import Path

    from infra.errors import Problem
    from infra.steps import Step, Steps
    from infra.zones.control_plane import Tools
    from infra.zones.spec import ClusterSpec

READY_SECONDS = 120.0
"""For the API server, and again for the nodes; they take a few on an idle machine."""
_POLL = 0.1


class Cluster:
    """One cluster of this machine.

    Args:
        spec: its name and addresses.
        state: its state folder; kept when the cluster is down, so that `up` brings the same cluster back.
        tools: where the programs are that it runs.
    """

    def __init__(self, spec: ClusterSpec, state: Path, tools: Tools) -> None:
        self.spec = spec
        self._layout = Layout(state, spec.name)
        self._tools = tools
        self._supervisor = Supervisor(self._layout)

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

    def up(self, steps: Steps) -> None:
        """Bring the cluster up, or whatever of it is not.

        Raises:
            ProblemsError: the host lacks something; nothing was started.
            EsqError: it was started and did not become ready; the logs tell why.
        """
        with steps.step(f"cluster {self.spec.name}") as step:
            if self._unchanged():
                step.note("already running")
                return
            problems = self.preflight()
            if problems:
                raise ProblemsError("this host cannot carry the zones yet", problems)
            self._configure()
            if not network.present(self.spec):
                self._supervisor.stop()
                network.create(self.spec)
            self._supervisor.start()
            self._await_api(step)
            self._kubectl(
                "apply", "--server-side", "--force-conflicts", "--filename=-", stdin=foundation.manifests()
            )
            self._await_nodes(step)
            self._await_processes(step)
            step.note(f"{len(self.spec.zones)} nodes ready")

    def down(self, steps: Steps, *, purge: bool = False) -> None:
        """End every process and take away namespaces, mounts, interfaces and control groups.

        Args:
            steps: told what happens.
            purge: delete the state as well: volumes, certificates, etcd.
        """
        with steps.step(f"cluster {self.spec.name} down"):
            self._supervisor.stop()
            network.remove(self.spec)
            for zone in self.spec.zones:
                cgroups.remove(self.spec.namespace(zone))
            shutil.rmtree(self._layout.run, ignore_errors=True)
            if purge:
                shutil.rmtree(self._layout.root, ignore_errors=True)

    def status(self) -> ClusterStatus:
        """Return what the supervisor and the API server say."""
        states = self._supervisor.states()
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

    def _unchanged(self) -> bool:
        if self._supervisor.pid is None or not network.present(self.spec):
            return False
        before = self._layout.supervisor.read_text()
        return self._configure() == before and self.status().healthy

    def _configure(self) -> str:
        """Write all files; return the supervisor's configuration."""
        spec, layout = self.spec, self._layout
        layout.make(spec.zones)
        write(layout.spec, spec.model_dump_json())
        pki.ensure(spec, layout)
        (layout.config / "toolbox.tar").write_bytes(toolbox.archive())
        storage = platformdirs.user_cache_path("esq") / "registry"
        storage.mkdir(parents=True, exist_ok=True)
        files = {
            "edge": write(layout.config / "haproxy.cfg", edge.render(spec, layout)),
            "registry": write(layout.config / "registry.yml", registry.render(spec, layout, storage)),
        }
        if not (layout.config / "backends.pem").exists():
            write(layout.config / "backends.pem", self.ca.read_text())
        host = [
            Program("registry", ["docker-registry", "serve", str(files["registry"])], layout.log("registry")),
            Program("edge", ["haproxy", "-db", "-f", str(files["edge"])], layout.log("edge")),
        ]
        programs = [
            *control_plane.programs(spec, layout, self._tools),
            *(nodes.program(spec, layout, self._tools, zone) for zone in spec.zones),
            *host,
        ]
        text = render(programs, socket=layout.socket, pidfile=layout.pidfile, log=layout.log("supervisor"))
        write(layout.supervisor, text)
        return text

    def _kubectl(self, *words: str, stdin: str | None = None, timeout: float = 30.0) -> str:
        return run(
            [str(self._tools.path("kubectl")), f"--kubeconfig={self.kubeconfig}", *words],
            stdin=stdin,
            timeout=timeout,
            env={"HOME": str(self._layout.run), "PATH": os.environ.get("PATH", "")},
        )

    def _nodes(self) -> tuple[NodeStatus, ...]:
        answer = json.loads(self._kubectl("get", "nodes", "--output=json", "--request-timeout=5s"))
        return tuple(_node(item) for item in answer["items"])

    def _await_api(self, step: Step) -> None:
        step.waiting("the API server")
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                self._kubectl("get", "--raw=/readyz", "--request-timeout=2s")
            except CommandFailedError as error:
                if time.monotonic() > deadline:
                    raise self._not_ready("the API server does not answer", error.output) from error
                time.sleep(_POLL)
            else:
                return

    def _await_nodes(self, step: Step) -> None:
        deadline = time.monotonic() + READY_SECONDS
        wanted = set(self.spec.zones)
        while True:
            missing = wanted - {node.name for node in self._nodes() if node.ready}
            if not missing:
                return
            if time.monotonic() > deadline:
                raise self._not_ready(f"not ready: {', '.join(sorted(missing))}", "")
            step.waiting(f"nodes {', '.join(sorted(missing))}")
            time.sleep(_POLL)

    def _await_processes(self, step: Step) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while waiting := [name for name, state in self._supervisor.states().items() if state != "RUNNING"]:
            if time.monotonic() > deadline:
                raise self._not_ready(f"not running: {', '.join(waiting)}", "")
            step.waiting(f"processes {', '.join(waiting)}")
            time.sleep(_POLL)

    def _not_ready(self, what: str, detail: str) -> EsqError:
        return EsqError(
            f"{what} after {READY_SECONDS:.0f} s",
            where=f"cluster {self.spec.name}",
            remedy=f"Read `esq cluster logs --name {self.spec.name}`, then run the same command again.",
            detail=detail,
        )


def _node(item: dict[str, object]) -> NodeStatus:
    metadata, status = item["metadata"], item["status"]
    conditions = {each["type"]: each for each in status.get("conditions", [])}  # type: ignore[attr-defined]  # JSON
    ready = conditions.get("Ready", {})
    return NodeStatus(
        name=metadata["name"],  # type: ignore[index]  # JSON
        zone=metadata["labels"].get(nodes.ZONE_LABEL, ""),  # type: ignore[index]  # JSON
        ready=ready.get("status") == "True",
        reason="" if ready.get("status") == "True" else str(ready.get("message", "no condition yet")),
    )
