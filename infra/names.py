"""Names shared by several layers, and the DNS names of each certificate."""

from __future__ import annotations

from services.contracts.endpoints import PUBLIC_ENDPOINTS

DATA_NAMESPACE = "esq-data"
SERVICES_NAMESPACE = "esq-services"
OBSERVABILITY_NAMESPACE = "esq-observability"
NODE_AGENTS_NAMESPACE = "esq-node-agents"
"""Namespace of pods that mount folders of their node, which the others must not."""
CLUSTER_DOMAIN = "cluster.local"

NAME_LABEL = "app.kubernetes.io/name"
"""Label of an object: the workload to which it belongs."""
PART_OF_LABEL = "app.kubernetes.io/part-of"
ENVIRONMENT_LABEL = "esq/environment"
"""Label of the namespaces: the environment that a cluster holds."""
DIGEST_ANNOTATION = "esq/configuration"
"""Annotation with the digest of settings and secrets: of a pod, which a new digest replaces, or of a Secret
whose users load a change."""
ZONE_LABEL = "topology.kubernetes.io/zone"
"""Label of a node: its failure domain."""
DNS_HEALTH_PORT_LABEL = "esq/dns-health-port"
"""Label of a node whose DNS server is no pod: the port of its health check."""
PRODUCT = "esq"
"""Value of `PART_OF_LABEL` on all objects of the platform."""

SERVICES = ("campaigns", "contacts", "simulator", "whatsapp")
"""Services of the application: each has its own database role and certificate."""

LOAD_IMAGE = "loadtests"
"""Image of the load generators; only `esq load run --in-cluster` requires it."""

STATEFUL_REPLICAS = 3
"""Replicas of each stateful component: one per zone. Two of three are the quorum of all four components."""

QUORUM = STATEFUL_REPLICAS // 2 + 1

MEDIA_BUCKET = "media"
BACKUP_BUCKET = "backups"
"""Bucket in the environment's own object store: the first repository of its backups."""
OFFSITE_STORE = "offsite-store"
"""Service of the second repository, outside of the environment."""
DATABASE = "esq"
ADMIN_ROLE = "esq_admin"
"""Owns the database and may use the schemas of all services; logs in only inside a Postgres pod."""
BACKUP_ROLE = "esq_backup"
"""May start and stop a backup; logs in only inside a Postgres pod."""
VERIFIER_ROLE = "esq_verifier"
"""Reads the tables for checksums."""
PROBE_ROLE = "esq_probe"
"""Writes to the table of the experiments' traffic, and may do nothing else."""
REPLICATION_ROLE = "replicator"
REWIND_ROLE = "esq_rewind"
"""Reads the files that a former primary copies before it follows the new one."""
KAFKA_ADMIN = "esq"


def login_role(role: str, generation: str) -> str:
    """Return the Postgres role with which a generation of credentials logs in as `role`.

    Args:
        role: role that owns or may read something.
        generation: generation of the credentials.
    """
    return f"{role}_{generation}"


def service_dns(service: str, namespace: str) -> str:
    """Return the full DNS name of a Service.

    Args:
        service: name of the Service.
        namespace: its namespace.
    """
    return f"{service}.{namespace}.svc.{CLUSTER_DOMAIN}"


def pod_dns(pod: str, service: str, namespace: str) -> str:
    """Return the full DNS name of a pod of a StatefulSet.

    Args:
        pod: name of the pod.
        service: name of its headless Service.
        namespace: its namespace.
    """
    return f"{pod}.{service_dns(service, namespace)}"


def _dns_aliases(service: str, namespace: str) -> tuple[str, ...]:
    full = service_dns(service, namespace)
    return (service, f"{service}.{namespace}", f"{service}.{namespace}.svc", full, f"*.{full}")


def _data_layer_names(*services: str) -> tuple[str, ...]:
    return ("localhost", *(name for service in services for name in _dns_aliases(service, DATA_NAMESPACE)))


def _service_names(service: str) -> tuple[str, ...]:
    public = [endpoint.service for endpoint in PUBLIC_ENDPOINTS if endpoint.service.startswith(f"{service}-")]
    aliases = (alias for name in public or [service] for alias in _dns_aliases(name, SERVICES_NAMESPACE))
    return ("localhost", service, *aliases)


def _layer_names(*services: str) -> tuple[str, ...]:
    names = (name for service in services for name in _dns_aliases(service, OBSERVABILITY_NAMESPACE))
    return ("localhost", *names)


OBSERVABILITY = "observability"
"""Certificate of all servers of the observability layer."""
BACKUP_CLIENT = "backup"
"""Certificate that the backup server beside each Postgres requires."""
OBJECT_STORE_ADMIN = "object-store-admin"
"""Certificate that the admin API of the object store requires."""
CLIENT_CERTIFICATES = frozenset({BACKUP_CLIENT, OBJECT_STORE_ADMIN})
"""Certificates that authenticate a client; all others are those of servers."""

CERTIFICATE_NAMES: dict[str, tuple[str, ...]] = {
    "postgres": _data_layer_names("postgres", "postgres-replica", "postgres-pods", "postgres-restored"),
    "redis": _data_layer_names("redis"),
    "kafka": _data_layer_names("kafka"),
    "object-store": _data_layer_names("object-store", "object-store-nodes"),
    **{service: _service_names(service) for service in SERVICES},
    OBSERVABILITY: _layer_names(
        *("victoria-metrics", "victoria-logs", "traces", "alertmanager", "gateway", "object-state")
    ),
    # Clients have no names that a server would verify.
    **dict.fromkeys(sorted(CLIENT_CERTIFICATES), ()),
}
"""Subject alternative names by certificate."""
