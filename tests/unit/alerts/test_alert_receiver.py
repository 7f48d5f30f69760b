"""The receiver stores what Alertmanager sends, within limits."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from infra.alerts.pod_programs.alert_receiver import MAX_RECORDS, Records, make_server


def _alert(number: int = 0, summary: str = "") -> dict[str, object]:
    return {
        "status": "firing",
        "labels": {"alertname": "PostgresDown", "number": str(number)},
        "annotations": {"summary": summary},
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "not stored",
    }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    server = make_server("127.0.0.1", 0, tmp_path / "received")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


def test_notification_is_stored_and_read(server: ThreadingHTTPServer) -> None:
    assert httpx.post(_url(server), json={"alerts": [_alert()]}).status_code == 200
    (line,) = httpx.get(_url(server)).text.splitlines()
    record = json.loads(line)
    assert record["labels"]["alertname"] == "PostgresDown"
    assert set(record) == {"received_at", "status", "labels", "annotations", "startsAt", "endsAt"}


@pytest.mark.parametrize(
    "body", ["[]", "{}", '{"alerts": 1}', '{"alerts": [1]}', '{"alerts": [{}]}', "no JSON"]
)
def test_anything_else_is_rejected_and_nothing_is_stored(server: ThreadingHTTPServer, body: str) -> None:
    assert httpx.post(_url(server), content=body).status_code == 400
    assert httpx.get(_url(server)).text == ""


def test_empty_body_is_rejected(server: ThreadingHTTPServer) -> None:
    assert httpx.post(_url(server), content="").status_code == 413


def test_storage_is_bounded_and_the_newest_survive_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "received"
    records = Records(file)
    for start in range(0, 3 * MAX_RECORDS, 100):
        records.add({"alerts": [_alert(number) for number in range(start, start + 100)]})
    assert len(file.read_text().splitlines()) < 2 * MAX_RECORDS
    lines = Records(file).text().splitlines()
    assert len(lines) == MAX_RECORDS
    assert json.loads(lines[-1])["labels"]["number"] == str(3 * MAX_RECORDS - 1)


def test_long_text_of_an_alert_is_not_stored(tmp_path: Path) -> None:
    records = Records(tmp_path / "received")
    records.add({"alerts": [_alert(summary="x" * 100_000)]})
    assert json.loads(records.text())["annotations"] == {}
