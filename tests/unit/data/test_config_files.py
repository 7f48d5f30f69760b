"""Rendered configuration files, compared with snapshots: each changed line is visible in a review."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from patroni.postgresql.config import ConfigHandler

from infra.config_files import garage, kafka, pgbackrest, postgres, postgres_accounts, redis
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


def test_parameters_of_the_dynamic_configuration_are_not_declared_locally() -> None:
    text = postgres.render_patroni_yaml(scope="s", labels={}, shared_buffers="64MB", max_connections=9)
    local = yaml.safe_load(text)["postgresql"]["parameters"]
    assert not {*local} & {*ConfigHandler.CMDLINE_OPTIONS}, "Patroni silently ignores these"


def test_patroni_timing_is_valid() -> None:
    assert postgres.LOOP_WAIT + 2 * postgres.RETRY_TIMEOUT <= postgres.TTL


def test_post_init(snapshot: SnapshotAssertion) -> None:
    assert postgres.render_post_init_script(database="esq") == snapshot


def test_postgres_accounts(snapshot: SnapshotAssertion) -> None:
    logins = {"campaigns_a": "a-password", "campaigns_b": "it's another"}
    assert (
        postgres_accounts.render_accounts_script("/accounts.sql", "/database.sql")
        + postgres_accounts.render_accounts_sql(logins)
        + postgres_accounts.render_database_sql("esq")
        == snapshot
    )


def test_redis(snapshot: SnapshotAssertion) -> None:
    assert (
        redis.render_redis_conf(maxmemory="32mb")
        + redis.render_sentinel_conf()
        + redis.render_sentinel_monitor_conf("redis-0")
        == snapshot
    )


def test_redis_accounts(snapshot: SnapshotAssertion) -> None:
    names = (redis.ADMIN, redis.PROBE, redis.REPLICATION, redis.SENTINEL, "whatsapp")
    passwords = dict.fromkeys(names, ("new", "old"))
    assert redis.render_server_users(passwords) + redis.render_sentinel_users(passwords) == snapshot


def test_kafka(snapshot: SnapshotAssertion) -> None:
    nodes = ["kafka-0.kafka", "kafka-1.kafka", "kafka-2.kafka"]
    assert kafka.render_server_properties(nodes, ["broker-a", "esq-a"]) == snapshot


def test_kafka_prepare_script_and_logging(snapshot: SnapshotAssertion) -> None:
    assert kafka.render_prepare_script() + kafka.render_log4j2_properties() == snapshot


def test_kafka_users_are_valid_on_the_client_listener_only() -> None:
    nodes = {"broker-b": "internal", "broker-a": "internal-old"}
    lines = kafka.render_users_properties(nodes=nodes, clients={"esq-a": "external"}).splitlines()
    listeners = {line.split(".")[2]: line for line in lines}
    assert "external" in listeners["clients"]
    assert "internal" not in listeners["clients"]
    assert "external" not in listeners["brokers"] + listeners["controllers"]
    assert 'username="broker-b"' in listeners["brokers"], "nodes use the first generation"
    assert 'user_broker-a="internal-old"' in listeners["brokers"], "and accept both"


def test_garage(snapshot: SnapshotAssertion) -> None:
    assert (
        garage.render_garage_toml(["aa@object-store-0:3901", "bb@object-store-1:3901"])
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
    for name in ("backups", "offsite-store")
)


def test_pgbackrest_member(snapshot: SnapshotAssertion) -> None:
    assert pgbackrest.render_member_config(REPOSITORIES) == snapshot


def test_pgbackrest_backup(snapshot: SnapshotAssertion) -> None:
    assert pgbackrest.render_backup_config(REPOSITORIES, ["postgres-0.pods", "postgres-1.pods"]) == snapshot


def test_pgbackrest_restore(snapshot: SnapshotAssertion) -> None:
    assert pgbackrest.render_restore_config(REPOSITORIES[:1]) == snapshot


@pytest.mark.parametrize(
    ("pgbackrest_code", "segment", "code"),
    [
        (0, "00000007000000000000001F", 0),
        (45, "00000006000000000000001F", 0),
        (45, "0000000600000000000000A0", 45),
        (45, "00000007000000000000001F", 45),
        (45, "00000005000000010000001C", 0),
        (25, "00000006000000000000001F", 25),
    ],
)
def test_archive_script_skips_only_last_segments_of_timelines(
    tmp_path: Path, pgbackrest_code: int, segment: str, code: int
) -> None:
    program, script = tmp_path / "pgbackrest", tmp_path / "archive.sh"
    program.write_text(f"#!/bin/sh\nexit {pgbackrest_code}\n")
    script.write_text(pgbackrest.render_archive_script())
    script.chmod(0o755)
    program.chmod(0o755)
    history = "4\t0/1786B6F8\tno recovery target specified\n\n5\t1/1C1BEA00\tno recovery target specified\n"
    (tmp_path / "00000006.history").write_text(history)
    (tmp_path / "00000007.history").write_text(history + "6\t0/1F698208\tno recovery target specified\n")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    process = subprocess.run([script, tmp_path / segment], env=environment, check=False)
    assert process.returncode == code


def test_repr_of_a_repository_hides_secrets() -> None:
    assert "a-key" not in repr(REPOSITORIES)
    assert "a-pass" not in repr(REPOSITORIES)


def test_restore_configuration_differs_in_bootstrap_only(snapshot: SnapshotAssertion) -> None:
    arguments: dict[str, Any] = {
        "scope": "postgres",
        "labels": {},
        "shared_buffers": "64MB",
        "max_connections": 100,
    }
    new, restored = (postgres.render_patroni_yaml(**arguments, restore=restore) for restore in (False, True))
    differ = set(new.splitlines()) ^ set(restored.splitlines())
    assert {line for line in differ if "initdb" in line or "method" in line}
    assert postgres.render_start_script() + postgres.render_restore_script() == snapshot


def test_archive_timeout_fits_the_rpo() -> None:
    assert f"archive_timeout: {ARCHIVE_TIMEOUT_SECONDS}s" in postgres.render_patroni_yaml(
        scope="postgres", labels={}, shared_buffers="64MB", max_connections=100
    )
    # Archiving takes seconds; the heartbeat measures it.
    assert ARCHIVE_TIMEOUT_SECONDS + HEARTBEAT_INTERVAL_SECONDS + 15 <= RPO_SECONDS


def test_object_store_proxy(snapshot: SnapshotAssertion) -> None:
    assert garage.render_haproxy_config() == snapshot
