"""The traffic process after a kill: the experiment gets an error, and no process remains."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import httpx
import jwt
import psutil
import pytest

from chaos.traffic import process
from chaos.traffic.client import Endpoints, TokenClient
from chaos.traffic.edge import COMPANY, EdgeTraffic, RejectedError
from chaos.traffic.process import Traffic, TrafficFailedError
from infra.certificate_authority import create_ca
from tests.servers.zones import seconds_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

UNREACHABLE = Endpoints(
    run_name="test",
    ca_certificate="",
    edge_url="https://127.0.0.1:1",
    edge_ca_certificate="",
    token_key="",
    postgres={},
    kafka={},
    redis={},
    object_store={},
)
CA = create_ca().certificate
NAMESERVER = "10.99.99.11"
"""Receives no query, because there are no clients."""


@pytest.mark.parametrize("nameservers", [[NAMESERVER], []])
def test_result_of_a_killed_process_fails_and_no_process_remains(nameservers: list[str]) -> None:
    others = set(psutil.Process().children())
    with Traffic([], UNREACHABLE, nameservers) as traffic:
        processes = set(psutil.Process().children()) - others
        for process in processes:
            process.kill()
        seconds_until(
            lambda: all(process.status() == psutil.STATUS_ZOMBIE for process in processes), timeout=10
        )
        with pytest.raises(TrafficFailedError, match="has exited"):
            traffic.result()
    assert not any(process.is_running() for process in processes)


def test_killed_traffic_process_is_a_failure_and_its_silence_grows() -> None:
    with Traffic([], UNREACHABLE, [NAMESERVER]) as traffic:
        assert traffic.failure == ""
        traffic._report = (time.monotonic(), {"edge.read": 0.1})
        traffic._process.kill()
        seconds_until(lambda: traffic.failure != "", timeout=10)
        assert traffic.failure == "the traffic process has exited"
        seconds_until(lambda: traffic.silence["edge.read"] > 0.3, timeout=10)
    assert traffic.failure == ""


def test_killed_name_resolution_is_a_failure() -> None:
    with Traffic([], UNREACHABLE, [NAMESERVER]) as traffic:
        traffic._dns.kill()
        seconds_until(lambda: "name resolution" in traffic.failure, timeout=10)


def test_traffic_process_that_stops_reporting_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with Traffic([], UNREACHABLE, [NAMESERVER]) as traffic:
        traffic._process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(process, "MAX_REPORT_AGE_SECONDS", 1.0)
        seconds_until(lambda: "has not reported for" in traffic.failure, timeout=20)
        traffic._process.send_signal(signal.SIGCONT)
        seconds_until(lambda: traffic.failure == "", timeout=20)
        traffic.result()
        assert traffic.failure == ""


def test_no_process_remains_after_the_experiment_is_killed() -> None:
    endpoints = f"Endpoints.model_validate_json({UNREACHABLE.model_dump_json()!r})"
    script = f"""\
import time
from chaos.traffic import process
from chaos.traffic.client import Endpoints
from chaos.traffic.process import Traffic
traffic = Traffic([], {endpoints}, [{NAMESERVER!r}]).__enter__()
print('ready', flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as experiment:
        assert experiment.stdout is not None
        assert experiment.stdout.readline() == "ready\n"
        processes = psutil.Process(experiment.pid).children()
        experiment.kill()
    assert len(processes) == 2
    seconds_until(lambda: not any(process.is_running() for process in processes), timeout=10)


def test_processes_have_cpu_priority_until_stopped() -> None:
    others = set(psutil.Process().children())
    with Traffic([], UNREACHABLE, [NAMESERVER]) as traffic:
        assert {process.nice() for process in set(psutil.Process().children()) - others} == {-10}
        assert traffic.result() == {"streams": {}, "stored": {}, "problems": []}


def test_edge_traffic_uses_a_new_token_key_from_the_next_request() -> None:
    client = EdgeTraffic(UNREACHABLE.model_copy(update={"token_key": "old" * 12, "edge_ca_certificate": CA}))
    assert isinstance(client, TokenClient)
    client.use_token_key("new" * 12)
    token = client._http.headers["Authorization"].removeprefix("Bearer ")
    assert jwt.decode(token, "new" * 12, algorithms=["HS256"])["company"] == COMPANY


def test_a_new_token_key_does_not_stop_the_traffic() -> None:
    with Traffic([], UNREACHABLE, [NAMESERVER]) as traffic:
        traffic.use_token_key("new" * 12)
        assert traffic.result() == {"streams": {}, "stored": {}, "problems": []}


def test_interrupted_traffic_returns_its_logs_at_once() -> None:
    with Traffic([], UNREACHABLE, [NAMESERVER]) as traffic:
        assert traffic.result(reads_stored=False) == {"streams": {}, "stored": {}, "problems": []}


async def test_an_error_of_the_edge_traffic_names_status_and_reason() -> None:
    client = EdgeTraffic(UNREACHABLE.model_copy(update={"token_key": "k" * 36, "edge_ca_certificate": CA}))
    response = httpx.Response(503, text="<h1>503</h1>\nNo server is available")
    client._http = httpx.AsyncClient(
        base_url="http://edge", transport=httpx.MockTransport(lambda _: response)
    )
    with pytest.raises(RejectedError, match="503 <h1>503</h1> No server is available"):
        await client._read(0)
