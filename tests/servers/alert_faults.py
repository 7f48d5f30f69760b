"""One fault per alert: what the metrics say when it must fire."""

from __future__ import annotations

from tests.servers.synthetic_metrics import DAY, HEALTHY, Fault


def _in(metric: str, part: str, value: float | None) -> dict[str, float | None]:
    """Return new values of the series of a metric whose labels contain a text."""
    return {entry.name: value for entry in HEALTHY if entry.metric == metric and part in entry.name}


_HTTP = "esq_http_request_duration_seconds"
_REPLY_WAIT = 'esq_message_wait_seconds_bucket{priority="reply",le="2.5"}'
_2XX_FAST = f'{_HTTP}_bucket{{route="/campaigns",status_class="2xx",le="1.0"}}'
_2XX = f'{_HTTP}_count{{route="/campaigns",status_class="2xx"}}'
_5XX = f'{_HTTP}_count{{route="/campaigns",status_class="5xx"}}'
_EXPIRY = "esq_certificate_expiry_timestamp_seconds"
_SENDS = 'esq_send_attempts_total{result="accepted"}'


def _volume(claim: str) -> dict[str, float | None]:
    return {f'kubelet_volume_stats_used_bytes{{persistentvolumeclaim="{claim}"}}': 95e9}


_POD_0 = 'pod="postgres-0"'
_HOUR = 3600

FAULTS = (
    Fault("PostgresDown", {"patroni_primary": 0}),
    Fault("PostgresSlow", _in("scrape_duration_seconds", _POD_0, 2), {"pod": "postgres-0"}),
    Fault("PostgresDiskFull", _volume("data-postgres-0"), {"persistentvolumeclaim": "data-postgres-0"}),
    Fault(
        "PostgresReplicationLag",
        _in("patroni_xlog_received_location", "postgres-1", 5e8),
        {"pod": "postgres-1"},
    ),
    Fault("PostgresSplitBrain", {'patroni_primary{pod="postgres-1"}': 1}),
    Fault("RedisDown", {"esq_queue_up": 0}),
    Fault("RedisSlow", _in("redis_request_seconds", "redis-0", 2), {"pod": "redis-0"}),
    Fault("RedisMemoryFull", _in("redis_memory_used_bytes", "redis-0", 99e6), {"pod": "redis-0"}),
    Fault("RedisReplicationLag", _in("redis_master_link_up", "redis-1", 0), {"pod": "redis-1"}),
    Fault("RedisSplitBrain", {'redis_instance_info{pod="redis-1",role="master"}': 1}),
    Fault("KafkaDown", _in("kafka_offline_partitions", "kafka-0", 4)),
    Fault("KafkaSlow", {"esq_outbox_oldest_event_age_seconds": 8}),
    Fault("KafkaDiskFull", _volume("data-kafka-0"), {"persistentvolumeclaim": "data-kafka-0"}),
    Fault("KafkaUnderReplicated", _in("kafka_under_replicated_partitions", "kafka-0", 12)),
    Fault("KafkaQuorumLost", {"kafka_active_controller": 0}),
    Fault("ObjectStoreDown", {"cluster_available": 0}),
    Fault("ObjectStoreSlow", _in("api_s3_request_duration_sum", "store-0", 3), {"pod": "object-store-0"}),
    Fault(
        "ObjectStoreDiskFull",
        _volume("data-object-store-0"),
        {"persistentvolumeclaim": "data-object-store-0"},
    ),
    Fault(
        "ObjectStoreResyncLag", _in("block_resync_queue_length", "store-0", 900), {"pod": "object-store-0"}
    ),
    Fault("ZoneDown", _in("up", 'zone="zone-a"', 0), {"zone": "zone-a"}),
    Fault("ControlPlaneDown", _in("up", "kube-apiserver", 0)),
    Fault("DnsDown", _in("up", 'job="dns"', 0)),
    Fault("NetworkDegraded", _in("scrape_duration_seconds", 'zone="zone-a"', 0.6), {"zone": "zone-a"}),
    Fault(
        "RecoverySlow",
        {'kube_workload_ready_replicas{service="campaigns-api"}': 1},
        {"service": "campaigns-api"},
    ),
    Fault("CertificateExpiring", _in(_EXPIRY, "server", 10 * DAY)),
    Fault("CaExpiring", _in(_EXPIRY, "ca", 80 * DAY)),
    Fault("CredentialsExpiring", _in(_EXPIRY, "server", 50 * DAY)),
    Fault(
        "CredentialsRejected",
        _in("esq_dependency_up", 'pod="a"', 0),
        {"service": "whatsapp-worker", "dependency": "kafka"},
    ),
    Fault("BackupStale", {"esq_backup_age_seconds": 27 * _HOUR}, seconds=600),
    Fault("BackupDrillFailed", {"esq_backup_drill_failed": 1}),
    Fault(
        "DataDamaged",
        _in("block_corruption_counter", "store-0", 2),
        {"component": "object-store"},
        recovery_seconds=_HOUR + 60,
    ),
    Fault("DiskPressure", _in("node_filesystem_avail_bytes", "zone-a", 5e9), {"node": "zone-a"}),
    Fault("MemoryPressure", _in("container_memory_working_set_bytes", _POD_0, 99e6), {"pod": "postgres-0"}),
    Fault("CpuPressure", _in("container_cpu_cfs_throttled_periods_total", _POD_0, 9), {"pod": "postgres-0"}),
    Fault("FaultLeft", {"esq_fault_objects": 2}, seconds=2400),
    Fault("TelemetryMissing", _in("up", 'job="redis"', 0), {"job": "redis"}),
    Fault("ApiAvailability", {_5XX: 2.0, _2XX: 0.0}, {"burn": "14.4"}, recovery_seconds=480),
    Fault("ApiLatency", {_2XX_FAST: 0.0}, {"burn": "14.4"}, seconds=900, recovery_seconds=480),
    Fault("DeliveryLatency", {_REPLY_WAIT: 0.0}, {"burn": "14.4"}, seconds=900, recovery_seconds=480),
    Fault(
        "ServiceDown",
        {'kube_workload_ready_replicas{service="campaigns-api"}': 0},
        {"service": "campaigns-api"},
    ),
    Fault("MessagesLost", _in("esq_message_oldest_due_age_seconds", "reply", 4000)),
    Fault("MessagesDuplicated", {"esq_messages_duplicated_total": 0.1}, recovery_seconds=_HOUR + 120),
    Fault("QueueBacklog", {"esq_webhook_oldest_pending_age_seconds": 90}, {"queue": "webhooks"}),
    Fault("CampaignStuck", {"esq_connection_wait_seconds": 90}),
    Fault("DispatcherDown", _in("up", "whatsapp-dispatcher", 0)),
    Fault(
        "DeadLetters",
        {"esq_consumer_dead_letters_total": 0.1},
        {"topic": "campaigns.requests"},
        recovery_seconds=780,
    ),
    Fault("ConnectionBanned", _in("esq_connections", "banned", 9)),
    Fault("ConnectionThrottled", _in("esq_connections", "throttled", 60)),
    Fault("ConnectionLoggedOut", _in("esq_connections", "logged_out", 7)),
    Fault("WebhookMissing", {"esq_webhooks_received_total": 0}, seconds=420),
    Fault("ProviderOutage", {"esq_provider_errors_total": 0.45}),
)
FAULT_BY_ALERT = {fault.alert: fault for fault in FAULTS}
