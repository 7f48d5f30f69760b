"""What is scraped: the jobs, how often, and the metrics that are kept of each; all others are dropped.

An alert, a dashboard or a page can use no other metric. Names of exporters are those of their programs; those
of our own exporters (`redis`, `kafka`, `object-state`, `backup`) follow the same rules: unit in the name,
`_total` for counters. Every series has the labels `job` and `instance`; those of pods also `namespace`,
`pod`, `service` (the workload) and `zone`, those of nodes `node` and `zone`.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.contracts import telemetry

OF_EVERY_TARGET = ("up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_timeout_seconds")
"""Written by the scraper itself."""
OF_RULES = ("ALERTS", "ALERTS_FOR_STATE")
"""Written by vmalert, besides the recordings of its rules."""


@dataclass(frozen=True)
class Job:
    """Targets of one kind.

    Attributes:
        name: value of the label `job`.
        interval_seconds: interval of its scrapes.
        metrics: names of the series that are kept.
    """

    name: str
    interval_seconds: int
    metrics: tuple[str, ...]


FAST_SECONDS = 5
"""Interval of what pages are made of."""
_SLOW = 15
_PROCESS = ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds")
_GO_PROCESS = (*_PROCESS, "process_open_fds", "go_goroutines")

SERVICES = Job(
    "services",
    FAST_SECONDS,
    (
        *(name for metric in telemetry.METRICS for name in metric.series),
        *_PROCESS,
        *("process_open_fds", "process_max_fds", "python_gc_collections_total"),
    ),
)
POSTGRES = Job(
    "postgres",
    FAST_SECONDS,
    (
        *("patroni_postgres_running", "patroni_primary", "patroni_replica", "patroni_quorum_standby"),
        *("patroni_sync_standby", "patroni_standby_leader", "patroni_postgres_streaming"),
        *("patroni_postgres_in_archive_recovery", "patroni_postgres_timeline", "patroni_postgres_state"),
        *("patroni_xlog_location", "patroni_xlog_received_location", "patroni_xlog_replayed_location"),
        *("patroni_xlog_replayed_timestamp", "patroni_xlog_paused", "patroni_cluster_unlocked"),
        *("patroni_failsafe_mode_is_active", "patroni_dcs_last_seen", "patroni_pending_restart"),
        *("patroni_is_paused", "patroni_postmaster_start_time"),
    ),
)
REDIS = Job(
    "redis",
    FAST_SECONDS,
    (
        *("redis_up", "redis_instance_info", "redis_master_link_up", "redis_connected_replicas"),
        *("redis_replication_offset_bytes", "redis_memory_used_bytes", "redis_memory_max_bytes"),
        *("redis_connected_clients", "redis_blocked_clients", "redis_commands_processed_total"),
        *("redis_rejected_connections_total", "redis_evicted_keys_total", "redis_uptime_seconds"),
        *("redis_last_append_ok", "redis_request_seconds", "redis_sentinel_quorum_ok"),
    ),
)
KAFKA = Job(
    "kafka",
    FAST_SECONDS,
    (
        *("kafka_up", "kafka_brokers", "kafka_partitions", "kafka_offline_partitions"),
        *("kafka_under_replicated_partitions", "kafka_led_partitions", "kafka_active_controller"),
        *("kafka_quorum_voter_lag_records", "kafka_request_seconds"),
    ),
)
OBJECT_STORE = Job(
    "object-store",
    FAST_SECONDS,
    (
        *("cluster_healthy", "cluster_available", "cluster_known_nodes", "cluster_connected_nodes"),
        *("cluster_storage_nodes", "cluster_storage_nodes_ok", "cluster_partitions"),
        *("cluster_partitions_quorum", "cluster_partitions_all_ok", "garage_local_disk_avail"),
        *("garage_local_disk_total", "block_resync_queue_length", "block_resync_errored_blocks"),
        *("block_corruption_counter", "block_bytes_read", "block_bytes_written", "api_s3_request_counter"),
        *("api_s3_error_counter", "api_s3_request_duration_sum", "api_s3_request_duration_count"),
        "table_merkle_updater_todo_queue_length",
    ),
)
BACKUP = Job(
    "backup",
    _SLOW,
    (
        *("esq_backup_report_age_seconds", "esq_backup_age_seconds", "esq_backup_archive_age_seconds"),
        *("esq_backup_repositories_failed", "esq_backup_drill_age_seconds", "esq_backup_drill_failed"),
    ),
)
OBJECT_STATE = Job(
    "object-state",
    FAST_SECONDS,
    (
        *("kube_workload_replicas", "kube_workload_ready_replicas", "kube_node_ready", "kube_pod_ready"),
        *(
            "kube_pod_restarts_total",
            "kube_pod_waiting",
            "kube_job_failed",
            "kube_cronjob_last_success_timestamp_seconds",
        ),
        *("node_filesystem_avail_bytes", "node_filesystem_size_bytes", "node_memory_available_bytes"),
        *("kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes", "esq_fault_objects"),
    ),
)
CONTAINERS = Job(
    "containers",
    _SLOW,
    (
        *("container_memory_working_set_bytes", "container_spec_memory_limit_bytes"),
        *("container_cpu_usage_seconds_total", "container_cpu_cfs_periods_total"),
        *("container_cpu_cfs_throttled_periods_total", "container_oom_events_total"),
    ),
)
KUBELET = Job(
    "kubelet",
    _SLOW,
    ("kubelet_running_pods", "kubelet_runtime_operations_errors_total", "kubelet_node_name", *_GO_PROCESS),
)
API_SERVER = Job("kube-apiserver", FAST_SECONDS, ())
"""Its health check, a page without samples: its metrics are megabytes."""
API_SERVER_METRICS = Job(
    "kube-apiserver-metrics",
    _SLOW,
    (
        *("apiserver_current_inflight_requests", "apiserver_request_total", "apiserver_storage_objects"),
        *("etcd_requests_total", "etcd_request_errors_total", *_GO_PROCESS),
    ),
)
DNS = Job(
    "dns",
    FAST_SECONDS,
    ("coredns_dns_requests_total", "coredns_dns_responses_total", "coredns_panics_total", *_GO_PROCESS),
)
LAYER = Job(
    "observability",
    _SLOW,
    (
        *("vm_rows", "vm_data_size_bytes", "vm_free_disk_space_bytes", "vm_promscrape_scrapes_failed_total"),
        *("vm_promscrape_targets", "vm_cache_entries", "vmalert_alerts_firing", "vmalert_alerts_sent_total"),
        *("vmalert_alerts_send_errors_total", "vmalert_alerting_rules_errors_total"),
        *("vmalert_iteration_missed_total", "alertmanager_notifications_total"),
        *("alertmanager_notification_requests_total", "alertmanager_notification_requests_failed_total"),
        *("alertmanager_notifications_failed_total", "alertmanager_alerts", "alertmanager_silences"),
        *("alertmanager_cluster_members", "vl_rows_ingested_total", "vl_data_size_bytes"),
        *("vl_rows_dropped_total", "vlagent_remotewrite_pending_data_bytes", "esq_spans_stored_total"),
        *("esq_spans_rejected_total", *_GO_PROCESS),
    ),
)

JOBS = (
    *(SERVICES, POSTGRES, REDIS, KAFKA, OBJECT_STORE, BACKUP, OBJECT_STATE),
    *(CONTAINERS, KUBELET, API_SERVER, API_SERVER_METRICS, DNS, LAYER),
)

SCRAPED_METRICS = frozenset({*OF_EVERY_TARGET, *OF_RULES, *(name for job in JOBS for name in job.metrics)})
"""All metrics that a query can find, apart from recordings of rules."""
