"""Processes of the application: the table of the layer that runs them and the status that counts them."""

from __future__ import annotations

from dataclasses import dataclass

from services.contracts.endpoints import PUBLIC_ENDPOINTS, PublicEndpoint


@dataclass(frozen=True)
class Process:
    """A process of a service.

    Attributes:
        service: service whose database role, Kafka user and certificate it uses.
        process_type: type of the process, e.g. `worker`.
        kafka: whether it uses Kafka.
        redis: whether it uses Redis.
    """

    service: str
    process_type: str
    kafka: bool = False
    redis: bool = False

    @property
    def name(self) -> str:
        """Name of its Deployment."""
        return f"{self.service}-{self.process_type}"

    @property
    def argv(self) -> tuple[str, ...]:
        """Arguments of `python3` that start it."""
        return ("-m", f"services.{self.service}", self.process_type)

    @property
    def public_endpoint(self) -> PublicEndpoint | None:
        """Its public endpoint at the edge; None if it has none."""
        return next((endpoint for endpoint in PUBLIC_ENDPOINTS if endpoint.service == self.name), None)


PROCESSES = (
    Process("contacts", "api"),
    Process("campaigns", "api", kafka=True),
    Process("campaigns", "planner", kafka=True),
    Process("campaigns", "worker", kafka=True),
    Process("whatsapp", "api", kafka=True, redis=True),
    Process("whatsapp", "worker", kafka=True, redis=True),
    Process("whatsapp", "dispatcher", kafka=True, redis=True),
    Process("whatsapp", "webhooks"),
    Process("simulator", "api"),
)

KAFKA_SERVICES = tuple(sorted({process.service for process in PROCESSES if process.kafka}))
"""Services with an account of Kafka."""
REDIS_SERVICES = tuple(sorted({process.service for process in PROCESSES if process.redis}))
"""Services with an account of Redis."""

REPLICAS = 2
"""Replicas of each process: in two zones, so that losing a zone causes no outage."""
