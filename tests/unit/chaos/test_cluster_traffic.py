"""Traffic in a Job: what it sends there, and several traffics as one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from chaos.traffic import in_cluster
from chaos.traffic.running import CombinedTraffic

PROJECT = Path(__file__).resolve().parents[3]
MAX_VARIABLE_BYTES = 100_000
"""Linux limits a variable to 128 KiB."""


def test_code_holds_everything_that_the_clients_import(tmp_path: Path) -> None:
    (tmp_path / "traffic.zip").write_bytes(in_cluster.code())
    shutil.copytree(PROJECT / "services" / "contracts", tmp_path / "services" / "contracts")
    shutil.copy(PROJECT / "services" / "__init__.py", tmp_path / "services")
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        # The image of the services has neither.
        "sys.modules |= {'httpx': None, 'boto3': None}\n"
        "from chaos.traffic import __main__\n"
        "__main__.clients([], None)\n"
    ) + "".join(f"import chaos.traffic.{name}\n" for name in in_cluster.CLIENTS)
    result = subprocess.run(
        [sys.executable, "-I", "-c", program, str(tmp_path), str(tmp_path / "traffic.zip")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.stderr == ""


def test_job_ends_and_disappears_by_itself() -> None:
    spec = in_cluster.job("esq-traffic-0123", "image")["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, in_cluster.MAX_SECONDS)
    assert spec["ttlSecondsAfterFinished"] <= 60
    (container,) = spec["template"]["spec"]["containers"]
    assert container["stdinOnce"]
    assert max(len(entry["value"]) for entry in container["env"]) < MAX_VARIABLE_BYTES


class _Part:
    def __init__(self, client: str, calls: list[str]) -> None:
        self.clients = (client,)
        self.silence = {f"{client}.read": 0.1}
        self.attempts = {f"{client}.read": (1, 0)}
        self.failure = ""
        self.calls = calls
        self.fails = False

    def __enter__(self) -> Self:
        if self.fails:
            raise RuntimeError(self.clients[0])
        self.calls.append(f"start {self.clients[0]}")
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append(f"stop {self.clients[0]}")

    def use_token_key(self, key: str) -> None:
        self.calls.append(f"key {key}")

    def result(self, *, reads_stored: bool = True) -> dict[str, Any]:
        assert reads_stored
        (client,) = self.clients
        return {"streams": {f"{client}.read": {}}, "stored": {f"{client}.write": [1]}, "problems": [client]}


def test_parts_are_one_traffic() -> None:
    calls: list[str] = []
    edge, redis = _Part("edge", calls), _Part("redis", calls)
    with CombinedTraffic([edge, redis]) as traffic:
        assert traffic.clients == ("edge", "redis")
        assert traffic.silence == {"edge.read": 0.1, "redis.read": 0.1}
        assert traffic.attempts == {"edge.read": (1, 0), "redis.read": (1, 0)}
        assert traffic.failure == ""
        redis.failure = "gone"
        assert traffic.failure == "gone"
        traffic.use_token_key("k")
        result = traffic.result()
    assert result == {
        "streams": {"edge.read": {}, "redis.read": {}},
        "stored": {"edge.write": [1], "redis.write": [1]},
        "problems": ["edge", "redis"],
    }
    assert calls == ["start edge", "start redis", "key k", "key k", "stop redis", "stop edge"]


def test_a_part_that_does_not_start_stops_the_others() -> None:
    calls: list[str] = []
    edge, redis = _Part("edge", calls), _Part("redis", calls)
    redis.fails = True
    with pytest.raises(RuntimeError), CombinedTraffic([edge, redis]):
        pass
    assert calls == ["start edge", "stop edge"]
