"""Decisions of the pod programs of Redis, Kafka and the object store."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from infra.components.backup.pod_programs import report_metrics
from infra.components.kafka.pod_programs import probe
from infra.components.object_store.pod_programs import layout
from infra.components.redis.pod_programs import write_config
from infra.config_files import redis

SENTINEL_STATE = """\
sentinel monitor esq redis-1.redis 6379 2
sentinel config-epoch esq 7
sentinel current-epoch 7
sentinel known-replica esq redis-0.redis 6379
sentinel known-sentinel esq redis-2.redis 26379 abc
"""


def test_primary_is_chosen_by_the_majority_of_sentinels() -> None:
    assert write_config.select_primary(["b", None, "b"], "a", "first") == "b"


def test_previous_primary_is_used_without_sentinels() -> None:
    assert (
        write_config.select_primary(
            [None, None], write_config.previous_primary(SENTINEL_STATE, "esq"), "first"
        )
        == "redis-1.redis"
    )


def test_first_pod_is_the_primary_of_a_new_environment() -> None:
    assert (
        write_config.select_primary([None, None], write_config.previous_primary("", "esq"), "first")
        == "first"
    )


def test_peers_are_preserved_only_with_the_same_primary() -> None:
    same = write_config.previous_sentinel_state(SENTINEL_STATE, "esq", same_primary=True)
    other = write_config.previous_sentinel_state(SENTINEL_STATE, "esq", same_primary=False)
    assert same.count("known-") == 2
    assert "known-" not in other
    assert "config-epoch esq 7" in other
    assert "monitor" not in same


def test_sentinel_id_is_stable_and_monitor_precedes_auth_pass() -> None:
    group = redis.render_sentinel_monitor_conf("redis-1")
    first, second = (write_config.sentinel_conf("", group, "redis-0", "p", "") for _ in range(2))
    assert first == second
    assert first.index("sentinel monitor") < first.index("sentinel auth-pass esq p")


def test_primary_has_no_replicaof() -> None:
    assert "replicaof" not in write_config.server_conf("", "redis-0", "redis-0", "p", 6379)
    assert "replicaof redis-0 6379" in write_config.server_conf("", "redis-1", "redis-0", "p", 6379)


IN_SYNC = probe.Partition("t", 0, 0, [0, 1, 2], [0, 1, 2])
LAGGING = probe.Partition("t", 1, 0, [0, 1, 2], [0, 1])
QUORUM = probe.Quorum(1, [])


@pytest.mark.parametrize(
    ("metadata", "quorum", "problem"),
    [
        (probe.Metadata([0, 1, 2], [IN_SYNC]), QUORUM, None),
        (probe.Metadata([0, 1, 2], []), probe.Quorum(-1, []), "no leader"),
        (probe.Metadata([0, 1], [IN_SYNC]), QUORUM, "fenced"),
        (probe.Metadata([0, 1, 2], [IN_SYNC, LAGGING]), QUORUM, "catching up on 1 partitions, e.g. t-1"),
    ],
)
def test_readiness_of_a_broker(metadata: probe.Metadata, quorum: probe.Quorum, problem: str | None) -> None:
    actual = probe.readiness_problem(2, metadata, quorum)
    assert (actual is None) if problem is None else problem in str(actual)


def test_variable_length_integers() -> None:
    assert probe.ProtocolReader(bytes([0xAC, 0x02])).read_varint() == 300


class FakeGarage(layout.Garage):
    """The admin API in memory."""

    def __init__(self, roles: list[dict[str, object]]) -> None:
        super().__init__([], [])
        self.layout: dict[str, Any] = {"version": 1, "roles": roles}
        self.keys: list[dict[str, object]] = []
        self.buckets: list[dict[str, object]] = []
        self.changed: list[str] = []
        self.allowed: list[str] = []

    def call(self, name: str, body: Any = None) -> Any:  # noqa: C901 - a case per operation
        if body is not None:
            self.changed.append(name)
        match name:
            case "GetClusterStatus":
                return {"nodes": [{"id": "n0", "isUp": True}, {"id": "n1", "isUp": False}]}
            case "GetClusterLayout":
                return self.layout
            case "UpdateClusterLayout":
                self.layout["roles"] += body["roles"]
            case "ApplyClusterLayout":
                assert body == {"version": self.layout["version"] + 1}
                self.layout["version"] += 1
            case "ListKeys":
                return self.keys
            case "ImportKey":
                self.keys.append({"id": body["accessKeyId"], "name": body["name"]})
            case "AllowBucketKey":
                self.allowed.append(body["accessKeyId"])
            case "DeleteKey?id=old":
                self.keys = [key for key in self.keys if key["id"] != "old"]
            case "ListBuckets":
                return self.buckets
            case "CreateBucket":
                self.buckets.append({"id": "b", "globalAliases": [body["globalAlias"]]})
                return self.buckets[-1]
        return None


def test_node_without_a_zone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, Any] = {
        "/api/v1/namespaces/esq-data/pods/object-store-0": {"spec": {"nodeName": "node-1"}},
        "/api/v1/nodes/node-1": {"metadata": {"name": "node-1"}},
    }
    monkeypatch.setattr(layout, "get_from_kubernetes", answers.__getitem__)
    with pytest.raises(
        LookupError, match=r"node-1 of object-store-0 has no label topology\.kubernetes\.io/zone"
    ):
        layout.zone_of_pod("esq-data", "object-store-0")


def test_layout_is_applied_once() -> None:
    garage = FakeGarage([])
    desired_zones = {"n0": "zone-a", "n1": "zone-b"}
    assert layout.apply_layout(garage, desired_zones, 1).startswith("layout 2 applied")
    assert layout.apply_layout(garage, desired_zones, 1) == "layout 2 is up to date"
    assert garage.changed == ["UpdateClusterLayout", "ApplyClusterLayout"]


def test_obsolete_node_is_removed() -> None:
    changes = layout.role_changes({"roles": [{"id": "old", "zone": "zone-a"}]}, {"n0": "zone-a"}, 1)
    assert {"id": "old", "remove": True} in changes
    assert len(changes) == 2


def test_key_and_bucket_are_created_once() -> None:
    garage = FakeGarage([])
    assert layout.ensure_bucket(garage, "media", {"k": "s"}) == "media: key imported, bucket created"
    assert layout.ensure_bucket(garage, "media", {"k": "s"}) == "media: up to date"


def test_keys_of_all_accepted_generations_are_allowed_and_others_deleted() -> None:
    garage = FakeGarage([])
    garage.keys.append({"id": "of-another-bucket", "name": "backups"})
    layout.ensure_bucket(garage, "media", {"old": "s"})
    garage.allowed.clear()
    assert layout.ensure_bucket(garage, "media", {"new": "s", "old": "s"}) == "media: key imported"
    assert sorted(garage.allowed) == ["new", "old"]
    assert layout.ensure_bucket(garage, "media", {"new": "s"}) == "media: key deleted"
    assert [key["id"] for key in garage.keys] == ["of-another-bucket", "new"]


def test_missing_node_is_named_in_the_timeout() -> None:
    with pytest.raises(TimeoutError, match="n1"):
        layout.wait_for_nodes(FakeGarage([]), {"n0", "n1"}, deadline=layout.time.monotonic() + 0.01)


def test_metrics_of_a_broker_count_what_it_leads() -> None:
    partitions = [
        probe.Partition("events", 0, leader=1, replicas=[0, 1, 2], in_sync=[0, 1]),
        probe.Partition("events", 1, leader=0, replicas=[0, 1, 2], in_sync=[0]),
        probe.Partition("events", 2, leader=-1, replicas=[0, 1, 2], in_sync=[]),
    ]
    quorum = probe.Quorum(1, [probe.Voter(0, 0), probe.Voter(2, 7)])
    lines = probe.render_metrics(1, probe.Metadata([0, 1], partitions), quorum, 0.25).splitlines()
    assert {
        "kafka_led_partitions 1",
        "kafka_under_replicated_partitions 1",
        "kafka_offline_partitions 1",
        "kafka_active_controller 1",
        'kafka_quorum_voter_lag_records{voter="2"} 7',
    } <= set(lines)


def test_ages_of_a_backup_report_and_of_a_drill() -> None:
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    report = {
        "reported_at": "2026-01-01T23:59:00+00:00",
        "timeline_start": "2026-01-01T00:00:00+00:00",
        "last_archived_at": None,
        "repositories": [{"problem": ""}, {"problem": "no connection"}],
        "backups": [],
        "drill": {"finished_at": "2026-01-01T12:00:00+00:00", "succeeded": False},
    }
    lines = report_metrics.render(report, now).splitlines()
    assert lines == [
        "esq_backup_report_age_seconds 60",
        "esq_backup_age_seconds 86400",
        "esq_backup_repositories_failed 1",
        "esq_backup_drill_age_seconds 43200",
        "esq_backup_drill_failed 1",
    ]
    newer = {**report, "backups": [{"finished_at": "2026-01-01T23:00:00+00:00"}], "drill": None}
    assert "esq_backup_age_seconds 3600" in report_metrics.render(newer, now)
