"""Names that more than one layer must agree on, and the DNS names each certificate is issued for."""

from __future__ import annotations

from services.contracts.ports import FACES

DATA_NAMESPACE = "esq-data"
SERVICES_NAMESPACE = "esq-services"
CLUSTER_DOMAIN = "cluster.local"

NAME_LABEL = "app.kubernetes.io/name"
"""On an object: the workload that it belongs to, or is."""
PART_OF_LABEL = "app.kubernetes.io/part-of"
PRODUCT = "esq"
"""Value of `PART_OF_LABEL` on all that is ours."""

SERVICES = ("campaigns", "contacts", "simulator", "whatsapp")
"""The application's services: each has a database role, a Kafka user and a certificate of its own."""

STATEFUL_REPLICAS = 3
"""Replicas of each stateful thing: one per zone. Two of three are the quorum of all four."""

MEDIA_BUCKET = "media"
BACKUP_BUCKET = "backups"
"""In the environment's own object store: the first repository of its backups."""
VAULT = "vault"
"""Service by which pods reach the second one, which stands outside of the environment."""
DATABASE = "esq"
ADMIN_ROLE = "esq_admin"
KAFKA_ADMIN = "esq"


def service_dns(service: str, namespace: str) -> str:
    """Return the full DNS name of a Service."""
    return f"{service}.{namespace}.svc.{CLUSTER_DOMAIN}"


def pod_dns(pod: str, service: str, namespace: str) -> str:
    """Return the full DNS name of a StatefulSet's pod behind its headless Service."""
    return f"{pod}.{service_dns(service, namespace)}"


def _all_forms(service: str, namespace: str) -> tuple[str, ...]:
    full = service_dns(service, namespace)
    return (service, f"{service}.{namespace}", f"{service}.{namespace}.svc", full, f"*.{full}")


def _data(*services: str) -> tuple[str, ...]:
    return ("localhost", *(name for service in services for name in _all_forms(service, DATA_NAMESPACE)))


def _application(service: str) -> tuple[str, ...]:
    faces = [face.service for face in FACES if face.service.startswith(f"{service}-")]
    forms = (name for face in faces or [service] for name in _all_forms(face, SERVICES_NAMESPACE))
    return ("localhost", service, *forms)


CERTIFICATE_NAMES: dict[str, tuple[str, ...]] = {
    "postgres": _data("postgres", "postgres-replica", "postgres-pods", "postgres-restored"),
    "redis": _data("redis"),
    "kafka": _data("kafka"),
    "objects": _data("objects"),
    # Shown to the backup servers beside each Postgres, which obey nobody else.
    "backup": _data("backup"),
    **{service: _application(service) for service in SERVICES},
}
"""Subject alternative names by certificate."""
