"""An incident joins a run of a runbook with the diagnoses around it; a draft tells what the records know."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from runbooks.fakes import NOW, FakeContext
from runbooks.incident import TOGETHER, TimelineEntry, find_incidents
from runbooks.postmortem import draft
from runbooks.run_record import JoinedAlert, RunRecord, StepRecord
from runbooks.triage import diagnose
from runbooks.triage_record import MAX_RECORDS, TriageRecord, read_diagnoses, store_diagnosis
from tests.unit.runbooks import symptoms

MINUTE = dt.timedelta(minutes=1)
ALERT = JoinedAlert(fingerprint="1", name="ZoneDown", started_at=NOW, summary="zone-a does not answer")
STEPS = (
    StepRecord(
        id="look zone-down",
        kind="look",
        description="Whether nothing in a zone answers.",
        state="finding",
        reason="node zone-a is not ready",
        evidence=("node zone-a is not ready",),
        started_at=NOW + MINUTE,
    ),
    StepRecord(
        id="act start-cluster",
        kind="act",
        description="Starts what does not run.",
        command="esq cluster up",
        state="done",
        started_at=NOW + 2 * MINUTE,
    ),
)
RUN = RunRecord(
    id="20260105-030100-zone-down",
    environment="local",
    runbook="zone-down",
    started_at=NOW + MINUTE,
    phase="resolved",
    ended_at=NOW + 5 * MINUTE,
    alerts=(ALERT,),
    steps=STEPS,
)


def triage(at: dt.datetime, *causes: str) -> TriageRecord:
    rows = tuple({"check": cause, "reason": f"{cause} is wrong", "evidence": []} for cause in causes)
    runbook = causes[0] if causes else ""
    return TriageRecord(id=f"{at:%H%M%S}-triage", at=at, environment="local", runbook=runbook, causes=rows)


def test_run_starts_with_its_first_alert_and_has_the_diagnoses_around_it() -> None:
    (incident,) = find_incidents([RUN], [triage(NOW - MINUTE, "zone-down"), triage(NOW + 4 * MINUTE)])
    assert (incident.id, incident.state) == (RUN.id, "resolved")
    assert incident.started_at == NOW - MINUTE
    assert incident.ended_at == NOW + 5 * MINUTE
    assert [cause["reason"] for cause in incident.causes] == ["zone-down is wrong"]
    assert [entry.kind for entry in incident.events] == [
        "triage",
        "alert",
        "run",
        "run",
        "run",
        "triage",
        "run",
    ]


def test_run_without_a_diagnosis_has_the_causes_that_its_steps_read() -> None:
    (incident,) = find_incidents([RUN], [])
    assert incident.causes == [
        {"check": "zone-down", "reason": "node zone-a is not ready", "evidence": ["node zone-a is not ready"]}
    ]


def test_diagnoses_without_a_run_are_one_incident_while_they_are_close() -> None:
    records = [
        triage(NOW, "dns-down"),
        triage(NOW + 5 * MINUTE),
        triage(NOW + TOGETHER + 6 * MINUTE, "kafka-down"),
    ]
    first, second = find_incidents([], records)
    assert (first.runbook, first.ended_at) == ("dns-down", NOW + 5 * MINUTE)
    assert (second.runbook, second.ended_at, second.state) == ("kafka-down", None, "diagnosed")


def test_healthy_diagnoses_are_no_incident() -> None:
    assert find_incidents([], [triage(NOW)]) == []


def test_merged_run_is_no_incident_of_its_own() -> None:
    merged = RUN.model_copy(update={"phase": "merged", "merged_into": "other"})
    assert find_incidents([merged], []) == []


def test_draft_has_causes_timeline_and_actions_and_says_what_is_missing() -> None:
    (incident,) = find_incidents([RUN], [])
    entries = [*incident.events, TimelineEntry(NOW, "log", "`rm` <b>\n# heading")]
    text = draft(incident, entries, {"deploys": "the engine is not built"})
    assert "# Postmortem: zone-down, 2026-01-05" in text
    assert "- Duration: 5 min" in text
    assert "- `zone-down`: node zone-a is not ready" in text
    assert "- `esq cluster up`: Starts what does not run." in text
    assert "- 03:00:00 alert: ZoneDown fires: zone-a does not answer" in text
    assert "- not read: deploys: the engine is not built" in text
    assert "log: 'rm' <b> # heading" in text
    assert [line for line in text.splitlines() if line.startswith("# ")] == [
        "# Postmortem: zone-down, 2026-01-05"
    ]


def test_diagnosis_is_kept_with_its_causes(tmp_path: Path) -> None:
    store_diagnosis(tmp_path, diagnose(symptoms.lost_zone()), NOW)
    store_diagnosis(tmp_path, diagnose(FakeContext()), NOW + MINUTE)
    (tmp_path / "damaged.json").write_text("{")
    first, second = read_diagnoses(tmp_path)
    assert first.summary == "zone-down: node zone-a is not ready"
    assert (first.action, first.causes[0]["symptoms"]["postgres-down"]) == (
        "esq cluster up",
        "postgres: no primary accepts writes",
    )
    assert (second.summary, second.runbook) == ("nothing is broken", "")


def test_oldest_diagnoses_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbooks.triage_record.MAX_RECORDS", 2)
    assert MAX_RECORDS > 2
    for minute in range(3):
        store_diagnosis(tmp_path, diagnose(FakeContext()), NOW + minute * MINUTE)
    assert [record.at for record in read_diagnoses(tmp_path)] == [NOW + MINUTE, NOW + 2 * MINUTE]
