"""Rules for every pod of the platform: security, spread over zones, resources, disruption budget.

Each rule is a function that returns a part of a manifest; components combine the parts. A test checks
everything that a layer registers and rejects a pod without one of them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.policy import v1 as policy

from infra.components import pod_spec
from infra.components.pod_programs import probe_server
from infra.names import NAME_LABEL, PART_OF_LABEL, PRODUCT, ZONE_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from infra.sizes import Size

DATA_PRIORITY_CLASS = "esq-data"
"""Priority class of the data layer: everything else is evicted first."""
SERVICES_PRIORITY_CLASS = "esq-services"
"""Priority class of the application."""

_LOST_NODE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def labels(name: str) -> dict[str, str]:
    """Return the labels that select the pods of a workload."""
    return {NAME_LABEL: name, PART_OF_LABEL: PRODUCT}


def metadata(name: str, namespace: str, workload: str = "") -> meta.ObjectMetaArgs:
    """Return the metadata of an object.

    Args:
        name: name of the object.
        namespace: its namespace.
        workload: workload to which it belongs; by default the object itself.
    """
    return meta.ObjectMetaArgs(name=name, namespace=namespace, labels=labels(workload or name))


def restricted_pod_security(uid: int) -> core.PodSecurityContextArgs:
    """Return the pod part of the `restricted` security standard, with volumes owned by the group `uid`."""
    return core.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=uid,
        run_as_group=uid,
        fs_group=uid,
        # Otherwise the kubelet visits all files of a volume at every start.
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
    )


def restricted_container_security() -> core.SecurityContextArgs:
    """Return the container part of the `restricted` standard, with a read-only root file system."""
    return core.SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=core.CapabilitiesArgs(drop=["ALL"]),
    )


def zone_topology_spread(name: str) -> list[core.TopologySpreadConstraintArgs]:
    """Return the constraint that zones differ by at most one replica of a workload.

    Tainted nodes are not counted: otherwise a replacement stays Pending while a zone is lost.
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


def zone_affinity(zones: Sequence[str]) -> core.AffinityArgs:
    """Return the rule that pods run in these zones only; a cluster may have more."""
    expression = core.NodeSelectorRequirementArgs(key=ZONE_LABEL, operator="In", values=list(zones))
    term = core.NodeSelectorTermArgs(match_expressions=[expression])
    return core.AffinityArgs(
        node_affinity=core.NodeAffinityArgs(
            required_during_scheduling_ignored_during_execution=core.NodeSelectorArgs(
                node_selector_terms=[term]
            )
        )
    )


def replica_affinity(name: str, zones: Sequence[str]) -> core.AffinityArgs:
    """Return the rules that replicas run in these zones, and no node runs two of them.

    Args:
        name: name of the workload.
        zones: zones of the environment.
    """
    affinity = zone_affinity(zones)
    term = core.PodAffinityTermArgs(
        topology_key="kubernetes.io/hostname",
        label_selector=meta.LabelSelectorArgs(match_labels=labels(name)),
    )
    affinity.pod_anti_affinity = core.PodAntiAffinityArgs(
        required_during_scheduling_ignored_during_execution=[term]
    )
    return affinity


def evict_from_lost_node(seconds: int = 5) -> list[core.TolerationArgs]:
    """Return tolerations of a pod that can run anywhere: it is evicted from a lost node after `seconds`."""
    return [
        core.TolerationArgs(key=key, operator="Exists", effect="NoExecute", toleration_seconds=seconds)
        for key in _LOST_NODE_TAINTS
    ]


def tolerate_lost_node() -> list[core.TolerationArgs]:
    """Return tolerations of a pod whose volume is bound to its zone: it is never evicted from a lost node.

    Eviction has no benefit, as the pod can run nowhere else, and costs a restart if the zone was only
    disconnected. Its own cluster has moved the work to the other zones long before.
    """
    return [core.TolerationArgs(key=key, operator="Exists", effect="NoExecute") for key in _LOST_NODE_TAINTS]


def resources(size: Size) -> core.ResourceRequirementsArgs:
    """Return requests and the memory limit of a size.

    There is no CPU limit: the kernel would throttle a process during a heartbeat although cores are idle.
    """
    return core.ResourceRequirementsArgs(
        requests={"cpu": size.cpu, "memory": size.memory}, limits={"memory": size.memory_limit}
    )


def probe_server_container(  # noqa: PLR0913, PLR0917 - the differences between the pods
    image: str,
    folder: str,
    certificate: Sequence[str],
    size: Size,
    env: Sequence[core.EnvVarArgs],
    mounts: Sequence[core.VolumeMountArgs],
) -> core.ContainerArgs:
    """Return the container that serves a pod's probes.

    Args:
        image: any image with Python.
        folder: folder with `probe_server.py`, and with `probe.py`, which contains the checks.
        certificate: path of the certificate, and of its key unless it is in the same file.
        size: resources of the container.
        env: variables for the checks.
        mounts: mounts, including that folder.
    """
    return core.ContainerArgs(
        name="probe-server",
        image=image,
        command=["python3", f"{folder}/probe_server.py", "probe", *certificate],
        env=env,
        resources=resources(size),
        security_context=restricted_container_security(),
        liveness_probe=pod_spec.https_probe(
            probe_server.SELF_CHECK_PATH, probe_server.PORT, period=30, failures=3
        ),
        readiness_probe=pod_spec.https_probe(
            probe_server.SELF_CHECK_PATH, probe_server.PORT, period=30, failures=2
        ),
        volume_mounts=mounts,
    )


def volume_claim_template(name: str, storage_class: str, size: Size) -> core.PersistentVolumeClaimArgs:
    """Return the template of the volume claim of each replica.

    Args:
        name: name of the volume.
        storage_class: name of the StorageClass.
        size: capacity.
    """
    return core.PersistentVolumeClaimArgs(
        metadata=meta.ObjectMetaArgs(name=name),
        spec=core.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage_class,
            resources=core.VolumeResourceRequirementsArgs(requests={"storage": size.storage}),
        ),
    )


def disruption_budget(name: str, namespace: str, opts: pulumi.ResourceOptions) -> policy.PodDisruptionBudget:
    """Allow a drain to evict one pod of a workload at a time: with three replicas a quorum remains.

    Args:
        name: name of the workload.
        namespace: its namespace.
        opts: options of the resource.

    Returns:
        The disruption budget.
    """
    return policy.PodDisruptionBudget(
        name,
        metadata=metadata(name, namespace),
        spec=policy.PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            selector=meta.LabelSelectorArgs(match_labels=labels(name)),
            # A pod that is not ready does not contribute to the quorum.
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
