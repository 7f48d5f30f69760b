"""Names of metrics, spans and their attributes: one table for the services, alerts, dashboards and pages.

Metrics have Prometheus names with their unit, spans and attributes the names of OpenTelemetry's semantic
conventions, and `esq.` before those of our own. A label of a metric has few values: never a company, a
campaign, a connection or a phone number. A span may name a campaign or a message, never a phone number, a
contact or a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """Kind of a metric, as Prometheus defines it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """A metric of the services.

    Attributes:
        name: name in queries; that of a counter ends with `_total`.
        kind: counter, gauge or histogram.
        unit: unit of its values.
        help: what it measures.
        labels: names of its labels.
        buckets: upper bounds of a histogram.
    """

    name: str
    kind: MetricKind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Names of its time series."""
        if self.kind is MetricKind.HISTOGRAM:
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return (self.name,)


def _counter(name: str, unit: str, help_text: str, *labels: str) -> Metric:
    return Metric(f"{name}_total", MetricKind.COUNTER, unit, help_text, labels)


def _gauge(name: str, unit: str, help_text: str, *labels: str) -> Metric:
    return Metric(name, MetricKind.GAUGE, unit, help_text, labels)


def _histogram(name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, "seconds", help_text, labels, buckets)


CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds of one call. 0.3 and 1 are the objective and the limit of the SLO `api-p99`."""
WAIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds in a queue."""
DELIVERY_BUCKETS = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Seconds until a person's phone confirms a message."""

# Every process
HTTP_REQUEST_DURATION = _histogram(
    "esq_http_request_duration_seconds",
    "Duration of HTTP requests, without health checks and scrapes; status_class is 2xx to 5xx",
    CALL_BUCKETS,
    "method",
    "route",
    "status_class",
)
HTTP_IN_FLIGHT = _gauge("esq_http_in_flight_requests", "requests", "HTTP requests being answered")
DEPENDENCY_UP = _gauge(
    "esq_dependency_up", "1", "1 while the readiness check of a dependency passes", "dependency"
)
TASK_FAILURES = _counter(
    "esq_task_failures", "failures", "Background tasks that ended and are restarted", "task"
)
BREAKER_STATE = _gauge("esq_circuit_breaker_state", "1", "0 closed, 1 half-open, 2 open", "operation")
BULKHEAD_IN_FLIGHT = _gauge("esq_bulkhead_in_flight_calls", "calls", "Calls in flight", "operation")
CALLS_REJECTED = _counter(
    "esq_calls_rejected",
    "calls",
    "Calls rejected by a circuit breaker or a bulkhead",
    "operation",
    "reason",
)
CERTIFICATE_EXPIRY = _gauge(
    "esq_certificate_expiry_timestamp_seconds",
    "seconds since 1970",
    "End of validity of a certificate that the process uses: its own (server), the first CA to expire (ca)",
    "certificate",
)
SPANS_DROPPED = _counter(
    "esq_trace_spans_dropped", "spans", "Spans that were not exported, by reason", "reason"
)
"""Reasons: `queue_full`, `export_failed`."""
SPANS_EXPORTED = _counter("esq_trace_spans_exported", "spans", "Spans that the collector received")

# Outbox and Kafka
OUTBOX_PUBLISHED = _counter("esq_outbox_published_events", "events", "Events published to Kafka")
OUTBOX_PENDING = _gauge(
    "esq_outbox_pending_events", "events", "Unpublished events in the outbox, counted up to 10000"
)
OUTBOX_OLDEST_AGE = _gauge(
    "esq_outbox_oldest_event_age_seconds", "seconds", "Age of the oldest unpublished event in the outbox"
)
CONSUMER_RECORDS = _counter("esq_consumer_records", "records", "Records processed, with any result", "topic")
CONSUMER_RETRIES = _counter(
    "esq_consumer_retries", "records", "Records sent to the retry topic", "topic", "reason"
)
CONSUMER_DEAD_LETTERS = _counter(
    "esq_consumer_dead_letters", "records", "Records sent to the dead-letter topic", "topic", "reason"
)
CONSUMER_LAG = _gauge(
    "esq_consumer_lag_records",
    "records",
    "Unprocessed records of the group; every member exports the same value",
    "topic",
    "group",
)
CONSUMER_OLDEST_AGE = _gauge(
    "esq_consumer_oldest_record_age_seconds",
    "seconds",
    "Upper bound of the age of the oldest unprocessed record of this member",
    "topic",
    "group",
)

# Redis queues
QUEUE_UP = _gauge("esq_queue_up", "1", "1 if Redis answered the last poll", "queue", "class")
QUEUE_READY = _gauge("esq_queue_ready_jobs", "jobs", "Jobs that can run now", "queue", "class", "priority")
QUEUE_DELAYED = _gauge(
    "esq_queue_delayed_jobs", "jobs", "Jobs whose start time has not come", "queue", "class"
)
QUEUE_LEASED = _gauge("esq_queue_leased_jobs", "jobs", "Jobs held by consumers", "queue", "class")
QUEUE_OLDEST_AGE = _gauge(
    "esq_queue_oldest_job_age_seconds",
    "seconds",
    "Time since the oldest ready job became ready",
    "queue",
    "class",
)
QUEUE_NEAR_DEADLINE = _gauge(
    "esq_queue_near_deadline_jobs", "jobs", "Ready jobs close to their deadline", "queue", "class"
)
QUEUE_PAUSED = _gauge("esq_queue_paused", "1", "1 while the queue is paused", "queue", "class")
QUEUE_WAIT = _histogram(
    "esq_queue_wait_seconds",
    "Time from when a job became ready until it was reserved",
    WAIT_BUCKETS,
    "queue",
    "class",
)
QUEUE_RESERVED = _counter(
    "esq_queue_jobs_reserved", "jobs", "Jobs reserved, by disposition", "queue", "class", "disposition"
)
QUEUE_COMPLETED = _counter(
    "esq_queue_jobs_completed", "jobs", "Jobs acknowledged, by result", "queue", "class", "result"
)
QUEUE_REJECTED = _counter(
    "esq_queue_jobs_rejected",
    "jobs",
    "Jobs rejected: too late for their deadline, queue full or draining",
    "queue",
    "class",
)

# Campaigns
PLANNED_MESSAGES = _counter("esq_planned_messages", "messages", "Messages that the planner requested")
PLANNING_AGE = _gauge(
    "esq_planning_age_seconds",
    "seconds",
    "Longest time without progress of a campaign that is being planned; 0 without any",
)
PLANNING_CAMPAIGNS = _gauge("esq_planning_campaigns", "campaigns", "Campaigns that are being planned")

# Messages, of the service whatsapp
MESSAGES = _counter(
    "esq_messages",
    "messages",
    "Messages that reached a state: queued, accepted, sent, delivered, read, failed, uncertain, returned,"
    " expired",
    "state",
)
MESSAGES_DUPLICATED = _counter(
    "esq_messages_duplicated", "messages", "Messages that the provider reports under two of its own ids"
)
MESSAGE_WAIT = _histogram(
    "esq_message_wait_seconds",
    "Time from when a message became due until its attempt; priority is campaign or reply",
    WAIT_BUCKETS,
    "priority",
)
MESSAGE_DELIVERY = _histogram(
    "esq_message_delivery_seconds",
    "Time from the attempt until the status delivered was applied; priority is campaign or reply",
    DELIVERY_BUCKETS,
    "priority",
)
MESSAGE_OLDEST_AGE = _gauge(
    "esq_message_oldest_due_age_seconds",
    "seconds",
    "Time since the oldest message became due, of connections that may send",
    "priority",
)
SEND_ATTEMPTS = _counter("esq_send_attempts", "attempts", "Send attempts by the new state", "result")
SEND_DURATION = _histogram("esq_send_duration_seconds", "Duration of calls to the provider", CALL_BUCKETS)
SEND_IN_FLIGHT = _gauge("esq_send_in_flight_calls", "calls", "Calls to the provider in flight")
SEND_FENCED = _counter("esq_send_fenced_results", "results", "Results that a newer epoch or state fenced off")
LEASES_EXPIRED = _counter(
    "esq_send_leases_expired", "attempts", "Send attempts whose lease expired without a result"
)
PROVIDER_ERRORS = _counter(
    "esq_provider_errors",
    "errors",
    "Attempts that the provider did not accept, by class of the error",
    "class",
)
"""Classes: `credential`, `account`, `limit`, `transient`, `message`, `not_sent`, `unknown`."""
CONNECTIONS = _gauge("esq_connections", "connections", "Connections by state", "state")
"""States: `active`, `throttled`, and suspended for a reason: `logged_out`, `banned`, `limited`."""
CONNECTION_WAIT = _gauge(
    "esq_connection_wait_seconds",
    "seconds",
    "Longest time that a connection with due messages, which may send, was not leased from",
)

# Webhooks
WEBHOOKS_RECEIVED = _counter(
    "esq_webhooks_received", "webhooks", "Webhooks by result: stored or rejected", "result"
)
WEBHOOK_LAST_RECEIVED = _gauge(
    "esq_webhook_last_received_timestamp_seconds",
    "seconds since 1970",
    "Time of the last stored webhook; absent before the first one",
)
WEBHOOK_OLDEST_AGE = _gauge(
    "esq_webhook_oldest_pending_age_seconds", "seconds", "Age of the oldest webhook that is not processed"
)
WEBHOOK_STATUSES = _counter(
    "esq_webhook_statuses",
    "statuses",
    "Webhook statuses by result: applied, duplicate, or unknown message",
    "result",
)

METRICS = tuple(value for value in tuple(globals().values()) if isinstance(value, Metric))
"""All metrics of the services."""


class Attribute(StrEnum):
    """Attributes of spans and of their resource."""

    SERVICE_NAMESPACE = "service.namespace"
    SERVICE_NAME = "service.name"
    """The process, e.g. `whatsapp-dispatcher`."""
    SERVICE_INSTANCE = "service.instance.id"
    ENVIRONMENT = "deployment.environment.name"
    ZONE = "cloud.availability_zone"
    METHOD = "http.request.method"
    ROUTE = "http.route"
    STATUS = "http.response.status_code"
    SERVER = "server.address"
    PORT = "server.port"
    ERROR = "error.type"
    MESSAGING_SYSTEM = "messaging.system"
    OPERATION = "messaging.operation.type"
    DESTINATION = "messaging.destination.name"
    BATCH = "messaging.batch.message_count"
    CAMPAIGN = "esq.campaign.id"
    MESSAGE = "esq.message.id"
    OUTCOME = "esq.outcome"
    """State of a message after an attempt or a status."""
    MESSAGES = "esq.message.count"


NAMESPACE = "esq"
"""Value of `service.namespace`."""


class SpanName(StrEnum):
    """Names of spans, apart from HTTP spans (`METHOD route`) and Kafka spans (`operation topic`)."""

    SCHEDULE = "schedule campaign"
    PLAN = "plan campaign"
    WAIT = "wait in queue"
    SEND = "send message"
    RECORD = "record results"
    PROCESS_WEBHOOKS = "process webhooks"
    APPLY_STATUS = "apply status"
