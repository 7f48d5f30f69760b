"""The control of esq: Chaos Toolkit calls its hooks around an experiment and its activities.

Chaos Toolkit ignores errors of hooks, except `InterruptExecution`. An error before the method therefore
becomes one, and an error after it makes the run a crashed one. The status of the journal tells the truth
to the plain `chaos` command, which would report `completed` although an action failed.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

from chaoslib.exceptions import InterruptExecution
from chaoslib.run import RunEventHandler

from chaos.session import Session
from infra.errors import EsqError
from infra.measurements.run_values import RunOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chaos.context import Context
    from chaos.results import ExperimentRun
    from chaos.session import Setup

OWN_ACTIVITIES = ("chaos.activities.",)
"""Modules whose actions annotate themselves."""
ABORTED = 20
"""Exit code by which Chaos Toolkit ends an experiment and runs its rollbacks."""


class Control:
    """Hooks of one experiment at a time; the names and arguments are those of Chaos Toolkit.

    Args:
        open_setup: opens the target of a document, given the document and the arguments of the control.
    """

    def __init__(self, open_setup: Callable[[dict[str, Any], Mapping[str, Any]], Setup]) -> None:
        self._open_setup = open_setup
        self._session: Session | None = None
        self._refusal = ""
        self.is_rollback = False

    def configure_control(self, event_registry: Any = None, **_: object) -> None:  # noqa: ANN401 - untyped library
        """Follow the events that no hook receives."""
        if event_registry is not None:
            event_registry.register(_Events(self))

    def before_experiment_control(self, context: dict[str, Any], **arguments: object) -> None:
        """Open the target and start to observe it.

        Args:
            context: the document.
            arguments: arguments of the control in the document.

        Raises:
            InterruptExecution: the experiment is refused.
        """
        if self._session is not None:  # the control is in the settings and in the document
            return
        self.is_rollback = False
        self._refusal = "nothing was done: the run was interrupted before it started"
        try:
            # Chaos Toolkit takes the exception of its own handler for a failed action, and goes on.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            self._session = Session(self._open_setup(context, arguments), context.get("dry"))
            self._session.start()
        except Exception as error:
            self._refusal = f"nothing was done: {_text(error)}"
            if self._session is not None:
                self._session.fail(error)
            raise InterruptExecution(_text(error)) from error
        self._refusal = ""

    def before_activity_control(self, context: Mapping[str, Any], **_: object) -> None:
        """Refuse activities of a run that was refused or aborted, and annotate actions of other extensions.

        Raises:
            InterruptExecution: the run was refused or aborted.
        """
        self._require_running()
        running = self._context
        is_own = str(context["provider"].get("module", "")).startswith(OWN_ACTIVITIES)
        if running is not None and context["type"] == "action" and not is_own:
            running.annotate(context["name"], is_injection=not self.is_rollback)

    def after_activity_control(self, **_: object) -> None:
        """End the method at the activity at which the run was aborted.

        Raises:
            InterruptExecution: the run was aborted.
        """
        self._require_running()

    def after_experiment_control(self, state: dict[str, Any], **_: object) -> None:
        """Undo what is open, record the result, and correct the status of the journal."""
        session = self._session
        if session is None:
            return
        try:
            run = session.finish(state)
        except Exception as error:  # noqa: BLE001 - Chaos Toolkit would ignore it
            session.fail(error)
            state["status"] = "aborted"
            return
        self._session = None
        if run is not None:
            state["status"] = _status(run, state["status"])

    def cleanup_control(self) -> None:
        """Undo and record a run that did not come to its end."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    @property
    def _context(self) -> Context | None:
        """Context of a run that injects faults."""
        return self._session.context if self._session is not None and self._session.injects else None

    def find_refusal(self) -> str:
        """Return why no activity may run; empty if it may.

        After an abort, rollbacks run. A refused run has nothing to roll back: its rollbacks would change a
        target that is unhealthy, or that another run uses.
        """
        context = self._context
        if self._refusal or context is None or not context.abort_reason or self.is_rollback:
            return self._refusal
        return f"aborted: {context.abort_reason}"

    def _require_running(self) -> None:
        if refusal := self.find_refusal():
            raise InterruptExecution(refusal)


class _Events(RunEventHandler):  # type: ignore[misc]  # the library is untyped
    """Events of a run of Chaos Toolkit that no hook receives in every document.

    A control of the settings does not learn that rollbacks start if the document has controls of its own.
    Only errors that are no `Exception` leave a handler.

    Args:
        control: the control.
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    def start_rollbacks(self, experiment: object) -> None:  # noqa: ARG002 - a handler
        """Let rollbacks run also after an abort."""
        self._control.is_rollback = True

    def start_activity(self, activity: object) -> None:  # noqa: ARG002 - a handler
        """Refuse an activity whose pause before it no signal interrupts, because it is in the background."""
        if self._control.find_refusal():
            raise SystemExit(ABORTED)

    def activity_completed(self, activity: object, run: object) -> None:  # noqa: ARG002 - a handler
        """See `RunEventHandler`. Chaos Toolkit would pause after an activity that was interrupted."""
        interruption = sys.exc_info()[1]
        if interruption is not None and not isinstance(interruption, Exception):
            raise interruption


def _status(run: ExperimentRun, status: str) -> str:
    """Return the status for the journal.

    Args:
        run: the result.
        status: status of Chaos Toolkit, which ignores failed actions.
    """
    if run.error or run.abort_reason:
        return "aborted"
    return "failed" if run.outcome is RunOutcome.INVALID else status


def _text(error: Exception) -> str:
    """Return an error as Chaos Toolkit logs it."""
    if not isinstance(error, EsqError):
        return repr(error)
    parts = (
        f"{error.message} ({error.location})" if error.location else error.message,
        error.remedy,
        error.detail,
    )
    return "\n".join(part for part in parts if part)
