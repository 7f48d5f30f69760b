"""Health of the data layer: all components are queried concurrently, each through its own status command."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from infra.components.kafka import status as kafka_status
from infra.components.object_store import status as object_store_status
from infra.components.postgres import status as postgres_status
from infra.components.redis import status as redis_status

if TYPE_CHECKING:
    from infra.components.component_health import ComponentHealth, PodClient

_COLLECTORS = (
    postgres_status.collect,
    redis_status.collect,
    kafka_status.collect,
    object_store_status.collect,
)


def collect(pods: PodClient) -> tuple[ComponentHealth, ...]:
    """Return the health of all four components.

    Args:
        pods: pods of the data layer's namespace, e.g. `infra.components.pod_client.KubernetesPodClient`.

    Raises:
        PodUnreachableError: the cluster is unreachable.
    """
    with ThreadPoolExecutor(len(_COLLECTORS)) as pool:
        return tuple(pool.map(lambda collector: collector(pods), _COLLECTORS))
