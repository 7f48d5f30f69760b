"""Who noticed what and when: changes in the cluster while an experiment runs, as its API server tells them.

It explains where the seconds of a gap go: the node called lost, the lead that moves, the address that
follows, the replicas that come back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import ApiException
from pydantic import BaseModel, ConfigDict
from urllib3.exceptions import HTTPError

from infra.kubernetes import read
from infra.measurements.poller import PollingThread
from infra.names import DATA_NAMESPACE, SERVICES_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chaos.target import Target

ANSWER_SECONDS = 1.0
API = "control plane"
AWAY, THERE = "does not answer", "answers"
SERVICE = "service "


class Event(BaseModel):
    """Something that changed.

    Attributes:
        at: when it was seen (seconds, the machine's monotonic clock).
        what: e.g. `node zone-b`, `postgres lead`, `service contacts-api`.
        before: its state before.
        after: its state now.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    what: str
    before: str
    after: str


class Timeline(PollingThread):
    """Looks at the cluster as long as its block lasts."""

    def __init__(self, observe: Callable[[], Mapping[str, str]]) -> None:
        super().__init__("timeline", self._note)
        self.events: list[Event] = []
        self._observe = observe
        self._last: dict[str, str] = {}

    def take(self, seen: Mapping[str, str], at: float) -> None:
        """Note what differs from what was seen before."""
        for what, after in seen.items():
            before = self._last.get(what)
            if before is not None and before != after:
                self.events.append(Event(at=at, what=what, before=before, after=after))
        self._last |= seen

    def _note(self) -> bool:
        self.take(self._observe(), time.monotonic())
        return True


_CORE, _APPS = "/api/v1", "/apis/apps/v1"
_LEAD = f"{_CORE}/namespaces/{DATA_NAMESPACE}/endpoints/postgres"
_WORKLOADS = {
    "": f"{_APPS}/namespaces/{DATA_NAMESPACE}/statefulsets",
    SERVICE: f"{_APPS}/namespaces/{SERVICES_NAMESPACE}/deployments",
}


def observer(target: Target) -> Callable[[], Mapping[str, str]]:
    """Return what looks at nodes, the lead of Postgres, and the replicas of every workload."""
    api = target.core().api_client

    def look() -> dict[str, str]:
        seen = {API: THERE}
        for node in read(api, f"{_CORE}/nodes", ANSWER_SECONDS)["items"]:
            seen[f"node {node['metadata']['name']}"] = "ready" if _ready(node) else "lost"
        seen |= _lead(read(api, _LEAD, ANSWER_SECONDS))
        for kind, path in _WORKLOADS.items():
            for each in read(api, path, ANSWER_SECONDS)["items"]:
                replicas = f"{each['status'].get('readyReplicas', 0)}/{each['spec']['replicas']}"
                seen[f"{kind}{each['metadata']['name']}"] = replicas
        return seen

    def observe() -> Mapping[str, str]:
        try:
            return look()
        except (ApiException, HTTPError):
            return {API: AWAY}

    return observe


def _ready(node: Mapping[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def _lead(endpoints: Mapping[str, Any]) -> dict[str, str]:
    addresses = [
        each["ip"] for subset in endpoints.get("subsets") or [] for each in subset.get("addresses") or []
    ]
    return {
        "postgres lead": (endpoints["metadata"].get("annotations") or {}).get("leader", "nobody"),
        "postgres address": ", ".join(addresses) or "none",
    }


def redundancy_back(events: Sequence[Event], since: float) -> float:
    """Return the seconds from `since` until every service had all its replicas again; 0 if none lacked any.

    A service that never came back counts as infinite.
    """
    lacking: set[str] = set()
    back = since
    for event in events:
        if event.at < since or not event.what.startswith(SERVICE):
            continue
        ready, wanted = event.after.split("/")
        if int(ready) < int(wanted):
            lacking.add(event.what)
        elif event.what in lacking:
            lacking.discard(event.what)
            back = max(back, event.at)
    return float("inf") if lacking else back - since
