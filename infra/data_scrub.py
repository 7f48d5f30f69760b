"""Scrub of the data layer: find damaged data in a replica, and replace it from the other replicas.

Postgres, Kafka and the object store verify checksums. Redis has none in its log, and all of its data can be
rebuilt. etcd has one replica here; a deploy creates what it holds again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.components.component_health import PodUnreachableError
from infra.components.kafka import scrub as kafka
from infra.components.kafka import status as kafka_status
from infra.components.object_store import scrub as object_store
from infra.components.object_store import status as object_store_status
from infra.components.postgres import scrub as postgres
from infra.components.postgres import status as postgres_status
from infra.names import STATEFUL_REPLICAS
from infra.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infra.components.component_health import ComponentHealth, PodClient
    from infra.components.scrub import Damage
    from infra.progress import ProgressStep

SCRUB_TIMEOUT_SECONDS = 600.0
"""Timeout of reading all data of a replica."""
REPAIR_TIMEOUT_SECONDS = 300.0
OTHERS_TIMEOUT_SECONDS = 60.0
"""Timeout of waiting for the other replicas: a repair deletes data that only they have then."""
_POLL_INTERVAL_SECONDS = 5.0


@dataclass(frozen=True)
class _Component:
    scrub: Callable[[PodClient, str], Sequence[Damage]]
    repair: Callable[[PodClient, str, Sequence[Damage]], None]
    health: Callable[[PodClient], ComponentHealth]


COMPONENTS = {
    kafka.COMPONENT: _Component(kafka.scrub, kafka.repair, kafka_status.collect),
    object_store.COMPONENT: _Component(object_store.scrub, object_store.repair, object_store_status.collect),
    postgres.COMPONENT: _Component(postgres.scrub, postgres.repair, postgres_status.collect),
}


def replicas() -> list[str]:
    """Return the pods of all replicas, also of missing ones: their data is not known to be intact."""
    return [f"{component}-{number}" for component in COMPONENTS for number in range(STATEFUL_REPLICAS)]


def scrub(pods: PodClient, pod: str) -> Sequence[Damage]:
    """Read all data of a replica.

    Args:
        pods: access to the pods, with a timeout for the whole scrub.
        pod: pod of the replica.

    Returns:
        Its damage.

    Raises:
        PodUnreachableError: the data could not be read.
    """
    return _component(pod).scrub(pods, pod)


def repair(pods: PodClient, pod: str, damages: Sequence[Damage], step: ProgressStep) -> None:
    """Replace the damaged data of a replica from the others, and wait until it is intact and in sync.

    Args:
        pods: access to the pods, with a timeout for a whole scrub.
        pod: pod of the replica.
        damages: its damage.
        step: shows the progress.

    Raises:
        PodUnreachableError: another replica is not healthy, the repair could not be started, or the replica
            is still not intact.
    """
    component = _component(pod)

    def find_healthy_others() -> bool | None:
        step.set_status("waiting for the other replicas")
        others = [replica for replica in component.health(pods).replicas if replica.name != pod]
        return (len(others) == STATEFUL_REPLICAS - 1 and all(other.healthy for other in others)) or None

    if not wait_for(find_healthy_others, step, OTHERS_TIMEOUT_SECONDS):
        raise PodUnreachableError(f"{pod} is not repaired: the other replicas are not all healthy")
    component.repair(pods, pod, damages)

    def find_intact_replica() -> bool | None:
        step.set_status(f"{pod} copies its data")
        replicas = {replica.name: replica for replica in component.health(pods).replicas}
        return True if replicas[pod].healthy and not component.scrub(pods, pod) else None

    intact = wait_for(
        find_intact_replica, step, REPAIR_TIMEOUT_SECONDS, interval_seconds=_POLL_INTERVAL_SECONDS
    )
    if intact is None:
        raise PodUnreachableError(f"{pod} is not repaired after {REPAIR_TIMEOUT_SECONDS:g} s")


def _component(pod: str) -> _Component:
    return COMPONENTS[pod.rpartition("-")[0]]
