"""`esq dlq`: what the job is asked, what is shown, and that nothing is dropped that was not meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from cli import main
from cli.actions import dlq
from infra.errors import EsqError
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Sequence

ID = "campaigns/message.status/3/120"
LETTER = {
    "id": ID,
    "reason": "failed",
    "detail": "LookupError in the handler",
    "attempts": 10,
    "failed_at": "2026-01-01T00:00:00+00:00",
    "dead_at": "2026-01-01T00:05:00+00:00",
    "event": "message_accepted",
}
LISTED = {
    "good": True,
    "total": 2,
    "counts": [{"consumer": "campaigns", "topic": "message.status", "letters": 2}],
    "letters": [LETTER],
}


class FakeJobs:
    """Takes the place of the cluster's jobs."""

    told: ClassVar[dict[str, Any]]
    asked: ClassVar[list[tuple[str, ...]]]
    removed: ClassVar[list[str]]

    def __init__(self, *_: object) -> None: ...

    def start(self, template: str, *, words: Sequence[str]) -> str:
        self.asked.append((template, *words))
        return f"{template}-1"

    def follow(self, *_: object, remedy: str) -> dict[str, Any]:
        assert remedy
        return self.told

    def remove(self, name: str) -> None:
        self.removed.append(name)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> type[FakeJobs]:
    FakeJobs.asked, FakeJobs.removed = [], []
    monkeypatch.setattr(dlq, "Jobs", FakeJobs)
    monkeypatch.setattr(dlq, "ground_of", lambda *_: type("Ground", (), {"kubeconfig": None})())
    return FakeJobs


def test_letters_are_listed_with_their_reasons(
    jobs: type[FakeJobs], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    jobs.told = LISTED
    assert main.run(["dlq", "list", "local"]) == 0
    shown = capsys.readouterr().out
    assert all(part in shown for part in (ID, "failed", "10", "LookupError", "2, 1 of them shown"))
    assert jobs.asked == [("dlq", "list")]
    assert jobs.removed == ["dlq-1"]


def test_machines_get_one_json_object(jobs: type[FakeJobs], capsys: pytest.CaptureFixture[str]) -> None:
    jobs.told = LISTED
    assert main.run(["dlq", "list", "local", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"environment": "local", **LISTED}


def test_a_letter_is_shown_whole(jobs: type[FakeJobs], capsys: pytest.CaptureFixture[str]) -> None:
    jobs.told = {"good": True, "total": 1, "letters": [{**LETTER, "envelope": {"company": "acme"}}]}
    assert main.run(["dlq", "show", "local", ID]) == 0
    assert "company: acme" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("replay", "local", "campaigns"), ("dlq", "replay", "campaigns")),
        (("drop", "local", ID, "--yes"), ("dlq", "drop", ID)),
    ],
)
def test_settling_names_what_was_settled(
    jobs: type[FakeJobs],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    asked: tuple[str, ...],
) -> None:
    jobs.told = {"good": True, "total": 1, "ids": [ID]}
    assert main.run(["dlq", *words]) == 0
    assert jobs.asked == [asked]
    assert ID in capsys.readouterr().out


def test_nothing_is_dropped_that_was_not_meant(jobs: type[FakeJobs]) -> None:
    assert main.run(["dlq", "drop", "local", ID, "--json"]) == 2
    assert main.run(["dlq", "drop", "local", ID]) == 1
    assert jobs.asked == []


def test_what_the_job_could_not_do_is_told_with_a_way_on(jobs: type[FakeJobs]) -> None:
    jobs.told = {"good": False, "faults": ["no dead letter is at campaigns/x"]}
    environment: Any = type("Environment", (), {"name": "local"})()
    with pytest.raises(EsqError, match="no dead letter is at") as caught:
        dlq.ask(environment, ["show", "campaigns/x"], RecordingProgress())
    assert "esq dlq list local" in caught.value.remedy
