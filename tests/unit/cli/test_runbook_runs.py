"""`esq runbook run` and `list ENV`: decisions on the terminal, by policy and by `--yes`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.actions import runbook_run
from cli.actions.runbook_operators import TerminalOperator, UnattendedOperator
from cli.actions.runbook_triage import follow_cause
from cli.main import run
from infra.errors import ExitCode, UnreachableError
from infra.process_identity import ProcessIdentity
from runbooks import fakes
from runbooks.fakes import FakeContext
from runbooks.policy import Policy
from runbooks.run_record import JoinedAlert, step_records
from runbooks.run_store import RunStore
from runbooks.runner import CommandResult
from tests.unit.runbooks.run_steps import DESTRUCTIVE, DISRUPTIVE, NOW, SAFE, Fault, open_store


def no_primary() -> FakeContext:
    return FakeContext(component=fakes.component("postgres", "no primary", r0="stopped"))


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Use a state folder of this test, with `local` deployed; return the commands that would have run."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kubeconfig = tmp_path / "esq/clusters/local/kubeconfig"
    kubeconfig.parent.mkdir(parents=True)
    kubeconfig.touch()
    monkeypatch.setattr(runbook_run, "deployed_environment", lambda _: "local")
    monkeypatch.setattr("cli.commands.runbook_runs._context", lambda _: FakeContext())
    started: list[tuple[str, ...]] = []

    def run_command(argv: Sequence[str], _timeout_seconds: float) -> CommandResult:
        started.append(tuple(argv))
        return CommandResult(succeeded=True, reason="", output="")

    monkeypatch.setattr(runbook_run, "command_runner", lambda _: run_command)
    return started


def json_of(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("commands")
def test_run_of_a_healthy_environment_is_resolved(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runbook", "run", "PostgresDown", "--json"]) == ExitCode.OK
    record = json_of(capsys)
    assert (record["state"], record["runbook"], record["environment"]) == (
        "resolved",
        "postgres-down",
        "local",
    )
    assert run(["runbook", "list", "local"]) == ExitCode.OK
    assert "resolved" in capsys.readouterr().out


def test_cluster_of_another_environment_is_refused_and_one_that_does_not_answer_is_not(
    commands: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runbook_run, "deployed_environment", lambda _: "staging")
    assert run(["runbook", "run", "postgres-down", "local"]) == ExitCode.FAILED
    assert "`local` is not deployed" in capsys.readouterr().err

    def unreachable(_kubeconfig: Path) -> str:
        raise UnreachableError("no answer")

    monkeypatch.setattr(runbook_run, "deployed_environment", unreachable)
    assert run(["runbook", "run", "postgres-down", "local"]) == ExitCode.OK
    assert commands == []


def test_without_a_terminal_actions_are_proposed_and_a_second_run_is_refused(
    commands: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.commands.runbook_runs._context", lambda _: no_primary())
    assert run(["runbook", "run", "postgres-down", "local"]) == ExitCode.FAILED
    printed = capsys.readouterr().out
    assert "finding   look postgres-down: " in printed
    assert "proposed  act " in printed
    assert "To decide: esq runbook run postgres-down local --resume" in printed
    assert all("--force" not in command for command in commands)

    assert run(["runbook", "run", "postgres-down", "local"]) == ExitCode.FAILED
    assert "of this runbook is waiting" in capsys.readouterr().err
    monkeypatch.setattr("cli.commands.runbook_runs._context", lambda _: FakeContext())
    assert run(["runbook", "run", "postgres-down", "local", "--resume", "--json"]) == ExitCode.OK
    assert run(["runbook", "run", "postgres-down", "local", "--resume"]) == ExitCode.USAGE


@pytest.mark.usefixtures("commands")
def test_run_of_a_dead_process_is_listed_as_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RunStore(tmp_path / "esq/environments/local/runbooks", "local", now=lambda: NOW)
    record = store.create(
        "postgres-down", [JoinedAlert(fingerprint="a", name="PostgresDown", started_at=NOW)]
    )
    dead = ProcessIdentity(pid=2**22, start_ticks=1, boot_id="none")
    store.update(record.id, lambda current: current.model_copy(update={"owner": dead}))

    assert run(["runbook", "list", "local", "--json"]) == ExitCode.OK
    (listed,) = json_of(capsys)["runs"]
    assert (listed["state"], listed["alerts"][0]["name"]) == ("interrupted", "PostgresDown")


def test_invalid_policy_is_reported_before_anything_starts(
    commands: list[tuple[str, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ESQ_ENVIRONMENTS_DIR", str(tmp_path))
    (tmp_path / "runbook-policies").mkdir()
    (tmp_path / "runbook-policies/local.yaml").write_text("automatic: [no-such]\n")
    assert run(["runbook", "run", "postgres-down", "local"]) == ExitCode.USAGE
    assert "there is no action `no-such`" in capsys.readouterr().err
    assert commands == []


@pytest.mark.parametrize(
    ("policy", "yes", "expected"),
    [
        (Policy(), False, [None, None, None]),
        (Policy(), True, [True, True, None]),
        (Policy(automatic=frozenset({"wait"})), False, [True, None, None]),
        (Policy(yes_covers=frozenset({"repair"})), True, [True, True, True]),
        (Policy(yes_covers=frozenset({"repair"})), False, [None, None, None]),
    ],
)
def test_without_a_person_only_what_policy_and_yes_allow_runs(
    policy: Policy,
    yes: Any,
    expected: list[bool | None],
) -> None:
    step = step_records(Fault().steps, "local")[1]
    operator = UnattendedOperator(policy, yes=yes)
    assert [operator.approves(action, step) for action in (SAFE, DISRUPTIVE, DESTRUCTIVE)] == expected


def test_person_is_asked_with_dry_run_and_exact_command_and_yes_does_not_cover_destruction(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    questions: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, **_: bool(questions.append(text)))
    step = step_records(Fault().steps, "local")[1].model_copy(
        update={"command": "kubectl -n esq-data get pods", "evidence": ("would restart", "one pod")}
    )
    attended = TerminalOperator(Policy(), kubectl="kubectl --kubeconfig K", yes=False)
    assert not attended.approves(SAFE, step)
    printed = capsys.readouterr().out
    assert "    would restart\n    one pod\n  $ kubectl --kubeconfig K -n esq-data get pods\n" in printed

    with_yes = TerminalOperator(Policy(), kubectl="kubectl", yes=True)
    assert with_yes.approves(DISRUPTIVE, step)
    assert not with_yes.approves(DESTRUCTIVE, step)
    assert questions == ["Run it?"] * 2


def test_alert_of_a_symptom_gets_the_runbook_of_its_cause(tmp_path: Path) -> None:
    store = open_store(tmp_path, Fault())
    run_id = store.create("api-latency").id
    assert not follow_cause(store, run_id, no_primary)
    assert store.read(run_id).runbook == "postgres-down"

    unrelated = store.create("backup-stale").id
    assert not follow_cause(store, unrelated, FakeContext)
    assert store.read(unrelated).runbook == "backup-stale"

    merged = store.create("api-availability").id
    assert follow_cause(store, merged, no_primary)
    assert store.read(merged).merged_into == run_id


def test_commands_run_with_the_kubeconfig_and_report_why_they_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "kubectl"
    program.write_text('#!/bin/sh\necho "$KUBECONFIG $1"; exit "$2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    run_command = runbook_run.command_runner(tmp_path / "config")

    assert run_command(("kubectl", "a", "0"), 10.0) == CommandResult(
        succeeded=True, reason="", output=f"{tmp_path}/config a\n"
    )
    failed = run_command(("kubectl", "a", "3"), 10.0)
    assert (failed.succeeded, failed.output) == (False, f"{tmp_path}/config a\n")
    assert "exited with code 3" in failed.reason
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    assert "timed out after 0.2 s" in run_command(("kubectl", "a", "0"), 0.2).reason
    assert "--json" in run_command(("esq", "slo", "--help"), 60.0).output
    monkeypatch.setenv("PATH", "/nowhere")
    missing = run_command(("kubectl", "a", "0"), 10.0)
    assert "there is no kubectl on this machine" in missing.reason
