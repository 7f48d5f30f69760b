"""Scrub of an environment: find damaged data in every replica, and repair it from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from cli.actions.deployment_target import open_deployed_target
from infra import data_scrub
from infra.components.component_health import PodUnreachableError
from infra.components.pod_client import KubernetesPodClient
from infra.components.scrub import Damage  # noqa: TC001 - pydantic reads the annotations
from infra.names import DATA_NAMESPACE

if TYPE_CHECKING:
    from cli.environment import Environment
    from infra.components.component_health import PodClient
    from infra.progress import ProgressReporter, ProgressStep


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
    """Scrub one replica after the other, so that the load on the disks is limited.

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
    results = []
    for name in [pod.name for component in data_scrub.COMPONENTS for pod in pods.list_pods(component)]:
        with progress.step(name) as step:
            results.append(scrub_replica(pods, name, step, repair=repair))
            step.set_result(describe(results[-1]))
    return results


def scrub_replica(pods: PodClient, pod: str, step: ProgressStep, *, repair: bool) -> ReplicaScrub:
    """Scrub a replica.

    Args:
        pods: access to the pods.
        pod: its pod.
        step: shows the progress.
        repair: whether it is repaired if it is damaged.

    Returns:
        The result; a replica that cannot be read is one.
    """
    damages: tuple[Damage, ...] = ()
    try:
        step.set_status("reading all data")
        damages = tuple(data_scrub.scrub(pods, pod))
        damaged = [damage for damage in damages if not damage.repaired]
        if damaged and repair:
            data_scrub.repair(pods, pod, damaged, step)
    except PodUnreachableError as error:
        return ReplicaScrub(pod=pod, damages=damages, problem=error.message)
    return ReplicaScrub(pod=pod, damages=damages, repaired=bool(damages) and (repair or not damaged))


def describe(result: ReplicaScrub) -> str:
    """Return the result of a replica as a few words."""
    if result.problem:
        return result.problem
    if not result.damages:
        return "no damage"
    text = f"{len(result.damages)} damaged place{'s' if len(result.damages) > 1 else ''}"
    return f"{text}, repaired" if result.repaired else text
