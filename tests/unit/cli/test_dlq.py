"""`esq dlq`: the list of the workers, arguments of the Job, printed result, and the confirmation of `discard`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from cli import main
from cli.actions import dlq
from infra.components.component_health import Pod, PodUnreachableError
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
COUNT = {"consumer": "campaigns", "topic": "message.status", "dead_letters": 2}
ANSWERS = {
    "campaigns-worker-1": {"total": 2, "counts": [COUNT], "dead_letters": [DEAD_LETTER]},
    "whatsapp-worker-1": {"total": 0, "counts": [], "dead_letters": []},
}
LIST_RESULT = {"total": 2, "counts": [COUNT], "dead_letters": [DEAD_LETTER]}


class FakePods:
    """Replaces the pods of the services; of each workload the second one answers."""

    answers: ClassVar[dict[str, dict[str, Any]]]

    def __init__(self, *_: object, **__: object) -> None: ...

    def list_pods(self, name: str) -> list[Pod]:
        return [Pod(name=f"{name}-{number}", zone="a", ready=True) for number in range(2)]

    def get(self, pod: str, port: int, path: str) -> str:
        assert (port, path) == (8443, "/dead-letters")
        if pod not in self.answers:
            raise PodUnreachableError(f"{pod} is unreachable")
        return json.dumps(self.answers[pod])


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
    monkeypatch.setattr(
        dlq, "open_deployed_target", lambda *_, **__: type("Target", (), {"kubeconfig": None})()
    )
    return FakeJobs


@pytest.fixture
def pods(jobs: type[FakeJobs], monkeypatch: pytest.MonkeyPatch) -> type[FakePods]:
    assert jobs.started == []
    FakePods.answers = dict(ANSWERS)
    monkeypatch.setattr(dlq, "KubernetesPodClient", FakePods)
    return FakePods


@pytest.mark.usefixtures("pods")
def test_dead_letters_of_all_services_are_listed_without_a_job(
    jobs: type[FakeJobs], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["dlq", "list", "local"]) == 0
    shown = capsys.readouterr().out
    assert all(part in shown for part in (ID, "failed", "10", "LookupError", "2, 1 of them shown"))
    assert jobs.started == []


@pytest.mark.usefixtures("pods")
def test_list_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["dlq", "list", "local", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"environment": "local", **LIST_RESULT}


def test_list_without_a_worker_names_the_command_that_needs_none(
    pods: type[FakePods], capsys: pytest.CaptureFixture[str]
) -> None:
    del pods.answers["campaigns-worker-1"]
    assert main.run(["dlq", "list", "local"]) == 1
    assert "`esq dlq show local campaigns` needs no worker" in capsys.readouterr().err


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
