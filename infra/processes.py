"""The application's processes: one table for the layer that runs them and the status that counts them."""

from __future__ import annotations

from dataclasses import dataclass

from services.contracts.ports import FACES, Face

_WITH_MAIN_MODULE = frozenset({"campaigns", "contacts"})
"""Services that are started by `python3 -m services.SERVICE PROCESS_TYPE`."""


@dataclass(frozen=True)
class Process:
    """A process of a service, in as many replicas as its deployment says.

    Attributes:
        service: whose database role, Kafka user and certificate it has.
        kind: name of its entry point, e.g. `worker`.
        kafka: whether it reads or writes topics.
        redis: whether it uses queues.
    """

    service: str
    kind: str
    kafka: bool = False
    redis: bool = False

    @property
    def name(self) -> str:
        """Name of its Deployment."""
        return f"{self.service}-{self.kind}"

    @property
    def argv(self) -> tuple[str, ...]:
        """Arguments of `python3` that start it."""
        if self.service in _WITH_MAIN_MODULE:
            return ("-m", f"services.{self.service}", self.kind)
        return ("-m", f"services.{self.service}.entrypoints.{self.kind}")

    @property
    def face(self) -> Face | None:
        """What the edge offers of it, if anything."""
        return next((face for face in FACES if face.service == self.name), None)


PROCESSES = (
    Process("contacts", "api"),
    Process("campaigns", "api", kafka=True),
    Process("campaigns", "planner", kafka=True),
    Process("campaigns", "worker", kafka=True),
    Process("whatsapp", "api", kafka=True, redis=True),
    Process("whatsapp", "worker", kafka=True, redis=True),
    Process("whatsapp", "dispatcher", kafka=True, redis=True),
    Process("whatsapp", "callbacks"),
    Process("simulator", "api"),
)

REPLICAS = 2
"""Of each process: in two zones, so that none is missed when a zone goes."""
