"""The observability layer: metrics, rules, pages, logs and traces of an environment.

| workload | programs | replicas |
|---|---|---|
| `victoria-metrics` | VictoriaMetrics, which scrapes; vmalert, which evaluates rules | 2, each complete |
| `alertmanager` | Alertmanager; the gateway (vmauth) of the layer; a store of what was sent | 2 |
| `victoria-logs` | VictoriaLogs: logs and spans | 1 |
| `traces` | the receiver of spans (OTLP over HTTP) | 1 |
| `object-state` | the exporter of the state of Kubernetes objects | 1 |
| `log-agent` | vlagent | 1 per node |

What pages has two replicas in different zones that need nothing of each other: a lost zone loses no page.
Logs and spans have one; after the loss of its zone they are missing until the zone is back.
Ports serve TLS and require the password of the layer; people and the toolkit use the gateway with its token.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from infra.certificate_authority import KeyPair  # noqa: TC001 - pydantic reads the annotations when the class is created
from infra.observability_settings import ObservabilitySettings  # noqa: TC001 - same
from infra.sizes import ObservabilitySizes  # noqa: TC001 - same

METRICS: Final = "victoria-metrics"
LOGS: Final = "victoria-logs"
TRACES: Final = "traces"
ALERTMANAGER: Final = "alertmanager"
GATEWAY: Final = "gateway"
LOG_AGENT: Final = "log-agent"
OBJECT_STATE: Final = "object-state"
"""Names of the workloads and of their Services."""
RULES: Final = "rules"
"""The rules and their state, as vmalert serves them."""
REPLICAS = 2
"""Replicas of what pages."""

METRICS_PORT = 8428
RULES_PORT = 8880
LOGS_PORT = 9428
LOG_AGENT_PORT = 9429
TRACES_PORT = 4318
ALERTMANAGER_PORT = 9093
GOSSIP_PORT = 9094
ALERT_RECEIVER_PORT = 9095
"""Loopback of the pods with Alertmanager."""
GATEWAY_PORT = 8427
OBJECT_STATE_PORT = 8082

ACCOUNT = "esq"
"""Account of all servers of the layer."""
FILES = "/etc/esq/observability"
"""Folder of every pod with the certificate and the password of the layer."""
CONFIGURATION = "/etc/esq/configuration"
"""Folder with the configuration of a part."""
TOKEN_SECRET = "gateway-client"  # noqa: S105 - the name of a Secret
"""Secret with the token of the gateway."""
TOKEN_KEY = "token"  # noqa: S105 - a key in it
TOKEN_HEADER = "X-Esq-Authorization"  # noqa: S105 - the name of a header
"""Header with `Bearer TOKEN`: the API server's proxy removes `Authorization`."""
PATHS: dict[str, str] = {METRICS: "/metrics", RULES: "/rules", LOGS: "/logs", ALERTMANAGER: "/alerts"}
"""First part of the path at the gateway, by what it passes requests on to."""
SPAN_STREAM = '{store="spans"}'
"""Stream of the spans in VictoriaLogs (LogsQL)."""


class ObservabilityArgs(BaseModel):
    """Inputs of all parts of the layer.

    Attributes:
        environment: name of the environment.
        namespace: namespace of all parts but the log agents.
        node_namespace: namespace of the log agents, which mount folders of the nodes.
        image: image of the layer's programs.
        services_image: image of the services, whose libraries decode spans.
        storage_class: StorageClass of the volumes.
        zones: zones of the replicas.
        sizes: resources of each part.
        settings: what the environment chooses.
        password: password of all servers of the layer.
        token: token of the gateway.
        certificate: certificate of all servers of the layer.
        object_store_certificate: client certificate that the admin API of the object store requires.
        ca_bundle: PEM of the trusted certificate authorities.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str
    namespace: str
    node_namespace: str
    image: str
    services_image: str
    storage_class: str
    zones: tuple[str, ...]
    sizes: ObservabilitySizes
    settings: ObservabilitySettings
    password: str = Field(repr=False)
    token: str = Field(repr=False)
    certificate: KeyPair
    object_store_certificate: KeyPair
    ca_bundle: str
