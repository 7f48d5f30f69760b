"""A run of an experiment, from the check of its preconditions to its result, in whatever way it ends.

The order makes a run safe and its measurements valid: check the preconditions; start the watchdog;
start the traffic and wait until it flows; inject; undo in any case; wait until the system is healthy; stop
the traffic; compare the acknowledged writes with the stored ones. Chaos Toolkit runs the experiment in
between. Every run that began to observe its target has a result, also one that was aborted or crashed.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chaoslib.exit import exit_gracefully
from chaoslib.types import Dry

from chaos import safety, watchdog
from chaos.context import Context, activate
from chaos.journal_entry import FaultState
from chaos.observation import COOLDOWN_SECONDS, INSTRUMENTS, Instruments, Observation
from chaos.results import ExperimentRun, activity_results
from chaos.run_lock import exclusive_run
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from chaos.experiment import Experiment
    from chaos.target import Target
    from infra.progress import ProgressReporter

INTERRUPTED = "interrupted"
log = logging.getLogger("chaostoolkit")


@dataclass(frozen=True)
class Setup:
    """What a run needs.

    Attributes:
        experiment: the experiment.
        target: environment to run it on.
        progress: receives the steps.
        record: stores the result, the journal of Chaos Toolkit, and the raw logs of the traffic.
        instruments: how the target is observed.
        failures: errors of the hooks so far, which Chaos Toolkit would ignore.
    """

    experiment: Experiment
    target: Target
    progress: ProgressReporter
    record: Callable[[ExperimentRun, Mapping[str, Any], Mapping[str, Any]], None]
    instruments: Instruments = INSTRUMENTS
    failures: list[BaseException] = field(default_factory=list)


class Session:
    """A run.

    Args:
        setup: what the run needs.
        dry: what Chaos Toolkit only pretends to do; None for nothing.
    """

    def __init__(self, setup: Setup, dry: Dry | None = None) -> None:
        self._setup = setup
        self._dry = dry
        self._stack = ExitStack()
        self._observation: Observation | None = None
        self._is_observing = False
        self._errors: list[str] = []
        self.context: Context | None = None

    @property
    def injects(self) -> bool:
        """Whether actions run; without them, the run only provides its context to probes."""
        return self._dry not in {Dry.ACTIONS, Dry.ACTIVITIES}

    def start(self) -> None:
        """Check the preconditions, protect the run, and observe the normal state.

        Raises:
            EsqError: a precondition does not hold, or the traffic does not flow.
        """
        setup, target = self._setup, self._setup.target
        self._stack.enter_context(_kubeconfig(target.kubeconfig))
        step = self._stack.enter_context(setup.progress.step(setup.experiment.name))
        self.context = Context(target, setup.experiment.name, step)
        if self.injects:
            self._protect(self.context)
        activate(self.context)
        self._stack.callback(activate, None)
        if self.injects:
            self._observation = Observation(setup.experiment, self.context, setup.instruments, self.abort)
            self._stack.enter_context(self._observation)
            self._is_observing = True

    def _protect(self, context: Context) -> None:
        """Exclude other runs, check the preconditions, and start the watchdog."""
        run = self._stack.enter_context(exclusive_run(context.target.journal, context.experiment))
        context.run_id = run.run_id
        self._stack.enter_context(context.target.exclude_other_machines(context.experiment))
        context.step.set_status("checking all components")
        safety.check_preconditions(context.target)
        safety.require_capabilities(self._setup.experiment, context.target)
        self._stack.enter_context(watchdog.start(context.target.journal, on_loss=self.abort))

    def abort(self, reason: str) -> None:
        """Refuse further faults, interrupt Chaos Toolkit, and undo what is open.

        Called by the guard in its thread: the main thread may be busy, and must not delay the undo.
        """
        if self.context is not None:
            self.context.abort(reason)
            log.error("aborting: %s", reason)
            exit_gracefully()
            self._try(self._stop_injection)
            self._try(self._undo)

    def fail(self, error: BaseException) -> None:
        """Note an error of a hook: the run has crashed."""
        if not isinstance(error, EsqError):
            log.error("internal error", exc_info=error)
        self._setup.failures.append(error)
        self._errors.append(error.message if isinstance(error, EsqError) else repr(error))

    def finish(self, journal: Mapping[str, Any]) -> ExperimentRun | None:
        """Undo all faults, wait until the system is healthy, and record the result.

        Args:
            journal: the journal of Chaos Toolkit.

        Returns:
            The result; None if the run was refused before it observed its target.
        """
        observation, context = self._observation, self.context
        if observation is None or context is None:
            self._stack.close()
            return None
        with suppress(SystemExit):  # the guard may have aborted at this moment
            observation.stop_guard()
        try:
            facts = self._collect(observation, context, journal)
        except (KeyboardInterrupt, SystemExit):  # of a person, or of the loss of the watchdog
            context.abort("interrupted while it ended")
            facts = self._try(self._undo) | self._try(observation.streams_until_interruption)
        run = self._result(observation, context, journal, facts)
        try:
            self._setup.record(run, journal, observation.logs)
            context.step.set_result(summary(run))
        finally:
            self._close()
        return run

    def _result(
        self, observation: Observation, context: Context, journal: Mapping[str, Any], facts: dict[str, Any]
    ) -> ExperimentRun:
        if self._dry:
            observation.problems.append(f"dry run without {self._dry.value}")
        return ExperimentRun(
            started_at=observation.started_at,
            ended_at=max(observation.ended_at, observation.started_at),
            annotations=tuple(context.annotations),
            activities=activity_results(journal),
            status="aborted" if context.abort_reason else str(journal.get("status") or INTERRUPTED),
            deviated=bool(journal.get("deviated")),
            abort_reason=context.abort_reason,
            problems=(*observation.problems, *context.problems),
            error="; ".join(self._errors),
            **facts,
        )

    def close(self) -> None:
        """Undo what a run left open that did not come to its end, and record it if it is not recorded."""
        observation, context = self._observation, self.context
        if context is not None:
            self._try(self._undo)
        if observation is not None and context is not None:
            if not context.abort_reason:
                self._errors.append("the run did not come to its end")
            journal = {"status": INTERRUPTED}
            facts = self._try(observation.streams_until_interruption) | self._try(observation.events)
            run = self._result(observation, context, journal, facts)
            try:
                self._setup.record(run, journal, observation.logs)
            except Exception as error:  # noqa: BLE001 - the error that ended the run is raised
                self.fail(error)
        self._close()

    def _close(self) -> None:
        stack, self._stack = self._stack, ExitStack()
        self._observation = self.context = None
        stack.close()

    def _collect(
        self, observation: Observation, context: Context, journal: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the observations; one that fails is missing, and makes the run a crashed one."""
        facts = self._try(self._undo)
        is_interrupted = journal.get("status") == INTERRUPTED and not context.abort_reason
        if self._is_observing and is_interrupted:  # who presses Ctrl-C does not wait for a recovery
            facts |= self._try(observation.streams_until_interruption)
        elif self._is_observing:
            self._try(observation.wait_until_healthy)
            facts |= self._try(observation.campaign)
            facts |= self._try(observation.failovers)
            time.sleep(0 if context.abort_reason else COOLDOWN_SECONDS)
            facts |= self._try(observation.streams)
        return facts | self._try(observation.events)

    def _try(self, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - the other observations are kept
            self.fail(error)
            return {}

    def _stop_injection(self) -> dict[str, Any]:
        """Stop an injection in the background: the signal does not reach it, the undo would wait for it."""
        if self.context is not None:
            run_id, injecting = self.context.run_id, FaultState.INJECTING
            self._setup.target.journal.rollback(
                select=lambda fault: fault.run_id == run_id and fault.state is injecting
            )
        return {}

    def _undo(self) -> dict[str, Any]:
        """Undo all open faults of this run, also one whose injection was interrupted."""
        if self.context is not None:
            self.context.undo()
            run_id = self.context.run_id
            self._setup.target.journal.rollback(select=lambda fault: fault.run_id == run_id)
        return {}


@contextmanager
def _kubeconfig(path: Path) -> Iterator[None]:
    """Let the actions of other extensions reach the cluster of the target, and no other."""
    original = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(path)
    try:
        yield
    finally:
        if original is None:
            del os.environ["KUBECONFIG"]
        else:
            os.environ["KUBECONFIG"] = original


def summary(run: ExperimentRun) -> str:
    """Return the result of a run in one line."""
    unavailability = [
        f"{name} {stats.max_unavailability_seconds:.1f} s"
        for name, stats in run.streams.items()
        if ".write" in name
    ]
    state = f"; {run.outcome}: {'; '.join(run.reasons)}" if run.reasons else ""
    return (
        f"unavailability: {', '.join(unavailability) or 'not measured'}; "
        f"{run.lost} lost, {run.duplicated} duplicated{state}"
    )
