"""Requirements of an existing cluster: version, zones, storage class, rights. All problems at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubernetes import client

from infra.errors import Problem
from infra.kubernetes import api_client, get_or_none
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE, ZONE_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.environment_definition import EnvironmentDefinition

MINIMUM_VERSION = (1, 27)
"""First version with `matchLabelKeys` of topology spread and `unhealthyPodEvictionPolicy` by default."""
BINDING_MODE = "WaitForFirstConsumer"
_PARALLEL_REVIEWS = 8
_CHANGE_VERBS = ("create", "get", "list", "watch", "patch", "delete")
_NAMESPACED = {
    "": ("services", "configmaps", "secrets", "serviceaccounts"),
    "apps": ("deployments", "statefulsets"),
    "batch": ("jobs", "cronjobs"),
    "policy": ("poddisruptionbudgets",),
    "rbac.authorization.k8s.io": ("roles", "rolebindings"),
}
_CLUSTER_WIDE = {
    "": ("namespaces",),
    "scheduling.k8s.io": ("priorityclasses",),
    "rbac.authorization.k8s.io": ("clusterroles", "clusterrolebindings"),
}


@dataclass(frozen=True)
class Right:
    """A right that a deploy needs; an empty namespace means the whole cluster."""

    verb: str
    group: str
    resource: str
    namespace: str = ""

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {kind}" + (f" in {self.namespace}" if self.namespace else "")


def required_rights() -> Iterator[Right]:
    """Yield the rights that a deploy and its status need."""
    for group, resources in _CLUSTER_WIDE.items():
        yield from (Right(verb, group, resource) for resource in resources for verb in _CHANGE_VERBS)
    for namespace in (DATA_NAMESPACE, SERVICES_NAMESPACE):
        for group, resources in _NAMESPACED.items():
            for resource in resources:
                yield from (Right(verb, group, resource, namespace) for verb in _CHANGE_VERBS)
        yield from (Right(verb, "", "pods", namespace) for verb in ("get", "list", "watch"))
        yield Right("create", "", "pods/exec", namespace)
    yield from (Right(verb, "", "nodes") for verb in ("get", "list"))
    # The lock of the environment.
    lease = ("coordination.k8s.io", "leases", "kube-system")
    yield from (Right(verb, *lease) for verb in ("get", "create", "update", "patch", "delete"))


def check(kubeconfig: Path, definition: EnvironmentDefinition) -> list[Problem]:
    """Return all problems that prevent a deploy.

    Args:
        kubeconfig: kubeconfig of the cluster.
        definition: definition of the environment.

    Raises:
        EsqError: the cluster is unreachable.
    """
    api = api_client(kubeconfig)
    return [
        *_version_problems(api),
        *_storage_class_problems(api, definition.storage_class),
        *_zone_problems(api, definition.zones),
        *_rights_problems(api),
    ]


def _version_problems(api: client.ApiClient) -> list[Problem]:
    code = get_or_none(client.VersionApi(api).get_code)
    version = (int(code.major), int("".join(filter(str.isdigit, code.minor))))
    if version >= MINIMUM_VERSION:
        return []
    required = ".".join(map(str, MINIMUM_VERSION))
    return [Problem(f"Kubernetes {code.git_version}", "cluster", f"Upgrade it to {required} or newer.")]


def _storage_class_problems(api: client.ApiClient, name: str) -> list[Problem]:
    storage = client.StorageV1Api(api)
    storage_class = get_or_none(lambda: storage.read_storage_class(name))
    if storage_class is None:
        listed = get_or_none(storage.list_storage_class)
        names = ", ".join(entry.metadata.name for entry in listed.items) or "none"
        remedy = f"Create it, or name another one. The cluster has: {names}."
        return [Problem(f"no StorageClass `{name}`", "storage_class", remedy)]
    if storage_class.volume_binding_mode != BINDING_MODE:
        message = f"StorageClass `{name}` binds volumes with {storage_class.volume_binding_mode}"
        remedy = (
            f"Use one with volumeBindingMode {BINDING_MODE}: it puts volumes into the zones of their pods."
        )
        return [Problem(message, "storage_class", remedy)]
    return []


def _zone_problems(api: client.ApiClient, zones: tuple[str, ...]) -> list[Problem]:
    nodes = get_or_none(lambda: client.CoreV1Api(api).list_node()).items
    present = {(node.metadata.labels or {}).get(ZONE_LABEL) for node in nodes if not node.spec.unschedulable}
    missing = [zone for zone in zones if zone not in present]
    if not missing:
        return []
    known = ", ".join(sorted(filter(None, present))) or "no zones"
    remedy = f"Add nodes with the label {ZONE_LABEL}, or correct `zones`. The nodes are in: {known}."
    return [Problem(f"no schedulable node in {', '.join(missing)}", "zones", remedy)]


def _rights_problems(api: client.ApiClient) -> list[Problem]:
    rights = list(required_rights())
    with ThreadPoolExecutor(_PARALLEL_REVIEWS) as pool:
        allowed = list(pool.map(lambda right: is_allowed(api, right), rights))
    denied = [str(right) for right, has_right in zip(rights, allowed, strict=True) if not has_right]
    if not denied:
        return []
    message = f"the user of the context may not {', '.join(denied)}"
    return [Problem(message, "cluster", "Grant these rights, or name a context with more rights.")]


def is_allowed(api: client.ApiClient, right: Right) -> bool:
    """Return whether the user of the kubeconfig has a right.

    Args:
        api: client of the cluster.
        right: the right.

    Raises:
        EsqError: the cluster is unreachable.
    """
    resource, _, subresource = right.resource.partition("/")
    attributes = client.V1ResourceAttributes(
        verb=right.verb,
        group=right.group,
        resource=resource,
        subresource=subresource or None,
        namespace=right.namespace or None,
    )
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    )
    reviews = client.AuthorizationV1Api(api)
    answer = get_or_none(lambda: reviews.create_self_subject_access_review(review))
    return bool(answer.status.allowed)
