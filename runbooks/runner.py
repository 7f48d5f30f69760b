"""Walks through the steps of a run: look at everything, act until it is good, verify.

- What each step does is written before it starts, its result before the next one starts. A kill in between
  leaves a run that is `interrupted`; the next walk continues at that step.
- Reading is repeated after a kill. An action is not: it may have had its effect, so a person decides.
- A run that continues reads first whether its problem is still there: it may have waited for hours.
- A check that hangs has a deadline, and so has an action: nothing blocks the steps behind it. What cannot be
  read is never good.
- The first action that makes the problem go away is the last one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from infra.daemon_calls import start
from infra.errors import EsqError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from runbooks.check import Action, Check, CheckContext, Step
    from runbooks.run_record import Phase, RunRecord, StepRecord, StepState
    from runbooks.run_store import RunStore

CHECK_TIMEOUT_SECONDS = 6.0
"""The reads of a context have shorter timeouts: this one is for a check that hangs."""
VERIFY_TIMEOUT_SECONDS = 60.0
"""After an action, the problem must be gone within this time."""
VERIFY_INTERVAL_SECONDS = 2.0
PREVIEW_TIMEOUT_SECONDS = 120.0
ACTION_TIMEOUT_SECONDS = 3600.0
"""The longest action is a rotation of all credentials."""
MAX_OUTPUT_LINES = 40
_READ = frozenset[str](("good", "finding", "unread"))
_OVER = frozenset[str](("done", "failed", "declined", "skipped"))


@dataclass(frozen=True)
class CommandResult:
    """Result of a command.

    Attributes:
        succeeded: whether it exited with 0 in time.
        reason: why not; empty if it did.
        output: its output.
    """

    succeeded: bool
    reason: str
    output: str


class Operator(Protocol):
    """Who sees the steps and decides about actions: a person on a terminal, or a policy.

    Attributes:
        is_unattended: whether no person sees the steps.
    """

    is_unattended: bool

    def show(self, step: StepRecord) -> None:
        """Show a step that has started or ended."""

    def approves(self, action: Action, step: StepRecord) -> bool | None:
        """Return whether an action shall run; None leaves it to a person later.

        Args:
            action: the action.
            step: its record: the command, and the output of its dry run.
        """


class Runner:
    """Walks through runs of an environment."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        store: RunStore,
        open_context: Callable[[], CheckContext],
        run_command: Callable[[Sequence[str], float], CommandResult],
        operator: Operator,
        *,
        now: Callable[[], dt.datetime],
        sleep: Callable[[float], None] = time.sleep,
        verify_timeout_seconds: float = VERIFY_TIMEOUT_SECONDS,
        check_timeout_seconds: float = CHECK_TIMEOUT_SECONDS,
    ) -> None:
        """Set up the runner.

        Args:
            store: the runs.
            open_context: returns fresh readings of the environment.
            run_command: runs a command of `esq` or kubectl with a timeout in seconds.
            operator: sees the steps and decides about actions.
            now: current time (UTC).
            sleep: waits between two reads of a verification.
            verify_timeout_seconds: time after an action within which the problem must be gone.
            check_timeout_seconds: deadline of one check.
        """
        self._store = store
        self._open_context = open_context
        self._run_command = run_command
        self._operator = operator
        self._now = now
        self._sleep = sleep
        self._verify_timeout_seconds = verify_timeout_seconds
        self._check_timeout_seconds = check_timeout_seconds

    def walk(self, run_id: str) -> RunRecord:
        """Work on a run until it is over or waits for a person.

        Args:
            run_id: the run, new or interrupted or waiting.

        Returns:
            The run.

        Raises:
            RunInProgressError: another process works on it.
        """
        with self._store.working_on(run_id) as record:
            steps = self._store.find_steps(record.runbook)
            self._read_all(record, steps, "look")
            if self._is_over(record, steps) or self._act(run_id, steps) or self._verify(run_id, steps, 0.0):
                return self._end(run_id, "resolved")
            states = {step.state for step in self._store.read(run_id).steps}
            return self._end(run_id, "waiting" if "proposed" in states else "unresolved")

    def _is_over(self, record: RunRecord, steps: Sequence[Step]) -> bool:
        """Return whether there is no problem, or none any more since the actions were proposed."""
        if self._is_good(record.id, "look"):
            return True
        is_new = all(step.state == "waiting" for step in record.steps if step.kind == "act")
        is_over = not is_new and self._verify(record.id, steps, 0.0)
        if is_over:
            self._skip_rest(record.id)
        return is_over

    def close(self, run_id: str) -> RunRecord:
        """Verify a run whose alerts have ended; it is resolved if the problem is gone, else it waits.

        Args:
            run_id: the run.

        Returns:
            The run.

        Raises:
            RunInProgressError: another process works on it.
        """
        with self._store.working_on(run_id) as record:
            is_gone = self._verify(run_id, self._store.find_steps(record.runbook), 0.0)
            if is_gone:
                self._skip_rest(run_id)
            return self._end(run_id, "resolved" if is_gone else "waiting")

    def _read_all(self, record: RunRecord, steps: Sequence[Step], kind: str) -> None:
        """Make the checks of a kind that have no result yet."""
        for index, step in enumerate(steps):
            if step.kind == kind and step.check and record.steps[index].state not in _READ:
                self._read(record.id, index, step.check)

    def _read(self, run_id: str, index: int, check: Check) -> None:
        self._set(run_id, index, state="running", reason="", evidence=())
        state, reason, evidence = self._outcome(check)
        self._set(run_id, index, state=state, reason=reason, evidence=evidence)

    def _outcome(self, check: Check) -> tuple[StepState, str, tuple[str, ...]]:
        call = start(lambda: check.function(self._open_context()))
        try:
            finding = call.result(self._check_timeout_seconds)
        except TimeoutError:
            return "unread", f"no answer within {self._check_timeout_seconds:g} s", ()
        except EsqError as error:
            return "unread", error.message, ()
        except Exception as error:  # noqa: BLE001 - a defect of one check must not end the run
            return "unread", f"the check failed: {type(error).__name__}: {error}", ()
        return ("finding", finding.reason, finding.evidence) if finding else ("good", "", ())

    def _act(self, run_id: str, steps: Sequence[Step]) -> bool:
        """Propose the actions, the safest first; return whether one of them made the problem go away."""
        for index, step in enumerate(steps):
            if step.action and self._store.read(run_id).steps[index].state not in _OVER:
                done = self._propose(run_id, index, step.action)
                if done and self._verify(run_id, steps, self._verify_timeout_seconds):
                    self._skip_rest(run_id)
                    return True
        return False

    def _propose(self, run_id: str, index: int, action: Action) -> bool:
        """Preview an action, and run it if the operator approves; return whether it was done."""
        was_killed = self._store.read(run_id).steps[index].state == "running"
        if action.embedded_only and not self._open_context().is_embedded:
            self._set(run_id, index, state="skipped", reason="only on the embedded cluster")
            return False
        warning = "an earlier run was killed during this command: it may have had its effect"
        self._set(run_id, index, state="previewing", reason=warning if was_killed else "")
        record = self._store.read(run_id)
        preview = self._preview(action, record.environment)
        step = self._set(run_id, index, state="proposed", evidence=preview)
        needs_person = was_killed and self._operator.is_unattended
        approved = None if needs_person else self._operator.approves(action, step)
        if approved is None:
            return False
        if not approved:
            self._set(run_id, index, state="declined")
            return False
        self._set(run_id, index, state="running", reason="")
        result = self._run_command(action.argv(record.environment), ACTION_TIMEOUT_SECONDS)
        state: StepState = "done" if result.succeeded else "failed"
        self._set(run_id, index, state=state, reason=result.reason, evidence=_tail(result.output))
        return result.succeeded

    def _preview(self, action: Action, environment: str) -> tuple[str, ...]:
        if action.dry_run is None:
            return ()
        result = self._run_command(action.argv(environment, dry=True), PREVIEW_TIMEOUT_SECONDS)
        return _tail(f"{result.output}\n{result.reason}".strip())

    def _verify(self, run_id: str, steps: Sequence[Step], timeout_seconds: float) -> bool:
        """Read until the problem is gone; return whether it is."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            for index, step in enumerate(steps):
                if step.kind == "verify" and step.check:
                    self._read(run_id, index, step.check)
            if self._is_good(run_id, "verify"):
                return True
            if time.monotonic() >= deadline:
                return False
            self._sleep(VERIFY_INTERVAL_SECONDS)

    def _is_good(self, run_id: str, kind: str) -> bool:
        states = [step.state for step in self._store.read(run_id).steps if step.kind == kind]
        return bool(states) and all(state == "good" for state in states)

    def _skip_rest(self, run_id: str) -> None:
        for index, step in enumerate(self._store.read(run_id).steps):
            if step.kind == "act" and step.state not in _OVER:
                self._set(run_id, index, state="skipped", reason="not needed any more")

    def _set(self, run_id: str, index: int, **fields: object) -> StepRecord:
        """Write a step, then show it."""
        state, now = fields["state"], self._now()
        is_start = state in ("running", "previewing")
        times: dict[str, object] = {"started_at": now, "ended_at": None} if is_start else {"ended_at": now}

        def change(record: RunRecord) -> RunRecord:
            steps = list(record.steps)
            steps[index] = steps[index].model_copy(update={**fields, **times})
            return record.model_copy(update={"steps": tuple(steps)})

        step = self._store.update(run_id, change).steps[index]
        self._operator.show(step)
        return step

    def _end(self, run_id: str, phase: Phase) -> RunRecord:
        ended_at = None if phase == "waiting" else self._now()
        end = {"phase": phase, "ended_at": ended_at}
        return self._store.update(run_id, lambda record: record.model_copy(update=end))


def _tail(output: str) -> tuple[str, ...]:
    return tuple(output.splitlines()[-MAX_OUTPUT_LINES:])
