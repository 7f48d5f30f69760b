"""What every pod of the platform has in common: how it is confined, spread, sized and protected.

Each rule stands once, as a function that returns the part of a manifest; components put the parts together.
A test walks over everything a layer registers and refuses a pod that left a part out.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.policy import v1 as policy

from infra.components import pod
from infra.components import prober as answers
from infra.names import NAME_LABEL, PART_OF_LABEL, PRODUCT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from infra.defaults import Size

ZONE_LABEL = "topology.kubernetes.io/zone"
DIGEST_ANNOTATION = "esq/configuration"
"""On a pod: a digest of the settings and secrets it was started with; it changes, the pod is replaced."""

CRITICAL = "esq-data"
"""Priority of what holds truth: the scheduler evicts anything else first."""
NORMAL = "esq-services"
"""Priority of the application."""

_LOST_NODE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def labels(name: str) -> dict[str, str]:
    """Return the labels that select the pods of `name`."""
    return {NAME_LABEL: name, PART_OF_LABEL: PRODUCT}


def metadata(name: str, namespace: str, of: str = "") -> meta.ObjectMetaArgs:
    """Return the metadata of the object `name` that belongs to the workload `of`, or is it."""
    return meta.ObjectMetaArgs(name=name, namespace=namespace, labels=labels(of or name))


def confined_pod(uid: int) -> core.PodSecurityContextArgs:
    """Return the pod half of the `restricted` pod security standard, with volumes owned by `uid`'s group."""
    return core.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=uid,
        run_as_group=uid,
        fs_group=uid,
        # Without this a kubelet walks over all files of a volume at every start.
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
    )


def confined_container() -> core.SecurityContextArgs:
    """Return the container half of the `restricted` standard, and a root file system that is read-only."""
    return core.SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=core.CapabilitiesArgs(drop=["ALL"]),
    )


def one_per_zone(name: str) -> list[core.TopologySpreadConstraintArgs]:
    """Return the rule that zones never differ by more than one replica of `name`.

    Tainted nodes are left out of the count: else a replacement stays Pending for as long as a zone is lost.
    """
    return [
        core.TopologySpreadConstraintArgs(
            max_skew=1,
            topology_key=ZONE_LABEL,
            when_unsatisfiable="DoNotSchedule",
            node_taints_policy="Honor",
            label_selector=meta.LabelSelectorArgs(match_labels=labels(name)),
        )
    ]


def never_together(name: str) -> core.AffinityArgs:
    """Return the rule that no node ever runs two replicas of `name`."""
    term = core.PodAffinityTermArgs(
        topology_key="kubernetes.io/hostname",
        label_selector=meta.LabelSelectorArgs(match_labels=labels(name)),
    )
    return core.AffinityArgs(
        pod_anti_affinity=core.PodAntiAffinityArgs(required_during_scheduling_ignored_during_execution=[term])
    )


def leave_lost_nodes(seconds: int = 5) -> list[core.TolerationArgs]:
    """Return tolerations of a pod that can run anywhere: it leaves a lost node after `seconds`."""
    return [
        core.TolerationArgs(key=key, operator="Exists", effect="NoExecute", toleration_seconds=seconds)
        for key in _LOST_NODE
    ]


def stay_on_lost_nodes() -> list[core.TolerationArgs]:
    """Return tolerations of a pod whose volume is bound to its zone.

    Evicting it gains nothing, for it can run nowhere else, and costs a restart when the zone was only cut
    off. Its own cluster has moved the work to the other zones long before.
    """
    return [core.TolerationArgs(key=key, operator="Exists", effect="NoExecute") for key in _LOST_NODE]


def resources(size: Size) -> core.ResourceRequirementsArgs:
    """Return requests and the memory limit of `size`.

    There is no CPU limit: the kernel would stop a process in the middle of a heartbeat though cores stand
    idle.
    """
    return core.ResourceRequirementsArgs(
        requests={"cpu": size.cpu, "memory": size.memory}, limits={"memory": size.memory_limit}
    )


def prober(
    image: str,
    folder: str,
    size: Size,
    env: Sequence[core.EnvVarArgs],
    mounts: Sequence[core.VolumeMountArgs],
) -> core.ContainerArgs:
    """Return the container that answers a pod's probes.

    Args:
        image: any with Python.
        folder: where `prober.py` lies, and `probe.py` with the questions.
        size: of the container.
        env: what the questions need.
        mounts: with that folder.
    """
    return core.ContainerArgs(
        name="prober",
        image=image,
        command=["python3", f"{folder}/prober.py", "probe"],
        env=env,
        resources=resources(size),
        security_context=confined_container(),
        liveness_probe=pod.ask_http(answers.SELF, answers.PORT, period=30, failures=2),
        readiness_probe=pod.ask_port(answers.PORT, period=30, failures=2),
        volume_mounts=mounts,
    )


def claim(name: str, storage_class: str, size: Size) -> core.PersistentVolumeClaimArgs:
    """Return the template of a volume called `name`, one per replica."""
    return core.PersistentVolumeClaimArgs(
        metadata=meta.ObjectMetaArgs(name=name),
        spec=core.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage_class,
            resources=core.VolumeResourceRequirementsArgs(requests={"storage": size.storage}),
        ),
    )


def disruption_budget(name: str, namespace: str, opts: pulumi.ResourceOptions) -> policy.PodDisruptionBudget:
    """Allow one pod of `name` at a time to be evicted by a drain: with three replicas a quorum stays."""
    return policy.PodDisruptionBudget(
        name,
        metadata=metadata(name, namespace),
        spec=policy.PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            selector=meta.LabelSelectorArgs(match_labels=labels(name)),
            # A pod that is not ready protects nothing by staying.
            unhealthy_pod_eviction_policy="AlwaysAllow",
        ),
        opts=opts,
    )


def digest(*contents: Mapping[str, str]) -> str:
    """Return a short digest of configuration: equal contents, equal digest."""
    sha = hashlib.sha256()
    for content in contents:
        for key, value in sorted(content.items()):
            sha.update(f"{key}={len(value)}:{value};".encode())
    return sha.hexdigest()[:16]
