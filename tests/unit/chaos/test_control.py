"""The control in real runs of Chaos Toolkit, on a target without a cluster."""

from __future__ import annotations

import inspect
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from chaoslib.control import load_global_controls
from chaoslib.experiment import run_experiment
from chaoslib.types import Dry

from chaos import control, observation, session, watchdog
from chaos.activities import rollbacks
from chaos.journal import UndoFailedError
from chaos.run_lock import exclusive_run
from chaos.traffic.process import TrafficFailedError
from infra.errors import ProblemsError
from infra.measurements.run_values import RunOutcome
from tests.unit.chaos import fake_target
from tests.unit.chaos.fake_target import STREAMS, FakeTarget

CONTROL = {"provider": {"type": "python", "module": fake_target.__name__}}
EXTENSION = {
    "name": "esq",
    "runbook": "zone-down",
    "traffic": ["edge"],
    "abort_after_silence_seconds": {"edge": 30},
}


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTarget]:
    monkeypatch.setattr(observation, "BASELINE_SECONDS", 0.0)
    monkeypatch.setattr(session, "COOLDOWN_SECONDS", 0.0)
    monkeypatch.setattr(control, "OWN_ACTIVITIES", ("chaos.activities.", "tests.unit.chaos."))
    monkeypatch.setattr(observation, "FRESH_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(watchdog, "start", lambda *_, **__: nullcontext())
    fake_target.targets.append(FakeTarget(tmp_path))
    yield fake_target.target()
    fake_target.control.cleanup_control()
    fake_target.targets.clear()


def activity(func: str, *values: object, pause: float = 0.0, label: str = "") -> dict[str, Any]:
    """Return an action; the values are its arguments in the order of its parameters."""
    module = rollbacks if func == "undo" else fake_target
    names = list(inspect.signature(getattr(module, func)).parameters)
    provider = {"type": "python", "module": module.__name__, "func": func}
    return {
        "type": "action",
        "name": label or " ".join([func, *map(str, values)]),
        "provider": provider | {"arguments": dict(zip(names, values, strict=False))},
        "pauses": {"after": pause},
    }


def document(*method: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "title": "t",
        "description": "d",
        "controls": [{"name": "esq", **CONTROL}],
        "extensions": [EXTENSION],
        "method": list(method),
        "rollbacks": [activity("undo", label="undo what is open")],
        **fields,
    }


def run(experiment: dict[str, Any], dry: Dry | None = None) -> dict[str, Any]:
    """Run a document as the `chaos` command does."""
    settings = {"runtime": {"rollbacks": {"strategy": "always"}}}
    journal: dict[str, Any] = run_experiment(experiment | {"dry": dry}, settings)
    return journal


def test_valid_run_is_recorded_with_injection_and_undo(target: FakeTarget) -> None:
    journal = run(document(activity("inject", "a"), activity("undo")))
    (result,) = target.runs
    assert (result.outcome, result.reasons) == (RunOutcome.VALID, ())
    assert [(item.description, item.is_injection) for item in result.annotations] == [
        ("a of fake", True),
        ("a of fake undone", False),
    ]
    assert journal["status"] == "completed"
    assert target.journals == [journal]


def test_failed_action_makes_the_run_invalid(target: FakeTarget) -> None:
    journal = run(document(activity("fail"), activity("inject", "a"), activity("undo")))
    (result,) = target.runs
    assert result.outcome is RunOutcome.INVALID
    assert "action `fail` failed" in result.reasons[0]
    assert journal["status"] == "failed"


def hypothesis(func: str) -> dict[str, Any]:
    return {"title": "healthy", "probes": [activity(func) | {"type": "probe", "tolerance": True}]}


def test_dead_probe_of_the_method_makes_the_run_invalid(target: FakeTarget) -> None:
    run(document(activity("inject", "a"), activity("fail") | {"type": "probe"}, activity("undo")))
    assert target.runs[0].outcome is RunOutcome.INVALID
    assert "probe `fail` failed" in target.runs[0].reasons[0]


def test_dead_probe_of_the_steady_state_prevents_the_fault(target: FakeTarget) -> None:
    run(document(activity("inject", "a"), **{"steady-state-hypothesis": hypothesis("fail")}))
    (result,) = target.runs
    assert (result.outcome, target.injected()) == (RunOutcome.INVALID, [])
    assert "action `inject a` not run" in result.reasons


def test_steady_state_that_is_not_reached_again_makes_the_run_invalid(target: FakeTarget) -> None:
    method = (activity("inject", "a"), activity("undo"))
    run(document(*method, **{"steady-state-hypothesis": hypothesis("nothing_was_injected")}))
    assert target.runs[0].outcome is RunOutcome.INVALID
    assert "not healthy again in time" in target.runs[0].reasons


def test_run_without_a_fault_is_invalid(target: FakeTarget) -> None:
    run(document(activity("note_open")))
    assert target.runs[0].reasons == ("no fault was injected",)


def test_unhealthy_target_is_refused_before_anything_is_observed(target: FakeTarget) -> None:
    target.problems = ["redis is down"]
    journal = run(document(activity("inject", "a")))
    assert (journal["status"], target.injected(), target.runs) == ("interrupted", [], [])
    assert "not in its steady state" in str(target.setup.failures[0])  # type: ignore[union-attr]  # the run opened it


def test_guard_ends_a_sequence_of_kills_after_the_first(target: FakeTarget) -> None:
    started = time.monotonic()
    kills = [activity("inject", name, pause=60) for name in "bcd"]
    journal = run(document(activity("inject", "a"), activity("silence", "edge.read", 31, pause=60), *kills))
    (result,) = target.runs
    assert time.monotonic() - started < 30
    assert result.outcome is RunOutcome.ABORTED
    assert result.abort_reason == "edge.read had no acknowledgement for 31 s; the limit is 30 s"
    assert (target.injected(), target.open_faults()) == (["a"], [])
    assert journal["status"] == "aborted"
    assert [run["activity"]["name"] for run in journal["run"]] == ["inject a", "silence edge.read 31"]
    assert [run["activity"]["name"] for run in journal["rollbacks"]] == ["undo what is open"]


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        (("kill_traffic",), "the traffic process has exited"),
        (("forget_stream", "edge.write"), "the traffic does not report edge.write"),
    ],
)
def test_no_signal_no_fault(target: FakeTarget, planted: tuple[str, ...], reason: str) -> None:
    run(document(activity(*planted), activity("inject", "a", pause=60), activity("inject", "b")))
    (result,) = target.runs
    assert result.outcome is RunOutcome.ABORTED
    assert reason in result.abort_reason
    assert target.injected() == []


def test_stream_that_is_silent_since_its_start_refuses_the_first_fault(target: FakeTarget) -> None:
    target.traffic.silence["edge.write"] = 9.0
    run(document(activity("inject", "a")))
    (result,) = target.runs
    assert (result.outcome, target.injected()) == (RunOutcome.CRASHED, [])
    assert "edge.write had no acknowledgement" in result.error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_an_action_ends_the_experiment(target: FakeTarget, number: int) -> None:
    started = time.monotonic()
    methods = (
        activity("inject", "a"),
        activity("send_signal", int(number), pause=60),
        activity("inject", "b"),
    )
    journal = run(document(*methods))
    (result,) = target.runs
    assert time.monotonic() - started < 30
    assert (result.outcome, result.status) == (RunOutcome.ABORTED, "interrupted")
    assert (target.injected(), target.open_faults()) == (["a"], [])
    assert journal["status"] == "interrupted"
    assert {name: stats.acked for name, stats in result.streams.items()} == dict.fromkeys(STREAMS, 1)
    assert result.lost.value is None, "who interrupts a run does not wait for the stored writes"
    assert not target.traffic.has_read_stored
    assert [set(logs["streams"]) for logs in target.logs] == [set(STREAMS)], "the raw logs are kept"


def test_interrupted_run_whose_traffic_has_ended_as_well_is_an_aborted_one(target: FakeTarget) -> None:
    target.traffic.result_error = TrafficFailedError("the traffic process failed: it has exited")
    run(document(activity("inject", "a"), activity("send_signal", int(signal.SIGINT), pause=60)))
    (result,) = target.runs
    assert (result.outcome, result.streams) == (RunOutcome.ABORTED, {})
    assert any("values of the streams are not known" in reason for reason in result.reasons)


def test_guard_interrupts_an_injection_and_undoes_it(target: FakeTarget) -> None:
    started = time.monotonic()
    run(document(activity("inject_slowly", "slow", "edge.read", pause=60), activity("inject", "b")))
    assert time.monotonic() - started < 30
    assert target.runs[0].outcome is RunOutcome.ABORTED
    assert (target.injected(), target.open_faults()) == ([], [])


def test_guard_interrupts_an_injection_in_the_background(target: FakeTarget) -> None:
    started = time.monotonic()
    slow = activity("inject_slowly", "slow", "edge.read") | {"background": True}
    run(document(slow, activity("note_open", pause=60)))
    assert time.monotonic() - started < 30
    assert target.runs[0].outcome is RunOutcome.ABORTED
    assert (target.injected(), target.open_faults()) == ([], [])


def interrupt_at_check(number: int) -> Callable[[], None]:
    """Return a check of the components at whose call with this number Ctrl-C is pressed."""
    calls = itertools.count(1)

    def check() -> None:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)

    return check


def test_interrupt_before_anything_was_observed_records_nothing(target: FakeTarget) -> None:
    target.on_check = interrupt_at_check(1)
    journal = run(document(activity("inject", "a")))
    assert (journal["status"], target.injected(), target.runs) == ("interrupted", [], [])


def test_interrupt_of_the_end_undoes_and_keeps_the_run(target: FakeTarget) -> None:
    target.on_check = interrupt_at_check(2)
    run(document(activity("inject", "a"), rollbacks=[]))
    (result,) = target.runs
    assert (result.outcome, result.abort_reason) == (RunOutcome.ABORTED, "interrupted while it ended")
    assert set(result.streams) == set(STREAMS)
    assert target.open_faults() == []
    assert not any((target.folder / "open").glob("*.json"))


def test_error_after_the_method_keeps_the_run_as_crashed(target: FakeTarget) -> None:
    calls = itertools.count(1)

    def fail_after_the_method() -> None:
        if next(calls) > 1:
            raise ValueError("planted")

    target.on_check = fail_after_the_method
    run(document(activity("inject", "a"), activity("undo")))
    (result,) = target.runs
    assert (result.outcome, result.error) == (RunOutcome.CRASHED, "ValueError('planted')")
    assert sorted(result.streams) == ["edge.read", "edge.write"]


def test_error_of_the_cleanup_loses_no_run(target: FakeTarget) -> None:
    target.traffic.exit_error = OSError("planted")
    journal = run(document(activity("inject", "a"), activity("undo")))
    assert (len(target.runs), journal["status"]) == (1, "aborted")
    assert [str(failure) for failure in target.setup.failures] == ["planted"]  # type: ignore[union-attr]  # the run opened it


def test_error_of_chaos_toolkit_loses_no_run(target: FakeTarget) -> None:
    rollback = activity("undo") | {"pauses": {"before": "soon"}}
    with pytest.raises(TypeError):
        run(document(activity("inject", "a"), rollbacks=[rollback]))
    (result,) = target.runs
    assert (result.outcome, result.error) == (RunOutcome.CRASHED, "the run did not come to its end")
    assert target.open_faults() == []


def abort_at_the_end(running: session.Session, _: object) -> None:
    """Interrupt Chaos Toolkit where it does not expect it any more, as the guard may."""
    assert running.context is not None
    running.context.abort("planted")
    raise SystemExit(20)


def test_abort_while_the_experiment_ends_loses_no_run(
    target: FakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.Session, "finish", abort_at_the_end)
    with pytest.raises(SystemExit):
        run(document(activity("inject", "a"), rollbacks=[]))
    (result,) = target.runs
    assert (result.outcome, result.abort_reason) == (RunOutcome.ABORTED, "planted")
    assert target.open_faults() == []


def test_second_run_at_the_same_time_is_refused(target: FakeTarget) -> None:
    with exclusive_run(target.journal, "another"):
        journal = run(document(activity("inject", "a")))
    assert (journal["status"], target.injected(), target.runs) == ("interrupted", [], [])
    assert "another experiment runs on `fake`: `another`" in str(target.setup.failures[0])  # type: ignore[union-attr]  # the run opened it


def test_run_is_refused_while_another_machine_has_one(target: FakeTarget) -> None:
    target.locked_by = "experiment b by ana@laptop, process 7"
    journal = run(document(activity("inject", "a")))
    assert (journal["status"], target.injected(), target.runs) == ("interrupted", [], [])
    assert "ana@laptop" in str(target.setup.failures[0])  # type: ignore[union-attr]  # the run opened it


def test_other_machines_are_excluded_from_the_first_fault_to_the_last_undo(target: FakeTarget) -> None:
    run(document(activity("inject", "a")))
    assert target.events == ["lease of fake with []", "released with []"]
    assert target.injected() == ["a"]


def test_faults_can_overlap_and_are_undone_by_kind(target: FakeTarget) -> None:
    method = [
        activity("inject", "a"),
        activity("inject", "b"),
        activity("note_open", label="both"),
        activity("undo", "a"),
        activity("note_open", label="one"),
        activity("undo", "b"),
    ]
    journal = run(document(*method))
    outputs = {result["activity"]["name"]: result["output"] for result in journal["run"]}
    assert (outputs["both"], outputs["one"]) == (["a", "b"], ["b"])
    assert target.runs[0].valid


def test_fault_that_the_document_leaves_open_is_undone_after_it(target: FakeTarget) -> None:
    run(document(activity("inject", "a"), rollbacks=[]))
    assert target.open_faults() == []
    assert target.runs[0].annotations[-1].description == "a of fake undone"


def test_failed_undo_ends_the_experiment_and_is_reported(target: FakeTarget) -> None:
    method = (activity("inject_without_undo", "stuck"), activity("undo"), activity("inject", "b"))
    run(document(*method))
    (result,) = target.runs
    assert result.outcome is RunOutcome.CRASHED
    assert "stuck of fake is not undone" in result.error
    assert target.injected() == []
    assert any(isinstance(failure, UndoFailedError) for failure in target.setup.failures)  # type: ignore[union-attr]  # the run opened it


def test_failed_injection_that_cannot_be_undone_ends_the_experiment(target: FakeTarget) -> None:
    run(document(activity("inject_and_undo_in_vain", "stuck"), activity("inject", "b")))
    assert target.injected() == []
    assert "stuck of fake is not undone" in target.runs[0].abort_reason


def test_unreadable_result_of_the_traffic_keeps_the_run_as_crashed(target: FakeTarget) -> None:
    target.traffic.result_error = ValueError("planted")
    journal = run(document(activity("inject", "a"), activity("undo")))
    (result,) = target.runs
    assert (result.outcome, result.error) == (RunOutcome.CRASHED, "ValueError('planted')")
    assert len(result.annotations) == 2
    assert journal["status"] == "aborted"


def test_writes_that_cannot_be_compared_make_the_run_invalid(target: FakeTarget) -> None:
    target.traffic.problems = ["the writes of edge could not be read"]
    run(document(activity("inject", "a"), activity("undo")))
    assert target.runs[0].reasons == ("the writes of edge could not be read",)


@pytest.mark.parametrize("dry", [Dry.ACTIVITIES, Dry.ACTIONS])
def test_dry_run_injects_and_records_nothing(target: FakeTarget, dry: Dry) -> None:
    journal = run(document(activity("inject", "a", pause=60)), dry)
    assert (target.injected(), target.runs, journal["status"]) == ([], [], "completed")


def test_run_without_pauses_is_no_evidence(target: FakeTarget) -> None:
    run(document(activity("inject", "a", pause=60), activity("undo")), Dry.PAUSE)
    assert target.injected() == ["a"]
    assert target.runs[0].reasons == ("dry run without pause",)


def test_document_of_others_runs_with_the_control_of_the_settings(target: FakeTarget) -> None:
    others = {
        "title": "t",
        "description": "d",
        "configuration": {"folder": {"type": "env", "key": "FOLDER"}},
        "secrets": {"vault": {"word": {"type": "env", "key": "WORD"}}},
        "method": [
            {
                "type": "action",
                "name": "touch",
                "provider": {
                    "type": "process",
                    "path": "sh",
                    "arguments": "-c 'echo ${word} $KUBECONFIG > ${folder}/touched'",
                    "secrets": ["vault"],
                },
            }
        ],
    }
    os.environ |= {"FOLDER": str(target.folder), "WORD": "open-sesame"}
    load_global_controls({"controls": {"esq": dict(CONTROL)}})
    run(others)
    (result,) = target.runs
    assert (result.outcome, result.streams) == (RunOutcome.VALID, {})
    assert [item.description for item in result.annotations] == ["touch"]
    assert (target.folder / "touched").read_text() == f"open-sesame {target.kubeconfig}\n"


def others(folder: Path, **fields: Any) -> dict[str, Any]:
    """Return a document of others, with a rollback that touches `rolled-back`."""
    touch = {"type": "process", "path": "touch", "arguments": str(folder / "rolled-back")}
    rollback = {"type": "action", "name": "roll back", "provider": touch}
    return document(controls=[{"name": "theirs", "provider": {"type": "python", "module": "chaoslib"}}]) | {
        "rollbacks": [rollback],
        **fields,
    }


def test_refused_run_rolls_nothing_back(target: FakeTarget) -> None:
    target.problems = ["redis is down"]
    load_global_controls({"controls": {"esq": dict(CONTROL)}})
    run(others(target.folder))
    assert not (target.folder / "rolled-back").exists()


def test_rollbacks_of_a_document_with_other_controls_run_after_an_abort(target: FakeTarget) -> None:
    load_global_controls({"controls": {"esq": dict(CONTROL)}})
    method = [activity("inject", "a"), activity("kill_traffic", pause=60), activity("inject", "b")]
    run(others(target.folder, method=method))
    assert target.runs[0].outcome is RunOutcome.ABORTED
    assert (target.injected(), (target.folder / "rolled-back").exists()) == (["a"], True)
    assert not any(item.is_injection for item in target.runs[0].annotations[1:])


def test_action_of_others_in_the_background_does_not_start_after_an_abort(target: FakeTarget) -> None:
    touch = {"type": "process", "path": "touch", "arguments": str(target.folder / "touched")}
    waiting = {"type": "action", "name": "touch", "background": True, "pauses": {"before": 2}}
    method = [waiting | {"provider": touch}, activity("kill_traffic", pause=60)]
    run(document(*method))
    assert target.runs[0].outcome is RunOutcome.ABORTED
    assert not (target.folder / "touched").exists()


def test_fault_that_another_process_undid_makes_the_run_invalid(target: FakeTarget) -> None:
    run(document(activity("inject", "a"), activity("roll_back_by_hand"), activity("undo")))
    assert target.runs[0].reasons == ("a of fake was undone by another process: a rollback, or the watchdog",)


def test_target_that_lacks_a_capability_is_refused_before_anything_happens(target: FakeTarget) -> None:
    target.cluster = None
    kill = activity("inject", "a")
    kill["provider"] |= {"module": "chaos.activities.zones", "func": "kill_zone", "arguments": {"zone": "a"}}
    journal = run(document(activity("inject", "a"), kill))
    assert journal["status"] == "interrupted"
    assert target.injected() == []
    assert target.runs == []
    assert target.setup is not None
    (failure,) = target.setup.failures
    assert isinstance(failure, ProblemsError)
    assert "`zones.kill_zone` needs the hosts of the embedded cluster" in failure.detail


def test_activity_without_the_control_fails(target: FakeTarget) -> None:
    journal = run(document(activity("inject", "a"), controls=[]))
    assert "the control of esq is not active" in journal["run"][0]["exception"][-1]
    assert target.injected() == []
