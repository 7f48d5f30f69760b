"""The observability layer: metrics, rules, pages, logs and traces of an environment.

| part | program | replicas |
|---|---|---|
| metrics, and beside each the evaluation of rules | VictoriaMetrics, vmalert | 2, each scrapes everything |
| pages | Alertmanager | 2 |
| logs and spans | VictoriaLogs | 1 |
| receiver of spans (OTLP over HTTP) | `span_receiver.py` | 1 |
| logs of the containers | vlagent | 1 per node |
| state of Kubernetes objects | `object_state.py` | 1 |
| gateway: the one address of all of them for people and for the toolkit | vmauth | 2 |

Every port serves TLS and requires a password.
"""

from __future__ import annotations

from typing import Final

METRICS: Final = "victoria-metrics"
LOGS: Final = "victoria-logs"
TRACES: Final = "traces"
ALERTMANAGER: Final = "alertmanager"
GATEWAY: Final = "gateway"
LOG_AGENT: Final = "log-agent"
OBJECT_STATE: Final = "object-state"
"""Names of the workloads and of their Services."""

METRICS_PORT = 8428
RULES_PORT = 8880
LOGS_PORT = 9428
TRACES_PORT = 4318
ALERTMANAGER_PORT = 9093
GOSSIP_PORT = 9094
GATEWAY_PORT = 8427
OBJECT_STATE_PORT = 8082

TOKEN_SECRET = "gateway-client"  # noqa: S105 - the name of a Secret
"""Secret with the token of the gateway."""
TOKEN_KEY = "token"  # noqa: S105 - a key in it
TOKEN_HEADER = "X-Esq-Authorization"  # noqa: S105 - the name of a header
"""Header with `Bearer TOKEN`: the API server's proxy removes `Authorization`."""
PATHS = {METRICS: "/metrics", "rules": "/rules", LOGS: "/logs", ALERTMANAGER: "/alerts"}
"""First part of the path by what the gateway passes requests on to."""
SPAN_STREAM = '{store="spans"}'
"""Stream of the spans in VictoriaLogs (LogsQL)."""
