"""Actions that find the damage in the data of a pod, and replace the data from the other replicas."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from chaoslib.exceptions import ActivityFailed

from chaos.context import current
from infra import data_scrub
from infra.components.pod_client import KubernetesPodClient
from infra.kubernetes import api_client
from infra.names import DATA_NAMESPACE
from infra.scrub_record import record_replica

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.components.scrub import Damage

__all__ = ["find_damage", "repair_damage"]


def find_damage(pod: str) -> list[str]:
    """Read all data of a pod and require that damage is found.

    Args:
        pod: name of a pod, or a role, for example `postgres-standby`.

    Returns:
        The damage.

    Raises:
        ActivityFailed: no damage was found.
    """
    name = current().target.resolve_pod(pod).pod
    damages = _find(_pods(), name)
    _record(name, damages)
    return [str(damage) for damage in damages]


def repair_damage(pod: str) -> str:
    """Replace the damaged data of a pod from the other replicas, unless the store has done so by itself.

    Args:
        pod: name of a pod, or a role, for example `postgres-standby`.

    Returns:
        The name of the pod.

    Raises:
        PodUnreachableError: the data could not be read, or the pod is not repaired.
    """
    name, pods = current().target.resolve_pod(pod).pod, _pods()
    damages = [damage for damage in data_scrub.scrub(pods, name) if not damage.repaired]
    if damages:
        data_scrub.repair(pods, name, damages, current().step)
    _record(name, ())
    current().annotate(f"{name} repaired", is_injection=False)
    return name


def _find(pods: KubernetesPodClient, pod: str) -> Sequence[Damage]:
    current().step.set_status(f"reading all data of {pod}")
    damages = data_scrub.scrub(pods, pod)
    if not damages:
        raise ActivityFailed(f"expected damage in the data of {pod}, found none")
    return damages


def _record(pod: str, damages: Sequence[Damage]) -> None:
    with closing(api_client(current().target.kubeconfig)) as api:
        record_replica(api, pod, damages)


def _pods() -> KubernetesPodClient:
    return KubernetesPodClient(
        current().target.kubeconfig, DATA_NAMESPACE, timeout_seconds=data_scrub.SCRUB_TIMEOUT_SECONDS
    )
