"""How each alert is found: its MetricsQL, apart from the burn rates.

Every expression aggregates: the labels of an alert are few and known, and two evaluators make the same alert.
An expression about a sum says what holds without any series, because what is down sends none.
"""

from __future__ import annotations

from infra.alerts.anomalies import anomaly_expression
from infra.components.backup.status import ARCHIVE_STALE_SECONDS, REPORT_STALE_SECONDS
from infra.components.observability.scraped_metrics import API_SERVER, FAST_SECONDS, JOBS
from infra.processes import PROCESSES
from services.contracts import telemetry
from services.contracts.backup_verification import MAX_BACKUP_AGE_SECONDS

DISPATCHER = "whatsapp-dispatcher"
_MIB, _DAY = 1024 * 1024, 86_400
_MAX_REPLAY_LAG_BYTES = 64 * _MIB
"""Four WAL segments: more than a healthy standby is ever behind."""
_FULL, _PRESSED = 0.9, 0.8
"""Used share of a volume that pages, of a disk that makes a ticket."""
_SLOW_SCRAPE_SECONDS = 0.5
"""Patroni and exporters ask their server at each scrape: its duration is that of a request."""
_SLOW_ZONE_SECONDS, _NORMAL_ZONE_SECONDS = 0.25, 0.1
"""Median duration of the scrapes of a zone. A packet delayed by 100 ms each way adds at least 200 ms."""
_MIN_SENDS = 20
"""Attempts within the window of a share; fewer say nothing about the provider."""

_REPLICA = "max by (pod) (patroni_replica) == 1"
_FAST_JOBS = "|".join(
    job.name for job in JOBS if job.interval_seconds == FAST_SECONDS and job is not API_SERVER
)
_ZONE_UP = f'max by (zone) (up{{zone!="", job=~"{_FAST_JOBS}"}})'
"""Targets that are scraped less often count as up for longer: the page of a lost zone would come after those
of its consequences."""
_ZONE_SECONDS = "median by (zone) (scrape_duration_seconds)"
"""An evaluator that is cut off sees all other zones down or slow: only a minority can be."""
_SERVICES = "|".join(process.name for process in PROCESSES)
_DISPATCHER_UP = f'max(up{{job="services", service="{DISPATCHER}"}})'


def _volume(pattern: str) -> str:
    claims = f'{{persistentvolumeclaim=~"{pattern}"}}'
    return (
        f"max by (persistentvolumeclaim) (kubelet_volume_stats_used_bytes{claims}"
        f" / kubelet_volume_stats_capacity_bytes{claims}) > {_FULL}"
    )


def _slow(job: str) -> str:
    return (
        f'max by (pod) (avg_over_time(scrape_duration_seconds{{job="{job}"}}[1m])) > {_SLOW_SCRAPE_SECONDS}'
    )


def _expires(certificate: str, *, days: int) -> str:
    """Return the expression of the seconds that are left, when they are fewer than some days."""
    expiry = f'{telemetry.CERTIFICATE_EXPIRY.name}{{certificate="{certificate}"}}'
    return f"min({expiry}) - time() < {days * _DAY}"


def _none(servers: str, workload: str) -> str:
    """Return the expression of a workload without any server of a kind.

    Servers that do not answer send nothing, and pods that do not run are no targets: Kubernetes knows them.

    Args:
        servers: expression of their number.
        workload: name of the workload and of the job.
    """
    no_replica = f'sum(kube_workload_ready_replicas{{service="{workload}"}}) == 0'
    return f'({servers} or sum(up{{job="{workload}"}}) * 0 or ({no_replica})) < 1'


def _newly(state: str) -> str:
    """Return the expression of how many more connections are in a state than an hour ago, at most."""
    connections = f'{telemetry.CONNECTIONS.name}{{state="{state}"}}'
    return f"max({connections}) - max(min_over_time({connections}[1h])) > 0"


_POSTGRES = {
    "PostgresDown": _none("sum(patroni_primary)", "postgres"),
    "PostgresSlow": _slow("postgres"),
    "PostgresDiskFull": _volume("data-postgres-.+"),
    "PostgresReplicationLag": (
        "(scalar(max(patroni_xlog_location)) - max by (pod) (patroni_xlog_received_location))"
        f" > {_MAX_REPLAY_LAG_BYTES} if ({_REPLICA})"
    ),
    "PostgresSplitBrain": "sum(patroni_primary) > 1",
}
_REDIS = {
    "RedisDown": (
        f"max({telemetry.QUEUE_UP.name}) < 1 or ("
        + _none('count(redis_instance_info{role="master"})', "redis")
        + ")"
    ),
    "RedisSlow": "max by (pod) (avg_over_time(redis_request_seconds[1m])) > 0.1",
    "RedisMemoryFull": "max by (pod) (redis_memory_used_bytes / (redis_memory_max_bytes > 0)) > 0.9",
    "RedisReplicationLag": "min by (pod) (redis_master_link_up) < 1",
    "RedisSplitBrain": 'count(redis_instance_info{role="master"}) > 1',
}
_KAFKA = {
    "KafkaDown": "sum(kafka_offline_partitions) > 0",
    "KafkaSlow": f"max({telemetry.OUTBOX_OLDEST_AGE.name}) > 5",
    "KafkaDiskFull": _volume("data-kafka-.+"),
    "KafkaUnderReplicated": "sum(kafka_under_replicated_partitions) > 0",
    "KafkaQuorumLost": _none("sum(kafka_active_controller)", "kafka"),
}
_OBJECT_STORE = {
    "ObjectStoreDown": _none("max(cluster_available)", "object-store"),
    "ObjectStoreSlow": (
        "max by (pod) (sum by (pod) (rate(api_s3_request_duration_sum[1m]))"
        " / (sum by (pod) (rate(api_s3_request_duration_count[1m])) > 0.1)) > 1"
    ),
    "ObjectStoreDiskFull": _volume("(meta|data)-object-store-.+"),
    "ObjectStoreResyncLag": "max by (pod) (block_resync_queue_length) > 100",
}
_PLATFORM = {
    "ZoneDown": f"{_ZONE_UP} == 0 and on() (count({_ZONE_UP} == 1) > count({_ZONE_UP} == 0))",
    "ControlPlaneDown": 'max(up{job="kube-apiserver"}) < 1',
    "DnsDown": 'max(up{job="dns"}) < 1',
    "NetworkDegraded": (
        f"{_ZONE_SECONDS} > {_SLOW_ZONE_SECONDS} and on()"
        f" (count({_ZONE_SECONDS} < {_NORMAL_ZONE_SECONDS}) > count({_ZONE_SECONDS} > {_SLOW_ZONE_SECONDS}))"
    ),
    "RecoverySlow": "max by (service) (kube_workload_replicas - kube_workload_ready_replicas) > 0",
    "CertificateExpiring": _expires("server", days=14),
    "CaExpiring": _expires("ca", days=90),
    "CredentialsExpiring": _expires("server", days=60),
    "CredentialsRejected": (
        f"min by (service, dependency) ({telemetry.DEPENDENCY_UP.name}) == 0"
        f" and (max by (service, dependency) ({telemetry.DEPENDENCY_UP.name}) == 1)"
    ),
    "BackupStale": (
        f"max(esq_backup_age_seconds) > {MAX_BACKUP_AGE_SECONDS}"
        f" or (max(esq_backup_archive_age_seconds) > {ARCHIVE_STALE_SECONDS:g})"
        f" or (max(esq_backup_report_age_seconds) > {REPORT_STALE_SECONDS:g})"
    ),
    "BackupDrillFailed": (
        f"max(esq_backup_drill_age_seconds) > {MAX_BACKUP_AGE_SECONDS} or (max(esq_backup_drill_failed) > 0)"
    ),
    # Garage counts since its start: what it found an hour ago must not hide what it finds next.
    "DataDamaged": (
        'label_set(sum(increase_pure(block_corruption_counter[1h])) > 0, "component", "object-store")'
    ),
    "DiskPressure": (
        "max by (node) (1 - node_filesystem_avail_bytes / node_filesystem_size_bytes) > " + str(_PRESSED)
    ),
    "MemoryPressure": (
        "max by (pod) (container_memory_working_set_bytes / (container_spec_memory_limit_bytes > 0)) > 0.95"
    ),
    "CpuPressure": (
        "max by (pod) (rate(container_cpu_cfs_throttled_periods_total[1m])"
        " / (rate(container_cpu_cfs_periods_total[1m]) > 1)) > 0.5"
    ),
    "TelemetryMissing": "max by (job) (up) == 0",
    "FaultLeft": "max(esq_fault_objects) > 0",
}
_OLDEST = telemetry.MESSAGE_OLDEST_AGE.name
_MESSAGING = {
    "ServiceDown": (
        'max by (service) (up{job="services"}) < 1'
        f' or (max by (service) (kube_workload_ready_replicas{{service=~"{_SERVICES}"}}) < 1)'
    ),
    "MessagesLost": f'max({_OLDEST}{{priority="reply"}}) > 3600 or max({_OLDEST}) > {_DAY}',
    "MessagesDuplicated": f"sum(increase({telemetry.MESSAGES_DUPLICATED.name}[1h])) > 0",
    "QueueBacklog": (
        f"max by (queue) (union(max by (queue) ({telemetry.QUEUE_OLDEST_AGE.name}),"
        f' label_set(max({telemetry.WEBHOOK_OLDEST_AGE.name}), "queue", "webhooks"),'
        f' label_set(max({telemetry.OUTBOX_OLDEST_AGE.name}), "queue", "outbox"),'
        f' label_set(max({telemetry.CONSUMER_OLDEST_AGE.name}), "queue", "events"))) > 30'
    ),
    "CampaignStuck": f"max({telemetry.PLANNING_AGE.name}) > 60 or max({telemetry.CONNECTION_WAIT.name}) > 60",
    "DispatcherDown": f'({_DISPATCHER_UP} or sum(up{{job="services"}}) * 0) < 1',
    "DeadLetters": f"sum by (topic) (increase({telemetry.CONSUMER_DEAD_LETTERS.name}[10m])) > 0",
    "ConnectionBanned": _newly("banned"),
    "ConnectionThrottled": (
        f'max({telemetry.CONNECTIONS.name}{{state="throttled"}})'
        f" > 0.2 * sum(max by (state) ({telemetry.CONNECTIONS.name}))"
    ),
    "ConnectionLoggedOut": _newly("logged_out"),
    "WebhookMissing": (
        f'sum(increase({telemetry.MESSAGES.name}{{state="accepted"}}[2m])) > {_MIN_SENDS}'
        f' unless (sum(increase({telemetry.WEBHOOKS_RECEIVED.name}{{result="stored"}}[2m])) > 0)'
    ),
    "ProviderOutage": (
        f'sum(increase({telemetry.PROVIDER_ERRORS.name}{{class=~"transient|unknown|not_sent"}}[1m]))'
        f" / (sum(increase({telemetry.SEND_ATTEMPTS.name}[1m])) > {_MIN_SENDS}) > 0.5"
    ),
    "ProcessingAnomaly": anomaly_expression(),
}

EXPRESSIONS = {**_POSTGRES, **_REDIS, **_KAFKA, **_OBJECT_STORE, **_PLATFORM, **_MESSAGING}
"""Expression by name of the alert."""
