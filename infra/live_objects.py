"""The objects of the layers as they are in a cluster, as a digest: it differs as soon as one of them does.

Compared is everything that somebody declares: labels, annotations and all fields beside the status. Whatever
the engine would find at a refresh changes the digest: a changed field, a missing object, a further one.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from infra.kubernetes import api_client, get_json
from infra.names import PART_OF_LABEL, PRODUCT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from kubernetes import client

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
LIST_PATHS = {
    "apps/v1:DaemonSet": "/apis/apps/v1/daemonsets",
    "apps/v1:Deployment": "/apis/apps/v1/deployments",
    "apps/v1:StatefulSet": "/apis/apps/v1/statefulsets",
    "batch/v1:CronJob": "/apis/batch/v1/cronjobs",
    "batch/v1:Job": "/apis/batch/v1/jobs",
    "core/v1:ConfigMap": "/api/v1/configmaps",
    "core/v1:Endpoints": "/api/v1/endpoints",
    "core/v1:Namespace": "/api/v1/namespaces",
    "core/v1:Secret": "/api/v1/secrets",
    "core/v1:Service": "/api/v1/services",
    "core/v1:ServiceAccount": "/api/v1/serviceaccounts",
    "policy/v1:PodDisruptionBudget": "/apis/policy/v1/poddisruptionbudgets",
    "rbac.authorization.k8s.io/v1:ClusterRole": f"{_RBAC}/clusterroles",
    "rbac.authorization.k8s.io/v1:ClusterRoleBinding": f"{_RBAC}/clusterrolebindings",
    "rbac.authorization.k8s.io/v1:Role": f"{_RBAC}/roles",
    "rbac.authorization.k8s.io/v1:RoleBinding": f"{_RBAC}/rolebindings",
    "scheduling.k8s.io/v1:PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses",
}
"""Path by kind of the declared objects. A test compares it with the layers."""
_CONCURRENT_REQUESTS = 8
"""Fewer than the connections that a client keeps."""
FIELD_MANAGER_PREFIX = "pulumi-kubernetes"
"""Of the engine's objects. Others have our label too: Endpoints that Patroni writes, Jobs of CronJobs."""
_COMPARED_METADATA = ("namespace", "name", "labels", "annotations", "finalizers", "ownerReferences")


def objects_digest(kubeconfig: Path) -> str:
    """Return the digest of all objects of the layers.

    Args:
        kubeconfig: kubeconfig of the cluster.

    Raises:
        ApiException: the API server rejects a request.
        UnreachableError: the cluster is unreachable.
    """
    with closing(api_client(kubeconfig)) as api, ThreadPoolExecutor(_CONCURRENT_REQUESTS) as pool:
        lists = pool.map(lambda path: _list_objects(api, path), LIST_PATHS.values())
        objects = {
            kind: sorted(map(_fingerprint, items)) for kind, items in zip(LIST_PATHS, lists, strict=True)
        }
    return hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()


def _list_objects(api: client.ApiClient, path: str) -> Iterable[dict[str, Any]]:
    items = get_json(api, f"{path}?labelSelector={quote(f'{PART_OF_LABEL}={PRODUCT}')}")["items"]
    return [item for item in items if _is_managed(item)]


def _is_managed(item: dict[str, Any]) -> bool:
    managers = item["metadata"].get("managedFields") or []
    return any(manager.get("manager", "").startswith(FIELD_MANAGER_PREFIX) for manager in managers)


def _fingerprint(item: dict[str, Any]) -> str:
    """Return the declared part of an object as text, values of Secrets too: it is hashed, never stored."""
    declared = {key: value for key, value in item.items() if key not in {"metadata", "status"}}
    declared["metadata"] = {key: item["metadata"].get(key) for key in _COMPARED_METADATA}
    return json.dumps(declared, sort_keys=True)
