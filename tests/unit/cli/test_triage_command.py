"""`esq runbook triage` tells people and machines the cause, the runbook and the first safe action."""

from __future__ import annotations

import json

import pytest

from cli.actions import triage as action
from cli.main import run
from infra.errors import ExitCode
from runbooks.check import CheckContext, UnavailableError
from runbooks.fakes import FakeContext
from runbooks.triage import diagnose
from tests.unit.runbooks import symptoms


def triage(monkeypatch: pytest.MonkeyPatch, context: CheckContext, *options: str) -> int:
    monkeypatch.setattr(action, "triage", lambda *_: diagnose(context))
    return run(["runbook", "triage", "local", *options])


def test_lost_zone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert triage(monkeypatch, symptoms.lost_zone()) == ExitCode.FAILED
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "✗ zone-down (page): node zone-a is not ready"
    assert "runbook   esq runbook show zone-down local" in lines
    assert any(line.startswith("action    esq cluster up    # safe: ") for line in lines)
    assert any(line.startswith("dry run   esq cluster status") for line in lines)
    assert any(line.startswith("? the observability layer is not deployed: cannot tell ") for line in lines)


def test_healthy_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert triage(monkeypatch, FakeContext()) == ExitCode.OK
    assert capsys.readouterr().out.startswith("✓ nothing is broken now\n")


def test_what_has_recovered_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert triage(monkeypatch, symptoms.EXPERIMENTS["redis-primary-killed"]) == ExitCode.OK
    output = capsys.readouterr().out
    assert "↻ redis-down (page): a container ended and runs again: redis-0" in output
    assert "exit code 137" in output


def test_unknown_outage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert triage(monkeypatch, FakeContext(endpoints=symptoms.FAILED_EDGE)) == ExitCode.FAILED
    output = capsys.readouterr().out
    assert "Only symptoms are known" in output
    assert "esq runbook show unknown-outage local" in output


def test_component_that_nobody_reads_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = FakeContext(component=UnavailableError("no answer within 5 s"))
    assert triage(monkeypatch, context) == ExitCode.FAILED
    output = capsys.readouterr().out
    assert "? no answer within 5 s: cannot tell kafka-down" in output
    assert "nothing is broken" not in output
    assert "esq runbook show unknown-outage local" in output


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert triage(monkeypatch, symptoms.lost_zone(), "--json") == ExitCode.FAILED
    document = json.loads(capsys.readouterr().out)
    assert document["causes"][0]["check"] == "zone-down"
    assert document["action"]["dry_run"] == ["esq", "cluster", "status"]
