"""Client of the cluster's API server: kubectl as the administrator."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from infra.errors import EsqError
from infra.subprocesses import run
from infra.zones import wait_for_apiserver
from infra.zones.nodes import ZONE_LABEL
from infra.zones.status import NodeStatus

if TYPE_CHECKING:
    from infra.progress import ProgressStep
    from infra.zones.control_plane import Tools
    from infra.zones.paths import ClusterPaths

READY_TIMEOUT_SECONDS = 120.0
"""For the API server, and again for everything else; each takes a few seconds on an idle machine."""
POLL_INTERVAL_SECONDS = 0.1


class Api:
    """Client of one cluster's API server.

    Args:
        host: address of the API server.
        paths: files of the cluster.
        tools: the toolchain that contains kubectl.
    """

    def __init__(self, host: str, paths: ClusterPaths, tools: Tools) -> None:
        self._host = host
        self._paths = paths
        self._tools = tools

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output.

        Raises:
            CommandFailedError: kubectl fails, or the API server does not respond.
        """
        return run(
            [str(self._tools.path("kubectl")), f"--kubeconfig={self._paths.kubeconfig}", *args],
            stdin=stdin,
            timeout=30.0,
            env={"HOME": str(self._paths.run), "PATH": os.environ.get("PATH", "")},
        )

    def apply(self, manifests: str, manager: str) -> None:
        """Apply objects by server-side apply and take over fields of other managers.

        Args:
            manifests: objects as a YAML stream.
            manager: field manager.
        """
        options = ("--server-side", "--force-conflicts", f"--field-manager={manager}", "--filename=-")
        self.kubectl("apply", *options, stdin=manifests)

    def nodes(self) -> tuple[NodeStatus, ...]:
        """Return all nodes.

        Raises:
            CommandFailedError: the API server does not respond.
        """
        response = json.loads(self.kubectl("get", "nodes", "--output=json", "--request-timeout=5s"))
        return tuple(_node_status(item) for item in response["items"])

    def wait_until_ready(self, step: ProgressStep) -> None:
        """Wait until the API server is ready.

        Raises:
            EsqError: it is not ready within `READY_TIMEOUT_SECONDS`.
        """
        step.set_status("waiting for the API server")
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while (
            reason := wait_for_apiserver.unavailability_reason(
                self._host, wait_for_apiserver.READY_PATH, self._paths.pki, "admin"
            )
        ) is not None:
            if time.monotonic() > deadline:
                raise start_timeout_error(self._paths.name, "the API server is not ready", reason)
            time.sleep(POLL_INTERVAL_SECONDS)


def start_timeout_error(cluster: str, problem: str, detail: str = "") -> EsqError:
    """Return the error for a cluster that does not become ready in time.

    Args:
        cluster: name of the cluster.
        problem: what is not ready.
        detail: the last response; empty for none.
    """
    return EsqError(
        f"{problem} after {READY_TIMEOUT_SECONDS:.0f} s",
        location=f"cluster {cluster}",
        remedy=f"Read `esq cluster logs --name {cluster}`, then run the same command again.",
        detail=detail,
    )


def _node_status(node: dict[str, Any]) -> NodeStatus:
    conditions = {condition["type"]: condition for condition in node["status"].get("conditions", [])}
    ready_condition = conditions.get("Ready", {})
    ready = ready_condition.get("status") == "True"
    return NodeStatus(
        name=node["metadata"]["name"],
        zone=node["metadata"]["labels"].get(ZONE_LABEL, ""),
        ready=ready,
        reason="" if ready else ready_condition.get("message", "no condition yet"),
    )
