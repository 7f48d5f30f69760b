"""The webhook of Alertmanager: authenticated, bounded, idempotent; one run per fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli import alert_receiver
from cli.alert_receiver import AlertReceiver
from cli.alert_server import MAX_BODY_BYTES, AlertServer, load_token
from infra.process_identity import ProcessIdentity
from runbooks.run_record import RunRecord
from runbooks.run_store import RunStore
from tests.unit.runbooks.run_steps import Answers, Fault, open_store, runner

TIMEOUT_SECONDS = 30.0


def webhook(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {"version": "4", "status": "firing", "receiver": "esq", "alerts": list(alerts)}


def alert(name: str, fingerprint: str, **fields: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": name, "severity": "page"},
        "annotations": {"summary": f"{name} fires"},
        "startsAt": "2026-12-01T03:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": fingerprint,
        **fields,
    }


class Server:
    """A server whose runs a fault answers."""

    def __init__(self, folder: Path) -> None:
        self.fault = Fault()
        self.store: RunStore = open_store(folder, self.fault)
        self.release = threading.Event()
        self.worked = threading.Event()
        self.walker = runner(self.store, self.fault, Answers(approved=None, is_unattended=True))
        self.walk: Callable[[str], object] = self.walker.walk
        self.receiver = AlertReceiver(self.store, self._walk, self.walker.close)
        self.http = AlertServer(self.receiver, "secret", address="127.0.0.1", port=0)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def _walk(self, run_id: str) -> None:
        assert self.release.wait(TIMEOUT_SECONDS)
        self.walk(run_id)
        self.worked.set()

    def post(self, body: Any, token: str = "secret", path: str = "/alerts") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        url = f"http://127.0.0.1:{self.http.server_port}{path}"
        return httpx.post(url, headers=headers, timeout=TIMEOUT_SECONDS, **content)

    def wait_for(self, run_id: str, state: str) -> RunRecord:
        for _ in range(int(TIMEOUT_SECONDS / 0.02)):
            if (record := self.store.read(run_id)).state == state:
                return record
            threading.Event().wait(0.02)
        raise AssertionError(f"{record.state} instead of {state}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "runs")
    yield started
    started.release.set()
    started.http.shutdown()
    started.http.server_close()
    started.receiver.stop()


def test_alert_starts_a_run_that_proposes_and_its_end_resolves_it(server: Server) -> None:
    (run_id,) = server.post(webhook(alert("PostgresDown", "a1"))).json()["runs"]
    assert server.store.read(run_id).state == "running"
    server.release.set()
    record = server.wait_for(run_id, "waiting")
    assert record.alerts[0].summary == "PostgresDown fires"
    assert [step.state for step in record.steps] == ["finding", *["proposed"] * 3, "finding"]

    server.fault.actions_needed = 0
    ended = alert("PostgresDown", "a1", status="resolved", endsAt="2026-12-01T03:09:00Z")
    assert server.post(webhook(ended)).json()["runs"] == [run_id]
    server.wait_for(run_id, "resolved")


def test_run_whose_alert_ends_while_it_is_worked_on_does_not_wait_for_ever(server: Server) -> None:
    (run_id,) = server.post(webhook(alert("PostgresDown", "a1"))).json()["runs"]
    ended = alert("PostgresDown", "a1", status="resolved", endsAt="2026-12-01T03:09:00Z")
    server.post(webhook(ended))

    def walk(run_id: str) -> None:
        server.walker.walk(run_id)
        server.fault.actions_needed = 0

    server.walk = walk
    server.release.set()
    record = server.wait_for(run_id, "resolved")
    assert [step.state for step in record.steps] == ["finding", *["skipped"] * 3, "good"]


def test_alerts_of_one_fault_are_one_run_and_a_repetition_changes_nothing(server: Server) -> None:
    both = webhook(alert("ZoneDown", "a1"), alert("PostgresDown", "a2"))
    (run_id,) = server.post(both).json()["runs"]
    before = server.store.records()
    assert server.post(both).json()["runs"] == [run_id]
    assert server.store.records() == before
    assert len(before[0].alerts) == 2


def test_alert_that_is_not_in_the_table_gets_the_runbook_of_an_unknown_outage(server: Server) -> None:
    (run_id,) = server.post(webhook(alert("SomebodysAlert", "a1"))).json()["runs"]
    assert server.store.read(run_id).runbook == "unknown-outage"


def test_request_is_answered_while_all_workers_hang(server: Server) -> None:
    names = ("PostgresDown", "RedisDown", "KafkaDown", "BackupStale", "DeadLetters", "FaultLeft")
    for index, name in enumerate(names):
        assert server.post(webhook(alert(name, f"a{index}"))).status_code == 200
    assert len(server.store.records()) == len(names) > alert_receiver.MAX_WORKERS


def test_too_many_waiting_runs_are_refused_until_workers_are_free(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_receiver, "MAX_WAITING", 0)
    refused = server.post(webhook(alert("PostgresDown", "a1")))
    assert refused.status_code == 503
    assert server.store.records() == []
    monkeypatch.setattr(alert_receiver, "MAX_WAITING", 1)
    assert server.post(webhook(alert("PostgresDown", "a1"))).status_code == 200


@pytest.mark.parametrize(
    ("body", "token", "path", "status"),
    [
        (webhook(), "", "/alerts", 401),
        (webhook(), "wrong", "/alerts", 401),
        (webhook(), "secret", "/other", 404),
        (b"x" * (MAX_BODY_BYTES + 1), "secret", "/alerts", 413),
        (b"{", "secret", "/alerts", 400),
        ({"alerts": [{"status": "firing"}]}, "secret", "/alerts", 400),
        (webhook(alert("PostgresDown", "../../etc")), "secret", "/alerts", 400),
        (webhook(*[alert("PostgresDown", "a1")] * (alert_receiver.MAX_ALERTS + 1)), "secret", "/alerts", 400),
    ],
)
def test_invalid_requests_are_refused(server: Server, body: Any, token: str, path: str, status: int) -> None:
    try:
        response = server.post(body, token, path)
    except httpx.WriteError:  # the server closed the connection while the body was sent
        assert status == 413
    else:
        assert response.status_code == status
        assert "error" in response.json()
    assert server.store.records() == []


def test_health_needs_no_token(server: Server) -> None:
    url = f"http://127.0.0.1:{server.http.server_port}"
    assert httpx.get(f"{url}/health").status_code == 200
    assert httpx.get(f"{url}/alerts").status_code == 404


def test_runs_of_a_killed_server_continue(server: Server) -> None:
    run = server.store.create("postgres-down")
    dead = ProcessIdentity(pid=2**22, start_ticks=1, boot_id="none")
    server.store.update(run.id, lambda record: record.model_copy(update={"owner": dead}))

    assert server.receiver.continue_interrupted() == [run.id]
    server.release.set()
    server.wait_for(run.id, "waiting")


def test_failed_run_does_not_end_the_worker(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.receiver._work = lambda run_id: 1 / 0  # type: ignore[assignment]  # noqa: ARG005 - a defect
    server.post(webhook(alert("PostgresDown", "a1")))
    server.receiver._work = server._walk
    server.release.set()
    (run_id,) = server.post(webhook(alert("BackupStale", "b1"))).json()["runs"]
    server.wait_for(run_id, "waiting")
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_token_is_made_once_in_a_file_of_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert load_token(file) == load_token(file)
    assert file.stat().st_mode & 0o777 == 0o600
