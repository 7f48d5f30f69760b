"""`esq incident list | show | report`: what this machine recorded, with sources that fail alone."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from cli.actions import incidents
from cli.environment import Environment, load_environment
from cli.main import run
from infra.errors import EsqError, ExitCode
from runbooks.incident import TimelineEntry
from runbooks.triage import diagnose
from runbooks.triage_record import store_diagnosis
from tests.unit.runbooks import symptoms

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def unreadable(*_: object) -> list[TimelineEntry]:
        raise EsqError("the observability layer is not deployed")

    sources = {
        "deploys": lambda *_: [
            TimelineEntry(NOW - dt.timedelta(minutes=3), "deploy", "deploy of services: failed"),
            TimelineEntry(NOW - dt.timedelta(days=3), "deploy", "deploy of services: succeeded"),
        ],
        "logs": unreadable,
    }
    monkeypatch.setattr(incidents, "_sources", lambda *_: sources)
    return load_environment("local")


def test_no_incident(environment: Environment, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["incident", "list", environment.name, "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["incidents"] == []
    assert run(["incident", "show", environment.name, "last"]) == ExitCode.USAGE
    assert "esq incident list local" in capsys.readouterr().err


def test_incident_of_a_diagnosis(
    environment: Environment, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    record = store_diagnosis(incidents.triage_folder(environment), diagnose(symptoms.lost_zone()), NOW)
    assert run(["incident", "list", "local"]) == ExitCode.OK
    assert record.id in capsys.readouterr().out
    assert run(["incident", "show", "local", "last", "--json"]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert [entry["kind"] for entry in document["timeline"]] == ["deploy", "triage"]
    assert document["unread"] == {"logs": "the observability layer is not deployed"}
    assert document["causes"][0]["check"] == "zone-down"
    assert run(["incident", "report", "local", record.id, "--out", str(tmp_path / "draft.md")]) == ExitCode.OK
    assert "- `zone-down`: node zone-a is not ready" in (tmp_path / "draft.md").read_text()


def test_unknown_incident_names_a_similar_one(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    record = store_diagnosis(incidents.triage_folder(environment), diagnose(symptoms.lost_zone()), NOW)
    assert run(["incident", "show", "local", record.id[:-1]]) == ExitCode.USAGE
    assert record.id in capsys.readouterr().err
