"""Traffic from inside of a cluster: a Job runs the clients of the services that only pods reach.

The Job is the only object that is created. It reads endpoints and credentials from its standard input, so
that none is stored. It ends with that input, which happens when this process exits for any reason, and is
deleted afterwards. The clients are those of `chaos.traffic`, sent as a zip file; their libraries are in the
image of the services.
"""

from __future__ import annotations

import base64
import io
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos.faults.kubectl import FAULT_LABEL, create, kubectl, new_fault_id, wait_for
from chaos.traffic.open_loop import START_DELAY_SECONDS
from chaos.traffic.process import Traffic
from infra.names import SERVICES_NAMESPACE
from infra.subprocesses import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from chaos.traffic.client import Endpoints

CLIENTS = ("kafka", "postgres", "redis")
"""Clients whose libraries are in the image of the services."""
MAX_SECONDS = 3600
_DELETE_AFTER_SECONDS = 60
_START_SECONDS = 60
_PROJECT = Path(__file__).resolve().parents[2]
_SOURCES = (
    *("chaos/__init__.py", "infra/__init__.py"),
    *(f"infra/measurements/{name}.py" for name in ("__init__", "run_values", "slo_evaluation")),
)
_PROGRAM = """\
import base64, os, runpy, sys
path = "/tmp/traffic.zip"
with open(path, "wb") as file:
    file.write(base64.b64decode(os.environ.pop("TRAFFIC_CODE")))
sys.path.insert(0, path)
runpy.run_module("chaos.traffic", run_name="__main__", alter_sys=True)
"""


class ClusterTraffic(Traffic):
    """Context manager that runs traffic clients in a Job.

    Args:
        clients: names of the clients, of `CLIENTS`.
        endpoints: endpoints and credentials.
        kubeconfig: kubeconfig of the cluster.
        image: image of the services.
    """

    def __init__(self, clients: Sequence[str], endpoints: Endpoints, kubeconfig: Path, image: str) -> None:
        super().__init__(clients, endpoints, ())
        self._kubeconfig = kubeconfig
        self._image = image
        self._name = f"esq-traffic-{new_fault_id()}"
        self._clock_offset = 0.0

    def __enter__(self) -> Self:
        """Start the Job, and return when every client has reached its service.

        Raises:
            CommandFailedError: the Job does not start.
            TrafficFailedError: a client did not reach its service.
        """
        ready = ("wait", f"job/{self._name}", "--for=jsonpath={.status.ready}=1")
        try:
            run(create(self._kubeconfig, [job(self._name, self._image)]))
            run(wait_for(self._kubeconfig, *ready, namespace=SERVICES_NAMESPACE, seconds=_START_SECONDS))
            super().__enter__()
        except BaseException:
            self._remove()
            raise
        # Exact up to the time that a message takes.
        self._clock_offset = time.monotonic() + START_DELAY_SECONDS - self.started_at
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the clients and delete the Job."""
        super().__exit__()
        self._remove()

    def result(self, *, reads_stored: bool = True) -> dict[str, Any]:
        """See `Traffic.result`; times are those of this machine."""
        result = super().result(reads_stored=reads_stored)
        for log in result["streams"].values():
            log["started_at"] += self._clock_offset
            log["acked"] = [
                (sequence, planned + self._clock_offset, now + self._clock_offset)
                for sequence, planned, now in log["acked"]
            ]
        return result

    def _program(self) -> Sequence[str]:
        attach = ("attach", f"job/{self._name}", "--stdin", "--quiet")
        # Without a limit for the request: it lasts as long as the traffic.
        return ("kubectl", f"--kubeconfig={self._kubeconfig}", f"--namespace={SERVICES_NAMESPACE}", *attach)

    def _remove(self) -> None:
        self._folder.cleanup()
        delete = ("delete", "job", self._name, "--ignore-not-found", "--wait=false")
        run(kubectl(self._kubeconfig, *delete, namespace=SERVICES_NAMESPACE), check=False)


def code() -> bytes:
    """Return a zip file with the modules that the clients import, except for those of the services."""
    buffer = io.BytesIO()
    clients = sorted(str(path.relative_to(_PROJECT)) for path in Path(__file__).parent.glob("*.py"))
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (*_SOURCES, *clients):
            archive.write(_PROJECT / name, name)
    return buffer.getvalue()


def _container(image: str) -> dict[str, Any]:
    return {
        "name": "traffic",
        "image": image,
        "command": ["python3", "-c", _PROGRAM],
        "env": [
            {"name": "TRAFFIC_CODE", "value": base64.b64encode(code()).decode()},
            # The platform has its own CA; loading all CAs for each connection takes 70 ms.
            {"name": "SSL_CERT_FILE", "value": "/dev/null"},
            {"name": "SSL_CERT_DIR", "value": "/dev/null"},
        ],
        "stdin": True,
        "stdinOnce": True,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
    }


def job(name: str, image: str) -> dict[str, Any]:
    """Return the manifest of the Job.

    It has not the label of the platform: a fault must not disturb its own measurement.

    Args:
        name: name of the Job.
        image: image of the services.
    """
    labels = {FAULT_LABEL: name.rpartition("-")[2]}
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(image)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": SERVICES_NAMESPACE, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": MAX_SECONDS,
            "ttlSecondsAfterFinished": _DELETE_AFTER_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
