"""`esq alerts` with a fake of the observability layer."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from cli.actions import alerts
from cli.commands import alerts as commands
from cli.commands.alerts import parse_duration
from cli.main import run
from cli.observability_client import FiringAlert
from infra.errors import EsqError, ExitCode, UsageError
from runbooks.readings import Sample

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class FakeLayer:
    """Alertmanager that sends to a webhook and to Slack, which may be broken."""

    def __init__(self, *firing: FiringAlert) -> None:
        self.firing = list(firing)
        self.requests: list[tuple[str, str, Any]] = []
        self.begun = {"webhook": 3.0, "slack": 1.0, "email": 0.0}
        self.ended = dict(self.begun)
        self.failed = {"webhook": 0.0, "slack": 1.0, "email": 0.0}
        self.is_sending = True
        self.answering = ("webhook", "slack")

    def alerts(self) -> list[FiringAlert]:
        return self.firing

    def metrics_query(self, query: str) -> list[Sample]:
        counts = self.begun
        if "requests" in query:
            counts = self.failed if "failed" in query else self.ended
        return [Sample({"integration": name}, count) for name, count in counts.items()]

    def request(self, method: str, _part: str, path: str, *, body: Any = None, **_: Any) -> str:
        self.requests.append((method, path, body))
        if path == "/api/v2/alerts" and self.is_sending:
            for name in ("webhook", "slack"):
                self.begun[name] += 1
            for name in self.answering:
                self.ended[name] += 1
            self.failed["slack"] += "slack" in self.answering
        return '{"silenceID": "abc"}'


def _alert(name: str, severity: str, minute: int, state: str = "active") -> FiringAlert:
    labels = {"alertname": name, "severity": severity}
    return FiringAlert(labels, {"summary": f"{name}!"}, NOW + dt.timedelta(minutes=minute), state)


def test_pages_are_listed_before_tickets() -> None:
    layer = FakeLayer(_alert("DiskPressure", "ticket", 0), _alert("PostgresDown", "page", 1))
    rows = alerts.alert_rows(layer)
    assert [row["alert"] for row in rows] == ["PostgresDown", "DiskPressure"]
    assert rows[0]["runbook"] == "postgres-down"


def test_list_of_a_layer_that_cannot_page_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = FakeLayer()
    monkeypatch.setattr(commands, "_client", lambda _: layer)
    monkeypatch.setattr(layer, "metrics_query", lambda query: [Sample({}, float("instance" not in query))])
    assert run(["alerts", "list", "local"]) == ExitCode.FAILED
    assert capsys.readouterr().out == "nobody evaluates the rules, so that no alert can fire\n"

    def fail(_: str) -> list[Sample]:
        raise EsqError("no answer")

    monkeypatch.setattr(layer, "metrics_query", fail)
    layer.firing.append(_alert("DiskPressure", "ticket", 0))
    assert run(["alerts", "list", "local"]) == ExitCode.FAILED
    text = capsys.readouterr().out
    assert "DiskPressure" in text
    assert "not known whether alerts can fire: no answer" in text


def test_silence_names_the_alert_and_its_end() -> None:
    layer = FakeLayer()
    assert alerts.silence(layer, "PostgresDown", 3600, "maintenance") == "abc"
    ((method, path, body),) = layer.requests
    assert (method, path) == ("POST", "/api/v2/silences")
    assert body["matchers"] == [
        {"name": "alertname", "value": "PostgresDown", "isRegex": False, "isEqual": True}
    ]
    duration = dt.datetime.fromisoformat(body["endsAt"]) - dt.datetime.fromisoformat(body["startsAt"])
    assert duration == dt.timedelta(hours=1)
    assert body["comment"] == "maintenance"


def test_silence_of_an_unknown_alert_suggests_a_name() -> None:
    with pytest.raises(UsageError) as error:
        alerts.silence(FakeLayer(), "PostgrsDown", 60, "")
    assert "`PostgresDown`" in error.value.remedy


def test_silence_has_a_limit() -> None:
    with pytest.raises(UsageError, match="at most 7 days"):
        alerts.silence(FakeLayer(), "PostgresDown", 8 * 86_400, "")


def test_receivers_that_fail_are_reported() -> None:
    assert alerts.send_test(FakeLayer(), "local", "page") == [
        {"integration": "slack", "sent": 0, "failed": 1},
        {"integration": "webhook", "sent": 1, "failed": 0},
    ]


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_receiver_that_does_not_answer_has_taken_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layer, clock = FakeLayer(), Clock()
    layer.answering = ("webhook",)
    rows = alerts.send_test(layer, "local", "page", clock=clock, sleep=clock.sleep)
    assert rows == [
        {"integration": "slack", "sent": 0, "failed": 0},
        {"integration": "webhook", "sent": 1, "failed": 0},
    ]
    assert clock.now >= alerts.TEST_TIMEOUT_SECONDS
    monkeypatch.setattr(commands, "_client", lambda _: layer)
    monkeypatch.setattr(alerts, "send_test", lambda *_: rows)
    assert run(["alerts", "test", "local", "--json"]) == ExitCode.FAILED
    assert json.loads(capsys.readouterr().out)["receivers"] == rows


def test_missing_notification_is_an_error_after_the_timeout() -> None:
    layer, clock = FakeLayer(), Clock()
    layer.is_sending = False
    with pytest.raises(EsqError, match="no receiver was told"):
        alerts.send_test(layer, "local", "page", clock=clock, sleep=clock.sleep)
    assert clock.now >= alerts.TEST_TIMEOUT_SECONDS


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("30m", 1800), ("2h", 7200), ("1d", 86_400)])
def test_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1.5h", "2 h", "2w", "-1h"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="no duration"):
        parse_duration(text)


def test_rules_are_listed_without_a_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["alerts", "rules", "local", "--json"]) == ExitCode.OK
    rows = json.loads(capsys.readouterr().out)["rules"]
    by_name = {row["alert"]: row for row in rows}
    assert by_name["PostgresDown"]["interval"] == "5s"
    assert by_name["DeployFailed"]["expression"] == ""
