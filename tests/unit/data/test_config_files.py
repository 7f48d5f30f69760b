"""The rendered files, whole: a change of a line shows in review."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from patroni.postgresql.config import ConfigHandler

from infra.config_files import garage, kafka, pgbackrest, postgres, redis
from services.contracts.backup_verification import (
    ARCHIVE_TIMEOUT_SECONDS,
    HEARTBEAT_INTERVAL_SECONDS,
    RPO_SECONDS,
)

if TYPE_CHECKING:
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion


def test_patroni(snapshot: SnapshotAssertion) -> None:
    text = postgres.render_patroni_yaml(
        scope="postgres",
        labels={"app.kubernetes.io/name": "postgres"},
        shared_buffers="64MB",
        max_connections=100,
    )
    assert text == snapshot


def test_what_patroni_takes_only_from_what_is_shared_is_declared_there() -> None:
    text = postgres.render_patroni_yaml(scope="s", labels={}, shared_buffers="64MB", max_connections=9)
    local = yaml.safe_load(text)["postgresql"]["parameters"]
    assert not {*local} & {*ConfigHandler.CMDLINE_OPTIONS}, "Patroni passes over these without a word"


def test_patroni_timing_keeps_its_rule() -> None:
    assert postgres.LOOP_WAIT + 2 * postgres.RETRY_TIMEOUT <= postgres.TTL


def test_post_init(snapshot: SnapshotAssertion) -> None:
    assert postgres.render_post_init_script(database="esq", admin_role="esq_admin") == snapshot


def test_redis(snapshot: SnapshotAssertion) -> None:
    assert (
        redis.render_redis_conf(maxmemory="32mb")
        + redis.render_sentinel_conf()
        + redis.render_sentinel_monitor_conf("redis-0")
        == snapshot
    )


def test_kafka(snapshot: SnapshotAssertion) -> None:
    assert kafka.render_server_properties(["kafka-0.kafka", "kafka-1.kafka", "kafka-2.kafka"]) == snapshot


def test_kafka_start(snapshot: SnapshotAssertion) -> None:
    assert kafka.render_prepare_script() + kafka.render_log4j2_properties() == snapshot


def test_kafka_users_open_the_clients_door_only() -> None:
    lines = kafka.render_users_properties(broker="inner", clients={"esq": "outer"}).splitlines()
    doors = {line.split(".")[2]: line for line in lines}
    assert "outer" in doors["clients"]
    assert "inner" not in doors["clients"]
    assert "outer" not in doors["brokers"] + doors["controllers"]


def test_garage(snapshot: SnapshotAssertion) -> None:
    assert (
        garage.render_garage_toml(["aa@objects-0:3901", "bb@objects-1:3901"])
        + garage.render_node_key_script()
        == snapshot
    )


REPOSITORIES = tuple(
    pgbackrest.Repository(
        host=f"{name}.example",
        port=3900,
        region="esq",
        bucket=name,
        key_id="GK1",
        key_secret="a-key",
        cipher_pass="a-pass",
        ca_file="/ca.crt",
        retention_days=2,
    )
    for name in ("backups", "vault")
)


def test_pgbackrest_beside_postgres(snapshot: SnapshotAssertion) -> None:
    assert pgbackrest.render_member_config(REPOSITORIES) == snapshot


def test_pgbackrest_where_backups_are_taken(snapshot: SnapshotAssertion) -> None:
    assert pgbackrest.render_backup_config(REPOSITORIES, ["postgres-0.pods", "postgres-1.pods"]) == snapshot


def test_pgbackrest_where_backups_are_restored(snapshot: SnapshotAssertion) -> None:
    assert pgbackrest.render_restore_config(REPOSITORIES[:1]) == snapshot


@pytest.mark.parametrize(
    ("answer", "segment", "code"),
    [
        (0, "00000007000000000000001F", 0),
        (45, "00000006000000000000001F", 0),
        (45, "0000000600000000000000A0", 45),
        (45, "00000007000000000000001F", 45),
        (45, "00000005000000010000001C", 0),
        (25, "00000006000000000000001F", 25),
    ],
)
def test_only_the_segment_in_which_a_timeline_ended_may_be_there_already(
    tmp_path: Path, answer: int, segment: str, code: int
) -> None:
    program, script = tmp_path / "pgbackrest", tmp_path / "archive.sh"
    program.write_text(f"#!/bin/sh\nexit {answer}\n")
    script.write_text(pgbackrest.render_archive_script())
    script.chmod(0o755)
    program.chmod(0o755)
    told = "4\t0/1786B6F8\tno recovery target specified\n\n5\t1/1C1BEA00\tno recovery target specified\n"
    (tmp_path / "00000006.history").write_text(told)
    (tmp_path / "00000007.history").write_text(told + "6\t0/1F698208\tno recovery target specified\n")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    found = subprocess.run([script, tmp_path / segment], env=environment, check=False)
    assert found.returncode == code


def test_a_repositorys_secrets_are_not_shown() -> None:
    assert "a-key" not in repr(REPOSITORIES)
    assert "a-pass" not in repr(REPOSITORIES)


def test_a_first_member_restores_only_when_asked(snapshot: SnapshotAssertion) -> None:
    words = {"scope": "postgres", "labels": {}, "shared_buffers": "64MB", "max_connections": 100}
    new, restored = (postgres.render_patroni_yaml(**words, restore=each) for each in (False, True))
    differ = set(new.splitlines()) ^ set(restored.splitlines())
    assert {line for line in differ if "initdb" in line or "method" in line}
    assert postgres.render_start_script() + postgres.render_restore_script() == snapshot


def test_the_log_is_archived_within_the_promise() -> None:
    assert f"archive_timeout: {ARCHIVE_TIMEOUT_SECONDS}s" in postgres.render_patroni_yaml(
        scope="postgres", labels={}, shared_buffers="64MB", max_connections=100
    )
    # Handing over takes seconds; the heartbeat is what measures it.
    assert ARCHIVE_TIMEOUT_SECONDS + HEARTBEAT_INTERVAL_SECONDS + 15 <= RPO_SECONDS


def test_the_proxy_of_the_object_store(snapshot: SnapshotAssertion) -> None:
    assert garage.render_haproxy_config() == snapshot
