"""Record of the last scrub of an environment, kept in its cluster: all machines see it.

A scheduled scrub whose result nobody sees finds damage for nobody. What single replicas left is noted on the
machine that scrubbed them, see `infra.components.scrub`.
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
    from collections.abc import Sequence

NAME = "esq-scrub"
"""Name of the ConfigMap."""
MAX_AGE = dt.timedelta(days=8)
"""A weekly scrub, and a day for one that was late."""
_KEY = "record"
_CONFLICT = 409


class ScrubRecord(BaseModel):
    """Result of the last scrub.

    Attributes:
        at: end of the scrub (UTC).
        replicas: number of replicas.
        damage: damage that was found and not repaired, one line each.
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
        return ScrubRecord.model_validate_json(config_map.data[_KEY]) if config_map else None
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


def new_record(damage: Sequence[str], unread: Sequence[str], replicas: int) -> ScrubRecord:
    """Return the record of a scrub that ends now.

    Args:
        damage: damage that remains, one line each.
        unread: replicas that could not be read or repaired, with the reason.
        replicas: number of replicas.
    """
    now = dt.datetime.now(dt.UTC)
    return ScrubRecord(at=now, replicas=replicas, damage=tuple(damage), unread=tuple(unread))
