"""Where the services listen: one table for the services themselves, their manifests and the edge."""

from __future__ import annotations

from dataclasses import dataclass

HTTP_PORT = 8443
"""Inside a pod every process serves HTTPS here: its API if it has one, and health and metrics always."""


@dataclass(frozen=True)
class Face:
    """An HTTP face of the platform that the edge offers to the outside.

    Attributes:
        service: name of the Kubernetes Service, e.g. `contacts-api`.
        node_port: the port of it on every node that runs a pod of it; the edge checks each zone there.
        prefixes: first path segments that the edge sends to it.
    """

    service: str
    node_port: int
    prefixes: tuple[str, ...]


FACES = (
    Face("contacts-api", 30081, ("/contacts",)),
    Face("campaigns-api", 30082, ("/campaigns",)),
    Face("whatsapp-api", 30083, ("/connections", "/messages", "/webhooks", "/queues")),
    Face("simulator-api", 30084, ("/ledger",)),
)

HEALTH_PATH = "/health/ready"
"""Answers 200 when the process can do its work, 503 with reasons when not."""

LIVE_PATH = "/health/live"
"""Answers 200 while the process itself is sound, whatever has become of its dependencies."""
