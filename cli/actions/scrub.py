"""Scrub of an environment: find damaged data in every replica, and repair it from the others."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from cli.actions.deployment_target import open_deployed_target
from infra import data_scrub
from infra.components.component_health import PodUnreachableError
from infra.components.pod_client import KubernetesPodClient
from infra.kubernetes import api_client
from infra.names import DATA_NAMESPACE
from infra.scrub_record import new_record, read_scrub, save_scrub

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.environment import Environment
    from infra.components.component_health import PodClient
    from infra.components.scrub import Damage
    from infra.progress import ProgressReporter, ProgressStep
    from infra.scrub_record import ScrubRecord


class ReplicaScrub(BaseModel):
    """Result of a replica.

    Attributes:
        pod: its pod.
        damages: the damage that was found.
        repaired: whether the replica has no damage any more.
        problem: reason why the data could not be read or repaired; empty if it could.
    """

    model_config = ConfigDict(frozen=True)

    pod: str
    damages: tuple[Damage, ...] = ()
    repaired: bool = False
    problem: str = ""

    @property
    def intact(self) -> bool:
        """Whether all data was read, and the replica has no damage any more."""
        return not self.problem and (self.repaired or not self.damages)


def scrub(environment: Environment, progress: ProgressReporter, *, repair: bool) -> list[ReplicaScrub]:
    """Scrub one replica after the other, so that the load on the disks is limited; then repair.

    The result is kept in the cluster, for `esq status` and triage.

    Args:
        environment: the environment.
        progress: reports a step per replica.
        repair: whether damaged replicas are repaired.

    Returns:
        The result of every replica.

    Raises:
        PodUnreachableError: the cluster is unreachable.
    """
    target = open_deployed_target(environment, progress)
    pods = KubernetesPodClient(
        target.kubeconfig, DATA_NAMESPACE, timeout_seconds=data_scrub.SCRUB_TIMEOUT_SECONDS
    )
    results: dict[str, ReplicaScrub] = {}
    for pod in data_scrub.replicas():
        with progress.step(pod) as step:
            results[pod] = scrub_replica(pods, pod, step)
            step.set_result(describe(results[pod]))
    for pod in [pod for pod, result in results.items() if repair and result.damages and not result.intact]:
        with progress.step(f"repair of {pod}") as step:
            results[pod] = repair_replica(pods, results[pod], list(results.values()), step)
            step.set_result(describe(results[pod]))
    with closing(api_client(target.kubeconfig)) as api:
        save_scrub(api, to_record(list(results.values()), read_scrub(api)))
    return list(results.values())


def to_record(results: Sequence[ReplicaScrub], before: ScrubRecord | None) -> ScrubRecord:
    """Return the record of a scrub that ends now: what is not intact.

    Args:
        results: results of all replicas.
        before: the record before.
    """
    read = [result for result in results if result.damages or not result.problem]
    return new_record(
        {result.pod: () if result.repaired else result.damages for result in read},
        unread=[f"{result.pod}: {result.problem}" for result in results if result.problem],
        replicas=len(results),
        before=before.damage if before else (),
    )


def scrub_replica(pods: PodClient, pod: str, step: ProgressStep) -> ReplicaScrub:
    """Scrub a replica.

    Args:
        pods: access to the pods.
        pod: its pod.
        step: shows the progress.

    Returns:
        The result; a replica that cannot be read is one.
    """
    step.set_status("reading all data")
    try:
        damages = tuple(data_scrub.scrub(pods, pod))
    except PodUnreachableError as error:
        return ReplicaScrub(pod=pod, problem=error.message)
    repaired = bool(damages) and all(damage.repaired for damage in damages)
    return ReplicaScrub(pod=pod, damages=damages, repaired=repaired)


def repair_replica(
    pods: PodClient, result: ReplicaScrub, results: Sequence[ReplicaScrub], step: ProgressStep
) -> ReplicaScrub:
    """Repair a damaged replica, unless another one of its component is damaged or could not be read.

    The repair deletes data of the replica, which the other one may need.

    Args:
        pods: access to the pods.
        result: result of the replica.
        results: results of all replicas.
        step: shows the progress.

    Returns:
        The new result.
    """
    component = result.pod.rpartition("-")[0]
    others = [
        other.pod
        for other in results
        if other.pod != result.pod and other.pod.rpartition("-")[0] == component and not other.intact
    ]
    if others:
        problem = f"not repaired, since {', '.join(others)} may be damaged as well"
        return result.model_copy(update={"problem": problem})
    remaining = [damage for damage in result.damages if not damage.repaired]
    try:
        data_scrub.repair(pods, result.pod, remaining, step)
    except PodUnreachableError as error:
        return result.model_copy(update={"problem": error.message})
    return result.model_copy(update={"repaired": True})


def describe(result: ReplicaScrub) -> str:
    """Return the result of a replica as a few words."""
    if result.problem:
        return result.problem
    if not result.damages:
        return "no damage"
    text = f"{len(result.damages)} damaged place{'s' if len(result.damages) > 1 else ''}"
    return f"{text}, repaired" if result.repaired else text
