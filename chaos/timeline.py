"""Timeline of state changes in the cluster during an experiment, sampled from its API server.

It explains the duration of an outage: node marked lost, leader changed, address updated, replicas ready.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from infra.kubernetes import API_ERRORS, api_client, get_json
from infra.measurements.poller import PollingThread
from infra.measurements.run_values import NOT_MEASURED, RunValue
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chaos.target import Target

SAMPLE_TIMEOUT_SECONDS = 5.0
"""A sample is taken once: an unavailable API server is what it records."""
API = "control plane"
UNAVAILABLE, AVAILABLE = "unavailable", "available"
SERVICE_PREFIX = "service "
MAX_READING_AGE_SECONDS = 3 * SAMPLE_TIMEOUT_SECONDS
"""Without a reading for longer than this at its end, a run does not know its state."""


class Event(BaseModel):
    """A state change.

    Attributes:
        at: time of the sample that shows it (seconds, monotonic clock of the host).
        subject: subject of the event, for example `node zone-b`, `postgres leader`, `service contacts-api`.
        before: previous state.
        after: new state.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    subject: str
    before: str
    after: str


class Timeline(PollingThread):
    """Context manager that records state changes.

    Args:
        sample: returns the current state by subject.

    Attributes:
        events: the state changes, in order.
        last_reading_at: time of the last sample in which the control plane responded; None if it never did.
    """

    def __init__(self, sample: Callable[[], Mapping[str, str]]) -> None:
        super().__init__("timeline", self._record_sample)
        self.events: list[Event] = []
        self.last_reading_at: float | None = None
        self._sample = sample
        self._states: dict[str, str] = {}

    def record(self, states: Mapping[str, str], at: float) -> None:
        """Record the changes since the previous sample.

        Args:
            states: current state by subject.
            at: time of the sample (seconds, monotonic clock).
        """
        for subject, after in states.items():
            before = self._states.get(subject)
            if before is not None and before != after:
                self.events.append(Event(at=at, subject=subject, before=before, after=after))
        self._states |= states
        if states.get(API) != UNAVAILABLE:
            self.last_reading_at = at

    def _record_sample(self) -> bool:
        self.record(self._sample(), time.monotonic())
        return True


_CORE, _APPS = "/api/v1", "/apis/apps/v1"
_LEADER_PATH = f"{_CORE}/namespaces/{DATA_NAMESPACE}/endpoints/postgres"
_WORKLOAD_PATHS = {
    "": f"{_APPS}/namespaces/{DATA_NAMESPACE}/statefulsets",
    SERVICE_PREFIX: f"{_APPS}/namespaces/{SERVICES_NAMESPACE}/deployments",
}


def cluster_sampler(target: Target) -> Callable[[], Mapping[str, str]]:
    """Return a function that samples nodes, the Postgres leader and the replicas of every workload."""
    api = api_client(target.kubeconfig, timeout_seconds=SAMPLE_TIMEOUT_SECONDS, retry_seconds=0)

    def read_states() -> dict[str, str]:
        states = {API: AVAILABLE}
        for node in get_json(api, f"{_CORE}/nodes")["items"]:
            states[f"node {node['metadata']['name']}"] = "ready" if _ready(node) else "lost"
        states |= _postgres_leader(get_json(api, _LEADER_PATH))
        for prefix, path in _WORKLOAD_PATHS.items():
            for workload in get_json(api, path)["items"]:
                replicas = f"{workload['status'].get('readyReplicas', 0)}/{workload['spec']['replicas']}"
                states[f"{prefix}{workload['metadata']['name']}"] = replicas
        return states

    def sample() -> Mapping[str, str]:
        try:
            return read_states()
        except API_ERRORS:
            return {API: UNAVAILABLE}

    return sample


def _ready(node: Mapping[str, Any]) -> bool:
    conditions = {
        condition["type"]: condition["status"] for condition in node["status"].get("conditions", [])
    }
    return conditions.get("Ready") == "True"


def _postgres_leader(endpoints: Mapping[str, Any]) -> dict[str, str]:
    addresses = [
        address["ip"]
        for subset in endpoints.get("subsets") or []
        for address in subset.get("addresses") or []
    ]
    return {
        "postgres leader": (endpoints["metadata"].get("annotations") or {}).get("leader", "none"),
        "postgres address": ", ".join(addresses) or "none",
    }


def time_to_full_redundancy(
    events: Sequence[Event], since: float, last_reading_at: float | None, until: float
) -> RunValue:
    """Return the seconds until every service had all its replicas again, as far as the timeline shows.

    A time in which the control plane did not respond counts as one without full redundancy.

    Args:
        events: state changes, in order.
        since: start time (seconds, monotonic clock).
        last_reading_at: time of the last reading; None if there was none.
        until: end of the run.

    Returns:
        Seconds; 0 if no replica was missing, a lower bound if a service did not recover, not measured if
        the state is unknown.
    """
    if last_reading_at is None or last_reading_at < max(since, until - MAX_READING_AGE_SECONDS):
        return NOT_MEASURED
    degraded: set[str] = set()
    recovered_at = since
    for event in events:
        if event.subject != API and not event.subject.startswith(SERVICE_PREFIX):
            continue
        if _is_degraded(event.after):
            degraded.add(event.subject)
        elif _is_degraded(event.before):
            degraded.discard(event.subject)
            recovered_at = max(recovered_at, event.at)
    seconds = (until if degraded else recovered_at) - since
    return RunValue(value=round(seconds, 2), censored=bool(degraded))


def _is_degraded(state: str) -> bool:
    """Return whether the control plane or a service is in a degraded state."""
    if "/" not in state:
        return state == UNAVAILABLE
    ready, desired = state.split("/")
    return int(ready) < int(desired)
