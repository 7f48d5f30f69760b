"""Where experiments can run: which actions any Kubernetes cluster accepts, and what they need there.

One table has it for all actions; what an experiment needs follows from the providers of its actions. An
action that is not in the table needs the hosts of the embedded cluster. Actions of other extensions are not
checked.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from chaos import policy_probe
from infra.cluster_preflight import Right, is_allowed
from infra.errors import Problem
from infra.kubernetes import api_client
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chaos.target import Target

OWN_MODULES = "chaos.activities."
_PARALLEL_REVIEWS = 8


class ClusterKind(StrEnum):
    """Kind of the cluster of an environment."""

    EMBEDDED = "embedded"
    KUBERNETES = "kubernetes"


class Capability(StrEnum):
    """What an action needs of a Kubernetes cluster."""

    PODS = "delete pods"
    EXEC = "run programs in pods"
    HELPER_PODS = "run helper pods on nodes"
    EVICTION = "drain nodes"
    POLICIES = "isolate pods"
    SECRETS = "change Secrets"


KUBERNETES_ACTIONS: dict[str, tuple[Capability, ...]] = {
    "credentials.rotate_credentials": (),
    "nodes.cordon": (Capability.EVICTION,),
    "pods.delete_pod": (Capability.PODS,),
    "nodes.drain": (Capability.EVICTION,),
    "pods.freeze": (Capability.HELPER_PODS,),
    "pods.kill": (Capability.HELPER_PODS,),
    "pods.isolate": (Capability.POLICIES,),
    "pods.stress_cpu": (Capability.EXEC,),
    "pods.stress_memory": (Capability.EXEC,),
    "probes.system_is_healthy": (),
    "rollbacks.undo": (),
    "services.expire_certificate": (Capability.SECRETS, Capability.PODS),
    "services.flush_redis": (Capability.EXEC,),
    "services.use_invalid_password": (Capability.SECRETS, Capability.PODS),
    "zones.fail_dns": (Capability.POLICIES,),
    "zones.isolate_zone": (Capability.POLICIES,),
}
"""What our actions need of any Kubernetes cluster, by module and function."""

_NAMESPACES = (DATA_NAMESPACE, SERVICES_NAMESPACE)
_RIGHTS: dict[Capability, tuple[Right, ...]] = {
    Capability.PODS: tuple(Right("delete", "", "pods", namespace) for namespace in _NAMESPACES),
    Capability.EXEC: tuple(Right("create", "", "pods/exec", namespace) for namespace in _NAMESPACES),
    Capability.HELPER_PODS: (
        *(Right(verb, "", "namespaces") for verb in ("create", "list", "delete")),
        *(Right("create", "", kind) for kind in ("pods", "serviceaccounts")),
    ),
    Capability.EVICTION: (
        Right("patch", "", "nodes"),
        Right("list", "", "pods"),
        *(Right("create", "", "pods/eviction", namespace) for namespace in _NAMESPACES),
    ),
    Capability.POLICIES: tuple(
        right
        for namespace in _NAMESPACES
        for right in (
            *(
                Right(verb, "networking.k8s.io", "networkpolicies", namespace)
                for verb in ("create", "list", "delete", "deletecollection")
            ),
            Right("patch", "", "pods", namespace),
        )
    ),
    Capability.SECRETS: tuple(
        Right(verb, "", "secrets", SERVICES_NAMESPACE) for verb in ("get", "create", "patch", "delete")
    ),
}


def runs_on(document: Mapping[str, Any]) -> tuple[ClusterKind, ...]:
    """Return the kinds of cluster that an experiment can run on, as its actions tell."""
    if _embedded_only(document):
        return (ClusterKind.EMBEDDED,)
    return (ClusterKind.EMBEDDED, ClusterKind.KUBERNETES)


def find_problems(document: Mapping[str, Any], target: Target) -> list[Problem]:
    """Return what the cluster of a target lacks for an experiment; reads only, except for the policy probe.

    Args:
        document: the experiment.
        target: the target.

    Raises:
        EsqError: the cluster is unreachable.
    """
    if target.cluster is not None:
        return []
    location = target.environment
    if unsupported := _embedded_only(document):
        remedy = "Run it on `local`; see `esq chaos list` for others."
        return [
            Problem(f"`{action}` needs the hosts of the embedded cluster", location, remedy)
            for action in unsupported
        ]
    needed = {
        capability for action in _own_actions(document) for capability in KUBERNETES_ACTIONS.get(action, ())
    }
    problems = [*_program_problems(location), *_right_problems(target, needed)]
    if not problems and Capability.POLICIES in needed:
        problems += _policy_problems(target)
    return problems


def _program_problems(location: str) -> Iterator[Problem]:
    if shutil.which("kubectl") is None:
        yield Problem("kubectl is not on PATH", location, "Install kubectl: faults and their undo use it.")


def _right_problems(target: Target, needed: set[Capability]) -> Iterator[Problem]:
    api = api_client(target.kubeconfig)
    rights = {right: capability for capability in sorted(needed) for right in _RIGHTS[capability]}
    with ThreadPoolExecutor(_PARALLEL_REVIEWS) as pool:
        allowed = pool.map(lambda right: is_allowed(api, right), rights)
    denied = [right for right, has_right in zip(rights, allowed, strict=True) if not has_right]
    for capability in sorted({rights[right] for right in denied}):
        names = ", ".join(str(right) for right in denied if rights[right] == capability)
        message = f"the user of the context may not {names}, which is needed to {capability}"
        yield Problem(message, target.environment, "Grant these rights, or choose another experiment.")


def _policy_problems(target: Target) -> Iterator[Problem]:
    if problem := policy_probe.find_problem(api_client(target.kubeconfig), target.python_image()):
        remedy = "Choose another experiment, or a cluster with a network plugin that enforces them."
        yield Problem(problem, target.environment, remedy)


def _own_actions(document: Mapping[str, Any]) -> list[str]:
    """Return our activities by module and function, without duplicates."""
    hypothesis = document.get("steady-state-hypothesis") or {}
    activities = (
        *hypothesis.get("probes", ()),
        *document.get("method", ()),
        *document.get("rollbacks", ()),
    )
    providers = [activity["provider"] for activity in activities if "provider" in activity]
    own = [
        f"{provider['module'].removeprefix(OWN_MODULES)}.{provider['func']}"
        for provider in providers
        if str(provider.get("module", "")).startswith(OWN_MODULES)
    ]
    return list(dict.fromkeys(own))


def _embedded_only(document: Mapping[str, Any]) -> list[str]:
    return [action for action in _own_actions(document) if action not in KUBERNETES_ACTIONS]
