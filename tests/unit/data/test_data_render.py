"""The rendered files, whole: a change of a line shows in review."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.render import kafka, objects, postgres, redis

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion


def test_patroni(snapshot: SnapshotAssertion) -> None:
    text = postgres.patroni(
        scope="postgres",
        labels={"app.kubernetes.io/name": "postgres"},
        shared_buffers="64MB",
        max_connections=100,
    )
    assert text == snapshot


def test_patroni_timing_keeps_its_rule() -> None:
    assert postgres.LOOP_WAIT + 2 * postgres.RETRY_TIMEOUT <= postgres.TTL


def test_post_init(snapshot: SnapshotAssertion) -> None:
    assert postgres.post_init(database="esq", admin="esq_admin") == snapshot


def test_redis(snapshot: SnapshotAssertion) -> None:
    assert (
        redis.server(maxmemory="32mb") + redis.sentinel() + redis.group("redis-0") + redis.ready() == snapshot
    )


def test_kafka(snapshot: SnapshotAssertion) -> None:
    assert kafka.server(["kafka-0.kafka", "kafka-1.kafka", "kafka-2.kafka"]) == snapshot


def test_kafka_start(snapshot: SnapshotAssertion) -> None:
    assert kafka.prepare() + kafka.logging() == snapshot


def test_kafka_users_open_the_clients_door_only() -> None:
    lines = kafka.users(broker="inner", clients={"esq": "outer"}).splitlines()
    doors = {line.split(".")[2]: line for line in lines}
    assert "outer" in doors["clients"]
    assert "inner" not in doors["clients"]
    assert "outer" not in doors["brokers"] + doors["controllers"]


def test_garage(snapshot: SnapshotAssertion) -> None:
    assert objects.garage(["aa@objects-0:3901", "bb@objects-1:3901"]) + objects.identity() == snapshot
