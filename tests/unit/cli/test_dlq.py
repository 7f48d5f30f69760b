"""`esq dlq`: arguments of the Job, printed result, and the confirmation of `discard`."""

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
DEAD_LETTER = {
    "id": ID,
    "reason": "failed",
    "detail": "LookupError in the handler",
    "attempts": 10,
    "failed_at": "2026-01-01T00:00:00+00:00",
    "dead_at": "2026-01-01T00:05:00+00:00",
    "event": "message_statuses_updated",
}
LIST_RESULT = {
    "succeeded": True,
    "total": 2,
    "counts": [{"consumer": "campaigns", "topic": "message.status", "dead_letters": 2}],
    "dead_letters": [DEAD_LETTER],
}


class FakeJobs:
    """Replaces the Jobs of the cluster."""

    result: ClassVar[dict[str, Any]]
    started: ClassVar[list[tuple[str, ...]]]
    deleted: ClassVar[list[str]]

    def __init__(self, *_: object) -> None: ...

    def start(self, template: str, *, args: Sequence[str]) -> str:
        self.started.append((template, *args))
        return f"{template}-1"

    def wait(self, *_: object, remedy: str) -> dict[str, Any]:
        assert remedy
        return self.result

    def delete(self, name: str, _: object) -> None:
        self.deleted.append(name)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> type[FakeJobs]:
    FakeJobs.started, FakeJobs.deleted = [], []
    monkeypatch.setattr(dlq, "KubernetesJobs", FakeJobs)
    monkeypatch.setattr(dlq, "open_deployed_target", lambda *_: type("Target", (), {"kubeconfig": None})())
    return FakeJobs


def test_dead_letters_are_listed_with_their_reasons(
    jobs: type[FakeJobs], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    jobs.result = LIST_RESULT
    assert main.run(["dlq", "list", "local"]) == 0
    shown = capsys.readouterr().out
    assert all(part in shown for part in (ID, "failed", "10", "LookupError", "2, 1 of them shown"))
    assert jobs.started == [("dlq", "list")]
    assert jobs.deleted == ["dlq-1"]


def test_list_prints_json(jobs: type[FakeJobs], capsys: pytest.CaptureFixture[str]) -> None:
    jobs.result = LIST_RESULT
    assert main.run(["dlq", "list", "local", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"environment": "local", **LIST_RESULT}


def test_show_prints_the_envelope(jobs: type[FakeJobs], capsys: pytest.CaptureFixture[str]) -> None:
    jobs.result = {
        "succeeded": True,
        "total": 1,
        "dead_letters": [{**DEAD_LETTER, "envelope": {"company": "acme"}}],
    }
    assert main.run(["dlq", "show", "local", ID]) == 0
    assert "company: acme" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("replay", "local", "campaigns"), ("dlq", "replay", "campaigns")),
        (("discard", "local", ID, "--yes"), ("dlq", "discard", ID)),
    ],
)
def test_replay_and_discard_print_the_ids(
    jobs: type[FakeJobs],
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    jobs.result = {"succeeded": True, "total": 1, "ids": [ID]}
    assert main.run(["dlq", *args]) == 0
    assert jobs.started == [expected]
    assert ID in capsys.readouterr().out


def test_discard_requires_confirmation(jobs: type[FakeJobs]) -> None:
    assert main.run(["dlq", "discard", "local", ID, "--json"]) == 2
    assert main.run(["dlq", "discard", "local", ID]) == 1
    assert jobs.started == []


def test_failed_job_raises_with_a_remedy(jobs: type[FakeJobs]) -> None:
    jobs.result = {"succeeded": False, "problems": ["there is no dead letter at campaigns/x"]}
    environment: Any = type("Environment", (), {"name": "local"})()
    with pytest.raises(EsqError, match="no dead letter at") as error:
        dlq.run_dlq_job(environment, ["show", "campaigns/x"], RecordingProgress())
    assert "esq dlq list local" in error.value.remedy
