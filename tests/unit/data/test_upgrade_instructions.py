"""The command of docs/upgrades.md runs in a broker's pod."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from infra.config_files import kafka

DOCUMENT = Path(__file__).parents[3] / "docs" / "upgrades.md"


def test_finalization_of_kafka_uses_only_what_the_container_has(tmp_path: Path) -> None:
    prepare_properties(tmp_path)
    java = tmp_path / "java"
    java.write_text('#!/bin/sh\necho "$@"; cat "$CLIENT"\n')
    java.chmod(0o755)
    (script,) = re.findall(r"esq exec ENV kafka -- sh -c '(.*?)'", DOCUMENT.read_text(), re.DOTALL)
    script = script.replace("/run/kafka", str(tmp_path)).replace("/tmp/client", str(tmp_path / "client"))  # noqa: S108 - a path of the pod
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CLIENT": str(tmp_path / "client")}
    done = subprocess.run(
        ["sh", "-euc", script], env=environment, check=True, capture_output=True, text=True, timeout=30
    )
    assert "--bootstrap-server kafka-1.kafka.esq-data:9093 --command-config" in done.stdout
    assert "\nsasl.jaas.config=" in done.stdout
    assert not (tmp_path / "client").exists()


def prepare_properties(folder: Path) -> None:
    """Write what the init container writes, for a formatted volume."""
    (folder / "data").mkdir()
    (folder / "shared.properties").write_text(kafka.render_server_properties(["localhost"], []))
    users = kafka.render_users_properties(nodes={"broker-a": "x"}, clients={})
    (folder / "users.properties").write_text(users)
    script = kafka.render_prepare_script()
    for path, name in {
        "/etc/esq/kafka/server.properties": "shared.properties",
        "/etc/esq/users/users.properties": "users.properties",
        kafka.PROPERTIES_FILE: "server.properties",
        kafka.DATA_DIRECTORY: "data",
    }.items():
        script = script.replace(path, str(folder / name))
    environment = {**os.environ, "HOSTNAME": "kafka-1", "ESQ_DOMAIN": "kafka.esq-data"}
    subprocess.run(["sh", "-c", script], env=environment, check=True, timeout=30)
