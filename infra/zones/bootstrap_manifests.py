"""Objects that are applied when a cluster starts: RBAC of its own components, and the storage class."""

from __future__ import annotations

from typing import Any

import yaml

from infra.zones.control_plane import BUSYBOX_IMAGE, PROVISIONER, STORAGE_NAMESPACE

STORAGE_CLASS = "esq-local"
FIELD_MANAGER = "esq-zones"

_READ_VERBS = ["get", "list", "watch"]
_ALL_VERBS = [*_READ_VERBS, "create", "update", "patch", "delete"]
_VOLUME_PATH = '"$VOL_DIR"'
_HELPER_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "helper"},
    "spec": {
        "containers": [
            {
                "name": "helper",
                "image": BUSYBOX_IMAGE,
                "imagePullPolicy": "Never",
                "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
            }
        ],
        "tolerations": [{"operator": "Exists"}],
    },
}


def manifests() -> str:
    """Return the objects as one YAML stream."""
    return yaml.safe_dump_all([_namespace(), _scripts(), _storage_class(), *_rbac()], sort_keys=False)


def _namespace() -> dict[str, Any]:
    # Helper pods create folders on the node, which requires a host path.
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": STORAGE_NAMESPACE, "labels": labels},
    }


def _scripts() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "volumes", "namespace": STORAGE_NAMESPACE},
        "data": {
            # The pod's fsGroup decides who may write; the folder itself allows everybody.
            "setup": f"#!/bin/sh\nset -eu\nmkdir -m 0777 -p {_VOLUME_PATH}\n",
            "teardown": f"#!/bin/sh\nset -eu\nrm -rf {_VOLUME_PATH}\n",
            "helperPod.yaml": yaml.safe_dump(_HELPER_POD),
        },
    }


def _storage_class() -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }


def _rbac() -> list[dict[str, Any]]:
    dns = [
        _rule([""], ["endpoints", "services", "pods", "namespaces"], ["list", "watch"]),
        _rule(["discovery.k8s.io"], ["endpointslices"], ["list", "watch"]),
    ]
    volumes = [
        _rule([""], ["nodes", "persistentvolumeclaims", "configmaps", "pods", "pods/log"], _READ_VERBS),
        _rule([""], ["persistentvolumes"], _ALL_VERBS),
        _rule([""], ["events"], ["create", "patch"]),
        _rule(["storage.k8s.io"], ["storageclasses"], _READ_VERBS),
    ]
    helpers = [
        _rule([""], ["pods"], _ALL_VERBS),
        _rule([""], ["endpoints"], _ALL_VERBS),
        _rule(["coordination.k8s.io"], ["leases"], _ALL_VERBS),
    ]
    return [
        _role("ClusterRole", "esq:dns", dns),
        _binding("ClusterRoleBinding", "esq:dns", "ClusterRole", "esq:dns", "esq:dns"),
        _role("ClusterRole", "esq:volumes", volumes),
        _binding("ClusterRoleBinding", "esq:volumes", "ClusterRole", "esq:volumes", "esq:volumes"),
        _role("Role", "esq:volumes", helpers, STORAGE_NAMESPACE),
        _binding("RoleBinding", "esq:volumes", "Role", "esq:volumes", "esq:volumes", STORAGE_NAMESPACE),
        _binding(
            "ClusterRoleBinding",
            "esq:kubelet-client",
            "ClusterRole",
            "system:kubelet-api-admin",
            "kube-apiserver-kubelet-client",
        ),
    ]


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


def _metadata(name: str, namespace: str) -> dict[str, str]:
    return {"name": name, "namespace": namespace} if namespace else {"name": name}


def _role(kind: str, name: str, rules: list[dict[str, Any]], namespace: str = "") -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": _metadata(name, namespace),
        "rules": rules,
    }


def _binding(  # noqa: PLR0913, PLR0917 - the fields of a binding
    kind: str, name: str, role_kind: str, role: str, user: str, namespace: str = ""
) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": _metadata(name, namespace),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
