"""The decisions in the scripts that are shipped into pods."""

from __future__ import annotations

from typing import Any

import pytest

from infra.components.kafka.pod_programs import probe
from infra.components.object_store.pod_programs import layout
from infra.components.redis.pod_programs import write_config
from infra.config_files import redis

KEPT = """\
sentinel monitor esq redis-1.redis 6379 2
sentinel config-epoch esq 7
sentinel current-epoch 7
sentinel known-replica esq redis-0.redis 6379
sentinel known-sentinel esq redis-2.redis 26379 abc
"""


def test_the_sentinels_know_the_primary_best() -> None:
    assert write_config.select_primary(["b", None, "b"], "a", "first") == "b"


def test_without_a_sentinel_the_kept_file_knows() -> None:
    assert (
        write_config.select_primary([None, None], write_config.previous_primary(KEPT, "esq"), "first")
        == "redis-1.redis"
    )


def test_in_a_new_environment_it_is_the_first_pod() -> None:
    assert (
        write_config.select_primary([None, None], write_config.previous_primary("", "esq"), "first")
        == "first"
    )


def test_peers_are_kept_only_under_the_same_primary() -> None:
    same = write_config.previous_sentinel_state(KEPT, "esq", same_primary=True)
    other = write_config.previous_sentinel_state(KEPT, "esq", same_primary=False)
    assert same.count("known-") == 2
    assert "known-" not in other
    assert "config-epoch esq 7" in other
    assert "monitor" not in same


def test_a_sentinel_keeps_its_identity_and_watches_before_it_logs_in() -> None:
    group = redis.render_sentinel_monitor_conf("redis-1")
    one, again = (write_config.sentinel_conf("", group, "redis-0", ("p", "s"), "") for _ in range(2))
    assert one == again
    assert one.index("sentinel monitor") < one.index("sentinel auth-pass esq p")


def test_a_primary_follows_nobody() -> None:
    assert "replicaof" not in write_config.server_conf("", "redis-0", "redis-0", "p", 6379)
    assert "replicaof redis-0 6379" in write_config.server_conf("", "redis-1", "redis-0", "p", 6379)


WHOLE = probe.Partition("t", 0, 0, [0, 1, 2], [0, 1, 2])
LAGGING = probe.Partition("t", 1, 0, [0, 1, 2], [0, 1])
LED = probe.Quorum(1, [])


@pytest.mark.parametrize(
    ("metadata", "quorum", "reason"),
    [
        (probe.Metadata([0, 1, 2], [WHOLE]), LED, None),
        (probe.Metadata([0, 1, 2], []), probe.Quorum(-1, []), "no leader"),
        (probe.Metadata([0, 1], [WHOLE]), LED, "fenced"),
        (probe.Metadata([0, 1, 2], [WHOLE, LAGGING]), LED, "catching up on 1 partitions, e.g. t-1"),
    ],
)
def test_when_a_broker_is_ready(metadata: probe.Metadata, quorum: probe.Quorum, reason: str | None) -> None:
    found = probe.readiness_problem(2, metadata, quorum)
    assert (found is None) if reason is None else reason in str(found)


def test_variable_length_numbers() -> None:
    assert probe.ProtocolReader(bytes([0xAC, 0x02])).read_varint() == 300


class FakeGarage(layout.Garage):
    """The admin API in memory."""

    def __init__(self, roles: list[dict[str, object]]) -> None:
        super().__init__([], "")
        self.layout: dict[str, Any] = {"version": 1, "roles": roles}
        self.keys: list[dict[str, object]] = []
        self.buckets: list[dict[str, object]] = []
        self.changed: list[str] = []

    def call(self, name: str, body: Any = None) -> Any:
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
                self.keys.append({"id": body["accessKeyId"]})
            case "ListBuckets":
                return self.buckets
            case "CreateBucket":
                self.buckets.append({"id": "b", "globalAliases": [body["globalAlias"]]})
                return self.buckets[-1]
        return None


def test_a_layout_is_applied_once() -> None:
    garage = FakeGarage([])
    wanted = {"n0": "zone-a", "n1": "zone-b"}
    assert layout.apply_layout(garage, wanted, 1).startswith("layout 2 applied")
    assert layout.apply_layout(garage, wanted, 1) == "layout 2 is right"
    assert garage.changed == ["UpdateClusterLayout", "ApplyClusterLayout"]


def test_a_node_that_is_no_longer_wanted_is_removed() -> None:
    changes = layout.role_changes({"roles": [{"id": "old", "zone": "zone-a"}]}, {"n0": "zone-a"}, 1)
    assert {"id": "old", "remove": True} in changes
    assert len(changes) == 2


def test_key_and_bucket_are_made_once() -> None:
    garage = FakeGarage([])
    assert layout.ensure_bucket(garage, "media", "k", "s") == "media: key imported, bucket made"
    assert layout.ensure_bucket(garage, "media", "k", "s") == "media: as it should be"


def test_a_node_that_never_comes_is_named() -> None:
    with pytest.raises(TimeoutError, match="n1"):
        layout.wait_for_nodes(FakeGarage([]), {"n0", "n1"}, deadline=layout.time.monotonic() + 0.01)
