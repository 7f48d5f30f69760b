"""The cluster's API server, asked through kubectl as the administrator."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from infra.errors import EsqError
from infra.subprocesses import run
from infra.zones import wait
from infra.zones.nodes import ZONE_LABEL
from infra.zones.status import NodeStatus

if TYPE_CHECKING:
    from infra.progress import ProgressStep
    from infra.zones.control_plane import Tools
    from infra.zones.layout import Layout

READY_SECONDS = 120.0
"""For the API server, and again for all the rest; each takes a few on an idle machine."""
POLL_SECONDS = 0.1


class Api:
    """Asks the API server of one cluster.

    Args:
        host: address of the API server.
        layout: files of the cluster.
        tools: where kubectl is.
    """

    def __init__(self, host: str, layout: Layout, tools: Tools) -> None:
        self._host = host
        self._layout = layout
        self._tools = tools

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed.

        Raises:
            CommandFailedError: it failed, or the API server did not answer.
        """
        return run(
            [str(self._tools.path("kubectl")), f"--kubeconfig={self._layout.kubeconfig}", *words],
            stdin=stdin,
            timeout=30.0,
            env={"HOME": str(self._layout.run), "PATH": os.environ.get("PATH", "")},
        )

    def apply(self, manifests: str, manager: str) -> None:
        """Apply YAML objects on the server's side; what others set of them gives way."""
        words = ("--server-side", "--force-conflicts", f"--field-manager={manager}", "--filename=-")
        self.kubectl("apply", *words, stdin=manifests)

    def nodes(self) -> tuple[NodeStatus, ...]:
        """Return all nodes.

        Raises:
            CommandFailedError: the API server does not answer.
        """
        answer = json.loads(self.kubectl("get", "nodes", "--output=json", "--request-timeout=5s"))
        return tuple(_node(item) for item in answer["items"])

    def await_ready(self, step: ProgressStep) -> None:
        """Wait until the API server is ready.

        Raises:
            EsqError: it is not after `READY_SECONDS`.
        """
        step.set_status("the API server")
        deadline = time.monotonic() + READY_SECONDS
        while (reason := wait.refusal(self._host, wait.READY, self._layout.pki, "admin")) is not None:
            if time.monotonic() > deadline:
                raise late(self._layout.name, "the API server is not ready", reason)
            time.sleep(POLL_SECONDS)


def late(cluster: str, what: str, detail: str = "") -> EsqError:
    """Return the error of a cluster that was started and is not there in time."""
    return EsqError(
        f"{what} after {READY_SECONDS:.0f} s",
        location=f"cluster {cluster}",
        remedy=f"Read `esq cluster logs --name {cluster}`, then run the same command again.",
        detail=detail,
    )


def _node(item: dict[str, Any]) -> NodeStatus:
    conditions = {each["type"]: each for each in item["status"].get("conditions", [])}
    condition = conditions.get("Ready", {})
    ready = condition.get("status") == "True"
    return NodeStatus(
        name=item["metadata"]["name"],
        zone=item["metadata"]["labels"].get(ZONE_LABEL, ""),
        ready=ready,
        reason="" if ready else condition.get("message", "no condition yet"),
    )
