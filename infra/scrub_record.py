"""Record of the last scrub of an environment, kept in its cluster: all machines see it.

A scheduled scrub whose result nobody sees finds damage for nobody.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.kubernetes import get_or_none, to_esq_error
from infra.names import DATA_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from infra.components.scrub import Damage

NAME = "esq-scrub"
"""Name of the ConfigMap."""
MAX_AGE = dt.timedelta(days=8)
"""A weekly scrub, and a day for one that was late."""
MAX_PLACES = 20
"""Places of a replica that are kept: a broken disk has thousands, and a ConfigMap holds 1 MiB."""
_KEY = "record"
_CONFLICT = 409


class ScrubRecord(BaseModel):
    """Result of the last scrub.

    Attributes:
        at: end of the last scrub of all replicas (UTC).
        replicas: number of replicas.
        damage: damage that was found and not repaired, one line each that starts with the pod.
        unread: replicas whose data could not be read or repaired, with the reason.
    """

    model_config = ConfigDict(frozen=True)

    at: dt.datetime
    replicas: int
    damage: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def problems(self) -> list[str]:
        """What is not intact, one line each."""
        return [*(f"damaged data: {location}" for location in self.damage), *self.unread]

    def is_old(self, now: dt.datetime) -> bool:
        """Return whether the next scrub is overdue."""
        return now - self.at > MAX_AGE

    def describe(self, now: dt.datetime) -> str:
        """Return time and result in a few words."""
        count = len(self.problems)
        result = f"{count} problem{'s' if count > 1 else ''}" if count else "no damage"
        late = f"; one a week is due, {MAX_AGE.days} days at most" if self.is_old(now) else ""
        return f"{self.at:%Y-%m-%d %H:%MZ}, {self.replicas} replicas: {result}{late}"


def read_scrub(api: client.ApiClient) -> ScrubRecord | None:
    """Return the record of the last scrub; None if there was none.

    Args:
        api: client of the cluster.

    Raises:
        EsqError: the API server does not answer.
    """
    read = client.CoreV1Api(api).read_namespaced_config_map
    config_map = get_or_none(lambda: read(NAME, DATA_NAMESPACE))
    try:
        return ScrubRecord.model_validate_json((config_map.data or {}).get(_KEY, "")) if config_map else None
    except ValidationError:  # of another version: the next scrub writes its own
        return None


def save_scrub(api: client.ApiClient, record: ScrubRecord) -> None:
    """Replace the record of the last scrub.

    Args:
        api: client of the cluster.
        record: the record.

    Raises:
        EsqError: the API server rejects the request or does not answer.
    """
    core = client.CoreV1Api(api)
    body = {"metadata": {"name": NAME}, "data": {_KEY: record.model_dump_json()}}
    try:
        core.create_namespaced_config_map(DATA_NAMESPACE, body)
    except ApiException as error:
        if error.status != _CONFLICT:
            raise to_esq_error(error) from error
        get_or_none(lambda: core.patch_namespaced_config_map(NAME, DATA_NAMESPACE, body))


def record_replica(api: client.ApiClient, pod: str, damages: Sequence[Damage]) -> None:
    """Replace the damage of one replica in the record of the last scrub.

    Args:
        api: client of the cluster.
        pod: pod of the replica.
        damages: its damage; none means that it is intact.

    Raises:
        EsqError: the API server rejects the request or does not answer.
    """
    record = read_scrub(api) or new_record({}, unread=[], replicas=1)
    damage = replace_damage(record.damage, {pod: damages})
    save_scrub(api, record.model_copy(update={"damage": damage}))


def new_record(
    damages: Mapping[str, Sequence[Damage]], unread: Sequence[str], replicas: int, before: Iterable[str] = ()
) -> ScrubRecord:
    """Return the record of a scrub that ends now.

    Args:
        damages: damage of each replica that was read, by pod.
        unread: replicas that could not be read or repaired, with the reason.
        replicas: number of replicas.
        before: damage in the record before: that of replicas that were not read remains.
    """
    damage = replace_damage(before, damages)
    return ScrubRecord(at=dt.datetime.now(dt.UTC), replicas=replicas, damage=damage, unread=tuple(unread))


def replace_damage(before: Iterable[str], damages: Mapping[str, Sequence[Damage]]) -> tuple[str, ...]:
    """Return the lines of a record with the damage that remains in some replicas now.

    Args:
        before: the lines so far.
        damages: damage of these replicas, by pod.
    """
    lines = [line for line in before if line.partition(": ")[0] not in damages]
    for pod in damages:
        left = [str(damage) for damage in damages[pod] if not damage.repaired]
        lines += left[:MAX_PLACES]
        lines += [f"{pod}: {len(left) - MAX_PLACES} more places"] if len(left) > MAX_PLACES else []
    return tuple(lines)
