"""What service accounts of the layer may read of the cluster; they may change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.rbac import v1 as rbac

from infra.components import observability, workload

if TYPE_CHECKING:
    import pulumi

    from infra.components.observability import ObservabilityArgs

_LIST = ["get", "list"]
_WATCH = [*_LIST, "watch"]
_API_GROUP = "rbac.authorization.k8s.io"


def declare(args: ObservabilityArgs, opts: pulumi.ResourceOptions) -> None:
    """Declare the rights: discovery of targets, lists of objects, metadata of the pods on a node.

    Args:
        args: inputs of the layer.
        opts: options of the resources.
    """
    discovery = [
        _rule(_WATCH, resources=["nodes", "pods", "services", "endpoints"]),
        _rule(_WATCH, groups=["discovery.k8s.io"], resources=["endpointslices"]),
        _rule(["get"], resources=["nodes/metrics"]),
        rbac.PolicyRuleArgs(verbs=["get"], non_resource_urls=["/metrics"]),
    ]
    objects = [
        _rule(_LIST, resources=["nodes", "pods"]),
        _rule(_LIST, groups=["apps"], resources=["deployments", "statefulsets", "daemonsets"]),
        _rule(_LIST, groups=["batch"], resources=["jobs", "cronjobs"]),
        _rule(["get"], resources=["nodes/stats"]),
    ]
    pods = [_rule(_WATCH, resources=["nodes", "pods", "namespaces"])]
    _grant(observability.METRICS, args.namespace, discovery, opts)
    _grant(observability.OBJECT_STATE, args.namespace, objects, opts)
    _grant(observability.LOG_AGENT, args.node_namespace, pods, opts)


def _rule(verbs: list[str], *, resources: list[str], groups: list[str] | None = None) -> rbac.PolicyRuleArgs:
    return rbac.PolicyRuleArgs(api_groups=groups or [""], resources=resources, verbs=verbs)


def _grant(
    account: str, namespace: str, rules: list[rbac.PolicyRuleArgs], opts: pulumi.ResourceOptions
) -> None:
    name = f"{namespace}-{account}"
    metadata = meta.ObjectMetaArgs(name=name, labels=workload.labels(account))
    rbac.ClusterRole(name, metadata=metadata, rules=rules, opts=opts)
    rbac.ClusterRoleBinding(
        name,
        metadata=metadata,
        subjects=[rbac.SubjectArgs(kind="ServiceAccount", name=account, namespace=namespace)],
        role_ref=rbac.RoleRefArgs(api_group=_API_GROUP, kind="ClusterRole", name=name),
        opts=opts,
    )
