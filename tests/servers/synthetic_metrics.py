"""Metrics of an environment that does not exist: healthy, and with one fault per alert.

The traffic is that of a quiet night: few requests, of which two a day fail: without a guard each of them would page.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from infra.alerts.expressions import DISPATCHER
from infra.components.observability.scraped_metrics import JOBS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ZONES = ("zone-a", "zone-b", "zone-c")
DAY = 86_400
SCRAPE_SECONDS = 5
QUIET_SECONDS = 300
"""Healthy time before the fault of a case."""


@dataclass(frozen=True)
class Series:
    """A time series.

    Attributes:
        name: name with labels, in the notation of queries.
        value: value of a gauge, or growth per second of a counter; None while nobody sends it.
        counter: whether it grows.
        since_now: whether the value is a time, in seconds from the start.
    """

    name: str
    value: float | None
    counter: bool = False
    since_now: bool = False

    @property
    def metric(self) -> str:
        """Name without labels."""
        return self.name.split("{", 1)[0]


def gauge(name: str, value: float) -> Series:
    """Return a gauge.

    Args:
        name: name with labels.
        value: its value.
    """
    return Series(name, value)


def counter(name: str, per_second: float) -> Series:
    """Return a counter.

    Args:
        name: name with labels.
        per_second: its growth.
    """
    return Series(name, per_second, counter=True)


def _histogram(
    name: str, labels: str, per_second: float, fast_bucket: str, fast_share: float
) -> list[Series]:
    return [
        counter(f"{name}_count{{{labels}}}", per_second),
        counter(f'{name}_bucket{{{labels},le="{fast_bucket}"}}', per_second * fast_share),
    ]


def _data_services() -> list[Series]:
    series = []
    for number, zone in enumerate(ZONES):
        pod = f'pod="postgres-{number}"'
        role = number == 0
        series += [
            gauge(f"patroni_primary{{{pod}}}", float(role)),
            gauge(f"patroni_replica{{{pod}}}", float(not role)),
            gauge(f"patroni_xlog_location{{{pod}}}", 1e9 * role),
            gauge(f"patroni_xlog_received_location{{{pod}}}", 1e9 * (not role)),
            gauge(f'redis_instance_info{{pod="redis-{number}",role="{"master" if role else "slave"}"}}', 1),
            gauge(f'redis_memory_used_bytes{{pod="redis-{number}"}}', 50e6),
            gauge(f'redis_request_seconds{{pod="redis-{number}"}}', 0.001),
            gauge(f'redis_memory_max_bytes{{pod="redis-{number}"}}', 100e6),
            gauge(f'kafka_offline_partitions{{pod="kafka-{number}"}}', 0),
            gauge(f'kafka_under_replicated_partitions{{pod="kafka-{number}"}}', 0),
            gauge(f'kafka_active_controller{{pod="kafka-{number}"}}', float(role)),
            gauge(f'cluster_healthy{{pod="object-store-{number}"}}', 1),
            gauge(f'cluster_available{{pod="object-store-{number}"}}', 1),
            gauge(f'block_resync_queue_length{{pod="object-store-{number}"}}', 0),
            gauge(f'block_corruption_counter{{pod="object-store-{number}"}}', 0),
            counter(f'api_s3_request_duration_sum{{pod="object-store-{number}"}}', 0.05),
            counter(f'api_s3_request_duration_count{{pod="object-store-{number}"}}', 1),
            gauge(f'node_filesystem_avail_bytes{{node="{zone}"}}', 60e9),
            gauge(f'node_filesystem_size_bytes{{node="{zone}"}}', 100e9),
        ]
        if number:
            series.append(gauge(f'redis_master_link_up{{pod="redis-{number}"}}', 1))
        for claim in ("data-postgres", "data-kafka", "data-object-store"):
            labels = f'{{persistentvolumeclaim="{claim}-{number}"}}'
            series += [
                gauge(f"kubelet_volume_stats_used_bytes{labels}", 40e9),
                gauge(f"kubelet_volume_stats_capacity_bytes{labels}", 100e9),
            ]
    return [*series, Series('redis_instance_info{pod="redis-1",role="master"}', None)]


_WORKLOADS = {SERVICES.name: ("campaigns-api", DISPATCHER)}


def _platform() -> list[Series]:
    series = []
    for number, zone in enumerate(ZONES):
        workloads = [(job, service) for job in JOBS for service in _WORKLOADS.get(job.name, (job.name,))]
        for job, service in workloads:
            labels = f'{{job="{job.name}",service="{service}",pod="{service}-{number}",zone="{zone}"}}'
            series += [gauge(f"up{labels}", 1), gauge(f"scrape_duration_seconds{labels}", 0.02)]
        pod = f'{{pod="postgres-{number}"}}'
        series += [
            gauge(f"container_memory_working_set_bytes{pod}", 50e6),
            gauge(f"container_spec_memory_limit_bytes{pod}", 100e6),
            counter(f"container_cpu_cfs_throttled_periods_total{pod}", 0.1),
            counter(f"container_cpu_cfs_periods_total{pod}", 10),
        ]
    for service in ("campaigns-api", "whatsapp-dispatcher", "postgres", "redis", "kafka", "object-store"):
        labels = f'{{service="{service}"}}'
        series += [
            gauge(f"kube_workload_replicas{labels}", 2),
            gauge(f"kube_workload_ready_replicas{labels}", 2),
        ]
    return [
        *series,
        gauge("esq_backup_age_seconds", 3600),
        gauge("esq_backup_drill_age_seconds", 3600),
        gauge("esq_backup_archive_age_seconds", 20),
        gauge("esq_backup_report_age_seconds", 60),
        gauge("esq_backup_drill_failed", 0),
        gauge("esq_fault_objects", 0),
        Series('esq_certificate_expiry_timestamp_seconds{certificate="server"}', 300 * DAY, since_now=True),
        Series('esq_certificate_expiry_timestamp_seconds{certificate="ca"}', 3000 * DAY, since_now=True),
    ]


def _application() -> list[Series]:
    http = "esq_http_request_duration_seconds"
    series = [
        *_histogram(http, 'route="/campaigns",status_class="2xx"', 0.05, "1.0", 1),
        *_histogram(http, 'route="/campaigns",status_class="4xx"', 0.002, "1.0", 1),
        *_histogram(http, 'route="/campaigns",status_class="5xx"', 2 / DAY, "1.0", 1),
        *_histogram("esq_message_wait_seconds", 'priority="reply"', 0.05, "2.5", 0.999),
        *_histogram("esq_message_wait_seconds", 'priority="campaign"', 0.5, "2.5", 0.2),
        gauge("esq_message_oldest_due_age_seconds" + '{priority="reply"}', 0),
        gauge("esq_message_oldest_due_age_seconds" + '{priority="campaign"}', 600),
        counter("esq_messages_duplicated_total", 0),
        counter('esq_messages_total{state="accepted"}', 0.5),
        counter('esq_messages_total{state="failed"}', 0.005),
        counter('esq_webhooks_received_total{result="stored"}', 1),
        counter('esq_consumer_records_total{topic="campaigns.requests"}', 1),
        counter('esq_consumer_dead_letters_total{topic="campaigns.requests",reason="unreadable"}', 0),
        counter('esq_send_attempts_total{result="accepted"}', 0.5),
        counter('esq_provider_errors_total{class="transient"}', 0.005),
        gauge('esq_queue_up{queue="ready"}', 1),
        gauge('esq_queue_oldest_job_age_seconds{queue="ready"}', 0.5),
    ]
    gauges = {
        **dict.fromkeys(("esq_http_in_flight_requests", "esq_send_in_flight_calls"), 1.0),
        "esq_outbox_oldest_event_age_seconds": 0.1,
        "esq_consumer_oldest_record_age_seconds": 0.2,
        "esq_webhook_oldest_pending_age_seconds": 0.1,
        "esq_planning_age_seconds": 0,
        "esq_connection_wait_seconds": 2,
        'esq_connections{state="active"}': 100,
        'esq_connections{state="throttled"}': 2,
        'esq_connections{state="banned"}': 3,
        'esq_connections{state="logged_out"}': 1,
        'esq_dependency_up{service="whatsapp-worker",dependency="kafka",pod="a"}': 1,
        'esq_dependency_up{service="whatsapp-worker",dependency="kafka",pod="b"}': 1,
    }
    return series + [gauge(name, value) for name, value in gauges.items()]


HEALTHY: tuple[Series, ...] = (*_data_services(), *_platform(), *_application())


@dataclass(frozen=True)
class Fault:
    """What the metrics say during a fault.

    Attributes:
        alert: name of the alert that must fire.
        changes: new values by series; all series of a metric when the name has no labels.
        labels: labels of the firing alert that its expression gives it.
        seconds: duration of the fault.
        recovery_seconds: time after which the alert must have ended.
    """

    alert: str
    changes: Mapping[str, float | None]
    labels: Mapping[str, str] = field(default_factory=dict)
    seconds: int = 300
    recovery_seconds: int = 180

    def value(self, series: Series) -> float | None:
        """Return the value of a series during the fault."""
        for name in (series.name, series.metric):
            if name in self.changes:
                return self.changes[name]
        return series.value


def changed(fault: Fault, series: Sequence[Series] = HEALTHY) -> list[Series]:
    """Return the series during a fault.

    Args:
        fault: the fault.
        series: the series of a healthy environment.
    """
    return [replace(entry, value=fault.value(entry)) for entry in series]
