"""What an existing or embedded cluster is and holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubernetes import client

from infra.errors import EsqError
from infra.kubernetes import api_client, get_or_none
from infra.names import DATA_NAMESPACE, ENVIRONMENT_LABEL

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_SECONDS = 5.0
"""Also of all attempts together: every command waits for this answer."""
_SYSTEM_NAMESPACE = "kube-system"


def cluster_uid(kubeconfig: Path) -> str:
    """Return the UID of the namespace `kube-system`, which identifies a cluster for its whole life.

    Raises:
        EsqError: the cluster is unreachable or rejects the request.
    """
    namespace = _read_namespace(kubeconfig, _SYSTEM_NAMESPACE)
    if namespace is None:
        raise EsqError("the cluster has no namespace kube-system", location=str(kubeconfig))
    return str(namespace.metadata.uid)


def deployed_environment(kubeconfig: Path) -> str | None:
    """Return the name of the environment that a cluster holds; None when it holds none.

    Raises:
        EsqError: the cluster is unreachable or rejects the request.
    """
    namespace = _read_namespace(kubeconfig, DATA_NAMESPACE)
    return None if namespace is None else (namespace.metadata.labels or {}).get(ENVIRONMENT_LABEL, "unknown")


def _read_namespace(kubeconfig: Path, name: str) -> client.V1Namespace | None:
    api = client.CoreV1Api(
        api_client(kubeconfig, timeout_seconds=_TIMEOUT_SECONDS, retry_seconds=_TIMEOUT_SECONDS)
    )
    return get_or_none(lambda: api.read_namespace(name))
