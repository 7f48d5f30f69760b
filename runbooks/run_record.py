"""A run of a runbook as it is kept on disk: written before and after each step, so that a kill loses nothing.

Nobody writes that a run was interrupted: it is, from the moment on at which the process that owns it is dead.
A run is also the record of its incident: the alerts, what was found, proposed and done, and when.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations when the class is created
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from infra.process_identity import ProcessIdentity  # noqa: TC001 - same

if TYPE_CHECKING:
    from runbooks.check import Step

Phase = Literal["running", "waiting", "resolved", "unresolved", "merged"]
"""`waiting`: actions are proposed, and a person must decide. `merged`: another run has its alerts."""
State = Literal["running", "interrupted", "waiting", "resolved", "unresolved", "merged"]
StepState = Literal[
    "waiting",
    "running",
    "good",
    "finding",
    "unread",
    "previewing",
    "proposed",
    "done",
    "failed",
    "declined",
    "skipped",
]
OPEN_PHASES = frozenset[Phase](("running", "waiting"))


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JoinedAlert(_Record):
    """An alert that a run handles.

    Attributes:
        fingerprint: identity of its labels, from Alertmanager.
        name: name in the table of alerts.
        started_at: since when it fires (UTC).
        summary: one sentence.
        resolved_at: when it ended (UTC); None while it fires.
    """

    fingerprint: str
    name: str
    started_at: dt.datetime
    summary: str = ""
    resolved_at: dt.datetime | None = None

    @property
    def key(self) -> tuple[str, dt.datetime]:
        """Identity of this firing: a repeated notification has the same."""
        return self.fingerprint, self.started_at


class StepRecord(_Record):
    """A step of a run.

    Attributes:
        id: kind and name, e.g. `look postgres-down`.
        kind: look, act or verify.
        description: what it does.
        command: of an action, to paste.
        risk: of an action.
        state: how far it is.
        reason: what was found, or why it failed.
        evidence: what was read or printed, one line each.
        started_at: start (UTC).
        ended_at: end (UTC).
    """

    id: str
    kind: Literal["look", "act", "verify"]
    description: str
    command: str = ""
    risk: str = ""
    state: StepState = "waiting"
    reason: str = ""
    evidence: tuple[str, ...] = ()
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None


class RunRecord(_Record):
    """A run of a runbook.

    Attributes:
        id: name of the run: its start and its runbook.
        environment: name of the environment.
        runbook: name of the runbook.
        started_at: start (UTC).
        phase: what its owner has written.
        owner: the process that works on it; None if none ever did.
        ended_at: end (UTC); None while it is open.
        alerts: the alerts of the fault.
        steps: its steps, in order.
        merged_into: the run that has its alerts.
    """

    id: str
    environment: str
    runbook: str
    started_at: dt.datetime
    phase: Phase = "running"
    owner: ProcessIdentity | None = None
    ended_at: dt.datetime | None = None
    alerts: tuple[JoinedAlert, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    merged_into: str = ""

    @property
    def state(self) -> State:
        """The phase, or `interrupted` if its owner has died meanwhile."""
        is_dead = self.owner is None or not self.owner.is_alive
        return "interrupted" if self.phase == "running" and is_dead else self.phase

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.phase in OPEN_PHASES

    @property
    def idle_since(self) -> dt.datetime | None:
        """When its fault was last seen (UTC), if the run is over or waits while none of its alerts fires."""
        if self.phase != "waiting" or any(alert.resolved_at is None for alert in self.alerts):
            return self.ended_at
        ends = (*(alert.resolved_at for alert in self.alerts), *(step.ended_at for step in self.steps))
        return max((end for end in ends if end), default=self.started_at)

    @property
    def progress(self) -> str:
        """Number of finished steps, and the step that is next or runs."""
        unfinished = [step for step in self.steps if step.state in ("waiting", "running", "previewing")]
        position = f"{len(self.steps) - len(unfinished)}/{len(self.steps)}"
        return f"{position} {unfinished[0].id}" if unfinished and self.is_open else position


def step_records(steps: tuple[Step, ...], environment: str) -> tuple[StepRecord, ...]:
    """Return the records of steps that have not started.

    Args:
        steps: steps of a runbook.
        environment: name of the environment.
    """
    return tuple(_step_record(step, environment) for step in steps)


def _step_record(step: Step, environment: str) -> StepRecord:
    if step.action:
        action = step.action
        return StepRecord(
            id=f"act {action.id}",
            kind="act",
            description=action.description,
            command=action.text(environment),
            risk=action.risk,
        )
    check = step.check
    assert check is not None  # noqa: S101 - `Step` requires one of the two
    return StepRecord(id=f"{step.kind} {check.id}", kind=step.kind, description=check.description)
