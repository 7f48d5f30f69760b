"""The graphs and their queries (MetricsQL). Every metric in them is scraped; a test checks it.

A query aggregates to a few series: a graph with a line per pod of every workload cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.contracts import telemetry

if TYPE_CHECKING:
    from services.contracts.telemetry import Metric

WINDOW = "1m"
"""Window of rates: twelve scrapes, and short enough to show an outage of 30 s."""


@dataclass(frozen=True)
class Query:
    """A query of a graph.

    Attributes:
        expression: MetricsQL.
        legend: name of its series; `{{label}}` is replaced by the label of a series.
    """

    expression: str
    legend: str


@dataclass(frozen=True)
class Graph:
    """A graph over time.

    Attributes:
        title: what it shows.
        unit: unit of its values, in words.
        queries: its queries.
        description: how to read it.
        needs_events: whether it has no series while nothing happens, e.g. without requests or errors.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]
    description: str = ""
    needs_events: bool = False


def _rate(metric: Metric, by: str = "", selector: str = "", suffix: str = "") -> str:
    total = f"sum(rate({metric.name}{suffix}{selector}[{WINDOW}]))"
    return total.replace("sum(", f"sum by ({by}) (", 1) if by else total


def _quantile(share: float, metric: Metric, by: str = "", selector: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, {_rate(metric, labels, selector, '_bucket')})"


def _largest(metric: Metric, by: str, selector: str = "") -> str:
    return f"max by ({by}) ({metric.name}{selector})"


_HTTP = telemetry.HTTP_REQUEST_DURATION
_ALL_REQUESTS = _rate(_HTTP, suffix="_count")
_FAILED_REQUESTS = _rate(_HTTP, selector='{status_class="5xx"}', suffix="_count")
_CPU_THROTTLED = (
    f"100 * max(rate(container_cpu_cfs_throttled_periods_total[{WINDOW}])"
    f" / (rate(container_cpu_cfs_periods_total[{WINDOW}]) > 0))"
)

GOLDEN_SIGNALS = (
    Graph(
        "Traffic", "requests per second", (Query(_rate(_HTTP, "service", suffix="_count"), "{{service}}"),)
    ),
    Graph(
        "Errors",
        "% of the requests",
        (Query(f"100 * ({_FAILED_REQUESTS} default 0) / {_ALL_REQUESTS}", "answered with 5xx"),),
        "The SLO allows 0.01 % over 30 days.",
        needs_events=True,
    ),
    Graph(
        "Latency",
        "seconds",
        (Query(_quantile(0.5, _HTTP), "median"), Query(_quantile(0.99, _HTTP), "99th percentile")),
        needs_events=True,
    ),
    Graph(
        "Saturation",
        "% of the fullest",
        (
            Query(_CPU_THROTTLED, "CPU: throttled periods of a container"),
            Query(
                "100 * max(container_memory_working_set_bytes / (container_spec_memory_limit_bytes > 0))",
                "memory of a container",
            ),
            Query(
                "100 * max(1 - node_filesystem_avail_bytes / node_filesystem_size_bytes)", "disk of a node"
            ),
        ),
    ),
)

DELIVERY = (
    Graph(
        "Messages",
        "messages per second",
        (Query(_rate(telemetry.MESSAGES, "state"), "{{state}}"),),
        needs_events=True,
    ),
    Graph(
        "Time until delivery",
        "seconds, 95th percentile",
        (Query(_quantile(0.95, telemetry.MESSAGE_DELIVERY, "priority"), "{{priority}}"),),
        "From the attempt until the phone confirms.",
        needs_events=True,
    ),
    Graph(
        "Oldest due message",
        "seconds",
        (Query(_largest(telemetry.MESSAGE_OLDEST_AGE, "priority"), "{{priority}}"),),
        "Campaigns wait for the rate of their connection; replies should not wait.",
    ),
    Graph("Ready jobs", "jobs", (Query(f"sum by (queue) ({telemetry.QUEUE_READY.name})", "{{queue}}"),)),
)

PROVIDER = (
    Graph(
        "Calls to the provider",
        "seconds",
        (
            Query(_quantile(0.5, telemetry.SEND_DURATION), "median"),
            Query(_quantile(0.99, telemetry.SEND_DURATION), "99th percentile"),
        ),
        needs_events=True,
    ),
    Graph(
        "Errors of the provider",
        "errors per second",
        (Query(_rate(telemetry.PROVIDER_ERRORS, "class"), "{{class}}"),),
        needs_events=True,
    ),
    Graph("Connections", "connections", (Query(_largest(telemetry.CONNECTIONS, "state"), "{{state}}"),)),
    Graph(
        "Webhooks",
        "webhooks per second",
        (Query(_rate(telemetry.WEBHOOKS_RECEIVED, "result"), "{{result}}"),),
        needs_events=True,
    ),
)

DATA_LAYER = (
    Graph(
        "Replication lag of Postgres",
        "bytes",
        (
            Query(
                "scalar(max(patroni_xlog_location))"
                " - max by (pod) (patroni_xlog_received_location and (patroni_replica == 1))",
                "{{pod}}",
            ),
        ),
    ),
    Graph(
        "Partitions of Kafka",
        "partitions",
        (
            Query("sum(kafka_under_replicated_partitions)", "under-replicated"),
            Query("sum(kafka_offline_partitions)", "offline"),
        ),
    ),
    Graph(
        "Memory of Redis",
        "% of its limit",
        (Query("100 * max by (pod) (redis_memory_used_bytes / (redis_memory_max_bytes > 0))", "{{pod}}"),),
    ),
    Graph(
        "Blocks of the object store without all copies",
        "blocks",
        (Query("max by (pod) (block_resync_queue_length)", "{{pod}}"),),
    ),
    Graph(
        "Consumer lag",
        "records",
        (Query(_largest(telemetry.CONSUMER_LAG, "topic, group"), "{{topic}}, {{group}}"),),
    ),
    Graph(
        "Outbox",
        "seconds",
        (Query(_largest(telemetry.OUTBOX_OLDEST_AGE, "service"), "{{service}}"),),
        "Age of the oldest event that is not in Kafka.",
    ),
    Graph(
        "Used disk",
        "%",
        (
            Query(
                "100 * max by (persistentvolumeclaim)"
                " (kubelet_volume_stats_used_bytes / kubelet_volume_stats_capacity_bytes)",
                "{{persistentvolumeclaim}}",
            ),
        ),
    ),
    Graph("Age of the newest backup", "seconds", (Query("max(esq_backup_age_seconds)", "backup"),)),
)
