"""HTTP endpoints of the services: one table for the services, their manifests and the edge."""

from __future__ import annotations

from dataclasses import dataclass

HTTP_PORT = 8443
"""Every process serves HTTPS on this port of its pod: its API if it has one, health and metrics always."""


@dataclass(frozen=True)
class PublicEndpoint:
    """An API that the edge exposes.

    Attributes:
        service: name of the Kubernetes Service, e.g. `contacts-api`.
        node_port: port on every node that runs one of its pods; the edge checks each zone there.
        path_prefixes: first path segments that the edge routes to it.
    """

    service: str
    node_port: int
    path_prefixes: tuple[str, ...]


PUBLIC_ENDPOINTS = (
    PublicEndpoint("contacts-api", 30081, ("/contacts",)),
    PublicEndpoint("campaigns-api", 30082, ("/campaigns",)),
    PublicEndpoint("whatsapp-api", 30083, ("/connections", "/messages", "/webhooks", "/queues")),
    PublicEndpoint("simulator-api", 30084, ("/ledger",)),
)

READINESS_PATH = "/health/ready"
"""Returns 200 when the process can work, 503 with reasons when it cannot."""

DEAD_LETTERS_PATH = "/dead-letters"
"""Returns the open dead letters of the service; served by its worker, inside the cluster only."""

LIVENESS_PATH = "/health/live"
"""Returns 200 while the process itself is healthy, whatever the state of its dependencies."""

METRICS_PATH = "/metrics"
"""Returns the metrics of the process; their names are in `telemetry.py`."""
