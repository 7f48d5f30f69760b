"""How the data layer is: every replica of everything, asked at the same time, in the things' own words."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from infra.components.kafka import status as of_kafka
from infra.components.objects import status as of_objects
from infra.components.postgres import status as of_postgres
from infra.components.redis import status as of_redis

if TYPE_CHECKING:
    from infra.components.report import Pods, Report

_READERS = (of_postgres.read, of_redis.read, of_kafka.read, of_objects.read)


def data_layer(pods: Pods) -> tuple[Report, ...]:
    """Ask all four things through `pods` and return their reports.

    Args:
        pods: of the data layer's namespace, e.g. `infra.components.pods.KubernetesPods`.

    Raises:
        NoAnswerError: the cluster itself does not answer.
    """
    with ThreadPoolExecutor(len(_READERS)) as pool:
        return tuple(pool.map(lambda read: read(pods), _READERS))
